// The temperature that needs no tuning, from the keys themselves.
#pragma once
#include "index/index.h"

namespace rtd {

// 0.4 x median over up to 128 live keys, evenly spaced, and all heads of (d_m - d_1), m = min(64, live - 1): the distances to a key's nearest
// and m-th nearest other key. The median of the positive differences where that is 0, else 1. 0 (none) where there are no live entries.
// Deterministic. Reads the keys twice.
float defaultTemperature(const Index& index, const Snapshot& snapshot, const Call& call);

}  // namespace rtd
