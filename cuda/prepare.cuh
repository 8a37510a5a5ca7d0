// Queries as the levels take them: projected on the directions and rounded to grids, with what turns sums of codes into lower bounds.
//
// cpp/cascade/levels.h proves the bounds, and what stands here is what cpp/cascade/query.cpp does, with the same grids. Whatever is not exact is
// done in double, or counted among the errors: projections by projectionError(), what they leave over by residualOf(), grids by measuring.
#pragma once
#include "cascade/rounding.h"
#include "core/bounds.h"
#include "logits.cuh"

namespace rtd::cuda {

constexpr int32_t kLargestZ = 16383, kLargestCode = 127, kZeroCode = 128;
constexpr int32_t kLargestShift = 7, kSmallestShift = -2;
constexpr uint32_t kNormShift = 3;        // level 1 keeps the sum of squares / 8
constexpr double kLargestBase = 0x1p29;   // level 1's sums then stay below 2^31
constexpr double kDoubleRounding = 1e-9;  // relative, for sums of doubles
constexpr double kFloatRounding = 1e-6;   // relative, for what is kept as float32 and must not be too small

// ---- where things are ---------------------------------------------------------------------------------------------------------------------

RTD_DEVICE const CascadeLevels& levelsOf(const SearchFuseArgs& a, uint32_t segment, uint32_t head) {
    return a.cascade.levels[segment * a.layout.heads + head];
}
RTD_DEVICE PreparedQuery& preparedOf(const SearchFuseArgs& a, uint32_t segment, uint32_t row) {
    return a.workspace.prepared[static_cast<size_t>(segment) * a.workspace.preparedRows + row];
}
// Sixty-four codes of level 3, of one half of query b.
RTD_DEVICE uint64_t* codes3Of(const SearchFuseArgs& a, uint32_t segment, uint32_t head, uint32_t piece, uint32_t half, uint32_t b) {
    const size_t pieces = static_cast<size_t>(segment * a.layout.heads + head) * a.cascade.layout.pieces3() + piece;
    return a.workspace.codes3 + ((2 * pieces + half) * a.workspace.codeRows + b) * (kPieceCodes / 8);
}

// Where a middle level's codes begin among those of a query; each half is a row long.
RTD_DEVICE uint32_t middleWordsBefore(uint32_t middle) { return middle == 0 ? 0 : 2 * kRowBytes2 / 8; }

// ---- projections --------------------------------------------------------------------------------------------------------------------------

// Number i of a query's head, as far as it has that many, less the mean.
RTD_DEVICE float centred(const SearchFuseArgs& a, const CascadeLevels& levels, uint64_t query, uint32_t i) {
    return subRn(i < a.headDim ? loadQuery(a, query + i) : 0.0f, levels.mean[i]);
}

// All queries of a head on one direction, by one warp: canonical sums, four at a time.
RTD_APART void project(const SearchFuseArgs& a, uint32_t segment, uint32_t head, uint32_t direction, uint32_t lane) {
    const CascadeLevels& levels = levelsOf(a, segment, head);
    const uint32_t stride = a.cascade.layout.basisStride();
    const auto* basis = reinterpret_cast<const Half*>(levels.basis) + static_cast<size_t>(direction) * stride;
    for (uint32_t first = 0; first < a.batch; first += 4) {
        float sum[4][4] = {};
        for (uint32_t i = 4 * lane; i < stride; i += kPartials) {
            float w[4];
#pragma unroll
            for (uint32_t c = 0; c < 4; ++c) w[c] = toFloat(basis[i + c]);
#pragma unroll
            for (uint32_t r = 0; r < 4; ++r) {
                const uint64_t query = (first + r < a.batch ? first + r : 0) * a.queryStride + static_cast<uint64_t>(head) * a.headDim;
#pragma unroll
                for (uint32_t c = 0; c < 4; ++c) sum[r][c] = fmaRn(centred(a, levels, query, i + c), w[c], sum[r][c]);
            }
        }
        const float value = treeOfFours<4>(sum, lane);
        const uint32_t b = first + lane / 8;
        if (lane % 8 == 0 && b < a.batch) storeGlobal(&preparedOf(a, segment, b * a.layout.heads + head).projections[direction], value);
    }
}

// ---- grids --------------------------------------------------------------------------------------------------------------------------------

RTD_DEVICE double warpAdd(double v) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) v = addRn(v, shuffleXor(v, step));
    return v;
}
RTD_DEVICE uint32_t warpAdd(uint32_t v) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) v += shuffleXor(v, step);
    return v;
}
RTD_DEVICE double warpLargest(double v) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) {
        const double other = shuffleXor(v, step);
        v = other > v ? other : v;
    }
    return v;
}

RTD_DEVICE double absolute(double v) { return v < 0 ? -v : v; }
RTD_DEVICE double powerOfTwo(int32_t e) { return doubleOf(static_cast<uint64_t>(e + 1023) << 52); }
RTD_DEVICE double nearestInteger(double v) { return subRn(addRn(v, 0x1.8p52), 0x1.8p52); }  // |v| < 2^51
RTD_DEVICE float roundedUp(double v) { return static_cast<float>(v * (1 + kFloatRounding)); }

// The largest shift at which numbers up to `largest` fit on a grid of step / 2^shift.
RTD_DEVICE int32_t shiftFor(double largest, double step) {
    if (!(largest > 0)) return kLargestShift;
    const int32_t exponent = static_cast<int32_t>(bitsOf(divRn(kLargestZ * step, largest)) >> 52) - 1023;
    return exponent < kLargestShift ? exponent : kLargestShift;
}

// What is summed up while numbers are rounded to a grid: exact integers but for the error.
struct Rounded {
    double squaredError = 0, norm = 0;
    uint32_t sum = 0;

    RTD_DEVICE int32_t add(double value, double unit, int32_t limit) {
        double z = nearestInteger(divRn(value, unit));
        z = z > limit ? limit : z < -limit ? -limit : z;
        const double error = value - z * unit;
        squaredError += error * error;
        norm += z * z;
        sum += static_cast<uint32_t>(static_cast<int32_t>(z));
        return static_cast<int32_t>(z);
    }
    RTD_DEVICE void addUp() {  // over the warp
        squaredError = warpAdd(squaredError);
        norm = warpAdd(norm);
        sum = warpAdd(sum);
    }
    RTD_DEVICE double error() const { return sqrtRn(squaredError) * (1 + kDoubleRounding); }
    RTD_DEVICE uint32_t offset() const { return kZeroCode * sum; }
};

RTD_DEVICE uint64_t highHalf(int32_t z) { return static_cast<uint64_t>(z >> 7 & 255); }
RTD_DEVICE uint64_t lowHalf(int32_t z) { return static_cast<uint64_t>(z & 127); }

// Lane l holds number l of 32; lanes 0 .. 3 write the halves of eight each.
RTD_DEVICE void storeCodes(uint64_t* high, uint64_t* low, int32_t z, uint32_t lane) {
    uint64_t words[2] = {0, 0};
#pragma unroll
    for (uint32_t i = 0; i < 8; ++i) {
        const int32_t other = shuffle(z, (8 * lane + i) & 31);
        words[0] |= highHalf(other) << 8 * i;
        words[1] |= lowHalf(other) << 8 * i;
    }
    if (lane < 4) storeGlobal(&high[lane], words[0]), storeGlobal(&low[lane], words[1]);
}

// ---- a query ------------------------------------------------------------------------------------------------------------------------------

// Of a query's head, in double and so exact but for 2^-53.
struct Lengths {
    double query, centred;  // |q|, and |q| less the mean
    double largest;         // number of the latter
    bool isBounded;
};

RTD_DEVICE Lengths lengthsOf(const SearchFuseArgs& a, const CascadeLevels& levels, uint64_t query, uint32_t lane) {
    double queryNorm = 0, norm = 0, largest = 1e-30;
    bool isBounded = true;
    for (uint32_t i = lane; i < a.cascade.layout.length; i += 32) {
        const float x = i < a.headDim ? loadQuery(a, query + i) : 0.0f;
        const double c = static_cast<double>(x) - static_cast<double>(levels.mean[i]);
        isBounded = isBounded && x < kBoundedMagnitude && x > -kBoundedMagnitude;
        queryNorm += static_cast<double>(x) * static_cast<double>(x);
        norm += c * c;
        largest = absolute(c) > largest ? absolute(c) : largest;
    }
    return {sqrtRn(warpAdd(queryNorm)), sqrtRn(warpAdd(norm)), warpLargest(largest), ballot(!isBounded) == 0};
}

// By one warp, once all projections are there: a row's codes and numbers for levels 1 to 2b. Returns whether bounds hold.
RTD_APART bool prepareGrids(const SearchFuseArgs& a, uint32_t segment, uint32_t row, uint32_t lane) {
    const uint32_t b = row / a.layout.heads, head = row % a.layout.heads;
    const LevelLayout& shape = a.cascade.layout;
    const CascadeLevels& levels = levelsOf(a, segment, head);
    PreparedQuery& to = preparedOf(a, segment, row);
    const Lengths lengths = lengthsOf(a, levels, b * a.queryStride + static_cast<uint64_t>(head) * a.headDim, lane);
    const double size = lengths.centred, norm = size * size;
    const uint32_t p1 = shape.directions1;

    const auto projection = [&](uint32_t j) { return levels.shrink * static_cast<double>(loadGlobal(&to.projections[j])); };
    const auto keptOf = [&](uint32_t begin, uint32_t end) {
        double kept = 0;
        for (uint32_t j = begin + lane; j < end; j += 32) kept += projection(j) * projection(j);
        return warpAdd(kept);
    };
    double kept = keptOf(0, p1);
    const cascade::Residual residual1 = cascade::residualOf(norm, kept, shape.length, p1);

    // Level 1: one number a lane. Far from all keys the grid must be coarser than the numbers alone demand, or sums would not fit.
    const double number1 = lane < p1 ? projection(lane) : lane == p1 ? residual1.value - levels.residual1 : 0.0;
    Rounded one;
    int32_t m = lengths.isBounded ? shiftFor(warpLargest(absolute(number1)), levels.step1) : kSmallestShift - 1, z1 = 0;
    for (; m >= kSmallestShift; --m) {
        one = {};
        z1 = one.add(number1, levels.step1 * powerOfTwo(-m), kLargestZ);
        one.addUp();
        if (one.norm * powerOfTwo(-m - 1) < kLargestBase) break;
    }
    if (m < kSmallestShift) return false;  // the same in every lane

    // |z - y|^2 = unit1 (|z|^2 / 2^(m+1) + 2^(m-1) sum of codes^2 - sum of codes z). The first term is rounded down, and the codes' squares are
    // known as 8 norm + 0..7: so what is computed is at most 1 + 2^(m+2) below the sum in brackets, and raised by that never negative.
    QueryGrid1 numbers;
    storeCodes(to.codes1[0], to.codes1[1], z1, lane);
    numbers.slack1 = 1 + (1 << (m + 2));
    numbers.normShift = static_cast<uint32_t>(m + static_cast<int32_t>(kNormShift) - 1);
    numbers.start = static_cast<uint32_t>(one.norm * powerOfTwo(-m - 1)) + static_cast<uint32_t>(numbers.slack1) + one.offset();
    const double unit1 = levels.step1 * levels.step1 * powerOfTwo(1 - m);
    numbers.unit1 = static_cast<float>(unit1);
    numbers.error1 = roundedUp(levels.error1 + one.error() + cascade::projectionError(shape.length, p1) * size + residual1.error);
    numbers.scoreSlack = static_cast<float>(unit1 * numbers.slack1);
    numbers.residual1 = static_cast<float>(shuffle(z1, p1));
    numbers.residualUnit1 = static_cast<float>(powerOfTwo(m));
    numbers.restUnit1 = static_cast<float>(levels.step1 * levels.step1 * powerOfTwo(-2 * m));
    if (lane == 0) storeWords(&to.grids.one, numbers);

    double squaredError = one.squaredError;
#pragma unroll 1
    for (uint32_t middle = 0; middle < kMaxMiddles; ++middle) {
        if (middle >= levels.middleCount) break;
        const MiddleLevel& level = levels.middles[middle];
        const uint32_t begin = middle == 0 ? p1 : p1 + levels.middles[0].directions, end = begin + level.directions;
        kept += keptOf(begin, end);
        const cascade::Residual residual = cascade::residualOf(norm, kept, shape.length, end);
        const double rest = residual.value - level.residual;
        const auto number = [&](uint32_t i) { return i < level.directions ? projection(begin + i) : i == level.directions ? rest : 0.0; };
        double most = 1e-30;
        for (uint32_t i = lane; i <= level.directions; i += 32) most = absolute(number(i)) > most ? absolute(number(i)) : most;
        const double unit = divRn(warpLargest(most), static_cast<double>(kLargestZ));
        Rounded grid;
        for (uint32_t i = 0; i < level.rowBytes; i += 32) {
            uint64_t* codes = to.middleCodes + middleWordsBefore(middle) + i / 8;
            storeCodes(codes, codes + level.rowBytes / 8, grid.add(number(i + lane), unit, kLargestZ), lane);
        }
        grid.addUp();
        squaredError += grid.squaredError;
        const double error = sqrtRn(squaredError) * (1 + kDoubleRounding);
        Rounded last;
        const MiddleGrid made = {static_cast<float>(unit * unit * grid.norm), static_cast<float>(unit),
                                 static_cast<float>(unit * last.add(rest, unit, kLargestZ)),
                                 roundedUp(error + cascade::projectionError(shape.length, end) * size + residual.error), grid.offset()};
        if (lane == 0) storeWords(&to.grids.middles[middle], made);
    }
    return true;
}

// By one warp: the same for level 3 and limits.
RTD_APART void prepareScales(const SearchFuseArgs& a, uint32_t segment, uint32_t row, bool isBounded, uint32_t lane) {
    const uint32_t b = row / a.layout.heads, head = row % a.layout.heads;
    const LevelLayout& shape = a.cascade.layout;
    const CascadeLevels& levels = levelsOf(a, segment, head);
    QueryScales scales = {};
    if (isBounded) {
        const uint64_t query = b * a.queryStride + static_cast<uint64_t>(head) * a.headDim;
        const Lengths lengths = lengthsOf(a, levels, query, lane);
        scales.isBounded = 1;
        scales.lengthBits[0] = static_cast<uint32_t>(bitsOf(lengths.query));
        scales.lengthBits[1] = static_cast<uint32_t>(bitsOf(lengths.query) >> 32);
        const int64_t fit = (int64_t{1} << 31) / (int64_t{kLargestCode} * shape.length) - 1;  // sums of `length` products stay below 2^31
        const auto limit = static_cast<int32_t>(fit < kLargestZ ? fit : kLargestZ);
        const double unit = divRn(lengths.largest, static_cast<double>(limit));
        Rounded grid;
        for (uint32_t word = lane; word < shape.pieces3() * (kPieceCodes / 8); word += 32) {
            uint64_t high = 0, low = 0;
#pragma unroll 1
            for (uint32_t i = 0; i < 8 && 8 * word + i < shape.length; ++i) {
                const uint32_t j = 8 * word + i;
                const float x = j < a.headDim ? loadQuery(a, query + j) : 0.0f;
                const int32_t z = grid.add(static_cast<double>(x) - static_cast<double>(levels.mean[j]), unit, limit);
                high |= highHalf(z) << 8 * i;
                low |= lowHalf(z) << 8 * i;
            }
            storeGlobal(codes3Of(a, segment, head, word / 8, 0, b) + word % 8, high);
            storeGlobal(codes3Of(a, segment, head, word / 8, 1, b) + word % 8, low);
        }
        grid.addUp();
        scales.norm3 = static_cast<float>(unit * unit * grid.norm);
        scales.unit3 = static_cast<float>(2 * unit);
        scales.error3 = roundedUp(grid.error());
        scales.offset3 = grid.offset();
    }
    if (lane == 0) storeWords(&preparedOf(a, segment, row).scales, scales);
}

}  // namespace rtd::cuda
