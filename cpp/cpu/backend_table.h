// The table of a back end, from what its Isa says.
#pragma once
#include "cpu/add_products.h"
#include "cpu/code_sums.h"
#include "cpu/lse_piece.h"
#include "cpu/tile_sums.h"

namespace rtd::cpu {
namespace {

template <class Isa>
constexpr CodeSums codeSumsOf() {
    return {blockScores<Isa>, blockSums<Isa>, Isa::interleaveRows, rowSums<Isa>, selectScores<Isa>, Isa::maskScores, withinReach<Isa>};
}

template <class Isa>
constexpr Backend backendOf(const char* name) {
    return {name,
            {tileSums<Isa, SquaredDifference, float>, tileSums<Isa, SquaredDifference, F16>, tileSums<Isa, SquaredDifference, Bf16>},
            {tileSums<Isa, Product, float>, tileSums<Isa, Product, F16>, tileSums<Isa, Product, Bf16>},
            lsePiece<Isa>,
            entropyPiece<Isa>,
            addProducts<Isa>,
            codeSumsOf<Isa>()};
}

}  // namespace
}  // namespace rtd::cpu
