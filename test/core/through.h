// Cases whose keys and queries go through a transform before they are searched.
#pragma once
#include "case.h"

struct Through {
    rtd_transform_kind kind;
    uint32_t inputs, outputs;
    std::vector<float> mean, weights;
    rtd_transform view() const { return {sizeof(rtd_transform), kind, inputs, outputs, mean.data(), weights.data()}; }
};

// One case twice: as it is given, with `inputs` numbers a key and query, and as it is searched, with the images that the oracle makes of them. The rows
// of both point to what `given` holds.
struct ThroughCase {
    ThroughCase() = default;
    ThroughCase(ThroughCase&&) = default;
    ThroughCase& operator=(ThroughCase&&) = default;

    Through through;
    Case given, searched;
    std::string text() const;
};

// shape: of what is searched. inputs: of a matrix, which goes with one head; 0: a scale. queryDtype: queries are numbers that it holds too. Images are
// finite, and of every third seed as much alike as what is given: ties stay ties.
ThroughCase makeThroughCase(const Shape& shape, uint32_t inputs, uint64_t seed, bool isPlain, rtd_dtype queryDtype = RTD_F32);

// What is random of the above: nothing or a matrix to fewer or more dimensions.
uint32_t randomInputs(std::mt19937_64& random, const Shape& shape);

// As checkSame, but row b's query was not finite, or its image: its logits are as they were, and its hits mean nothing.
void checkSameButBroken(Answer got, Answer want, const Case& c, uint32_t b);
