// Keys and queries that are hard on bounds.
#pragma once
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

enum class Distribution {
    powerLaw,    // like hidden states: few directions hold most of the variance
    gauss,       // no direction is better than another
    spiky,       // two dimensions of a thousand times the others
    rareGiants,  // one key in 50 is 300 times as long
    collinear,   // multiples of one vector, almost
    duplicates,  // 40 different keys
    equal,       // one
    oneBit,      // keys differ from one another in the last bit of one number
    farAway,     // all of them close together and far from 0
    lowRank,     // three directions hold everything
    tiny,        // squares underflow
    huge,        // close to where no bound holds any more
    manyScales,  // from 1e-6 to 1e6
    integers,    // many ties
    slowDecay,   // a third of the variance beyond the first 64 directions, evenly in some 200 more
};
constexpr Distribution kDistributions[] = {Distribution::powerLaw,   Distribution::gauss,      Distribution::spiky,    Distribution::rareGiants,
                                           Distribution::collinear,  Distribution::duplicates, Distribution::equal,    Distribution::oneBit,
                                           Distribution::farAway,    Distribution::lowRank,    Distribution::tiny,     Distribution::huge,
                                           Distribution::manyScales, Distribution::integers,   Distribution::slowDecay};
const char* nameOf(Distribution distribution);

// Rows [count, dim]: the first ones are meant as keys, the last `queries` as queries, of which one in three equals a key.
std::vector<float> makeRows(Distribution distribution, size_t count, size_t queries, uint32_t dim, uint32_t seed);
