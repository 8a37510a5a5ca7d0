#include "cascade/data.h"

#include <algorithm>
#include <bit>
#include <cmath>

const char* nameOf(Distribution distribution) {
    constexpr const char* kNames[] = {"power law", "gauss",    "spiky", "rare giants", "collinear",   "duplicates", "equal",     "one bit",
                                      "far away",  "low rank", "tiny",  "huge",        "many scales", "integers",   "slow decay"};
    return kNames[static_cast<size_t>(distribution)];
}

std::vector<float> makeRows(Distribution distribution, size_t count, size_t queries, uint32_t dim, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const auto drawRow = [&] {
        std::vector<float> row(dim);
        for (float& x : row) x = normal(random);
        return row;
    };
    const std::vector<float> direction = drawRow(), centre = drawRow(), axes[3] = {drawRow(), drawRow(), drawRow()};
    std::vector<float> rows;
    rows.reserve(count * dim);
    for (size_t i = 0; i < count; ++i) {
        std::vector<float> row = drawRow();
        const float scale = std::pow(10.0f, static_cast<float>(random() % 13) - 6), along = normal(random), a = normal(random), b = normal(random);
        for (uint32_t j = 0; j < dim; ++j) {
            float& x = row[j];
            switch (distribution) {
                case Distribution::powerLaw:  // mixed a little, so that directions are not axes
                    x = 10 * std::pow(static_cast<float>(j + 1), -0.7f) * x + 5 * along * direction[j] / std::sqrt(static_cast<float>(dim));
                    break;
                case Distribution::gauss:
                    break;
                case Distribution::spiky:
                    if (j == 1 || j + 2 == dim) x *= 1000;
                    break;
                case Distribution::rareGiants:
                    if (i % 50 == 7) x *= 300;
                    break;
                case Distribution::collinear:
                    x = along * direction[j] + 1e-5f * x;
                    break;
                case Distribution::duplicates:
                case Distribution::equal:
                    break;
                case Distribution::oneBit:
                    x = centre[j];
                    if (j == i % dim) x = std::bit_cast<float>(std::bit_cast<uint32_t>(x) ^ 1u);
                    break;
                case Distribution::farAway:
                    x = 1000 * centre[j] + 0.01f * x;
                    break;
                case Distribution::lowRank:
                    x = along * axes[0][j] + a * axes[1][j] + b * axes[2][j];
                    break;
                case Distribution::tiny:
                    x *= 1e-22f;
                    break;
                case Distribution::huge:
                    x = std::clamp(1e14f * x, -9e14f, 9e14f);
                    break;
                case Distribution::manyScales:
                    x *= scale;
                    break;
                case Distribution::integers:
                    x = j < 8 ? std::rint(2 * x) : 0;
                    break;
                case Distribution::slowDecay:
                    x *= j < 8 ? 4.0f : j < 64 ? 1.6f : j < 256 ? 1.2f : 0.1f;
                    break;
            }
        }
        const size_t kinds = distribution == Distribution::equal ? 1 : distribution == Distribution::duplicates ? 40 : 0;
        if (kinds && i >= kinds)
            row.assign(rows.begin() + static_cast<ptrdiff_t>(i % kinds * dim), rows.begin() + static_cast<ptrdiff_t>((i % kinds + 1) * dim));
        if (i >= count - queries && i % 3 == 0 && i > 0) {
            const size_t same = random() % (count - queries);
            row.assign(rows.begin() + static_cast<ptrdiff_t>(same * dim), rows.begin() + static_cast<ptrdiff_t>((same + 1) * dim));
        }
        rows.insert(rows.end(), row.begin(), row.end());
    }
    return rows;
}
