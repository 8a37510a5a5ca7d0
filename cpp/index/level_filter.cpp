#include "index/level_filter.h"

#include <bit>
#include <cstring>

#include "core/memory.h"
#include "index/prefetch.h"

namespace rtd {
namespace {

constexpr size_t kRowsAtOnce = cpu::kBlockKeys;  // rows of level 2 that are looked at together
constexpr size_t kRows3AtOnce = 4;               // the same of level 3's, which are longer

// The ends of up to 32 rows of level 2.
struct Tails2 {
    cpu::Level2Keys keys{};
    uint32_t outliers = 0;  // a bit each

    void set(const uint8_t* row, size_t i) {
        cascade::Tail2 tail;
        std::memcpy(&tail, row + cascade::kCodes2, sizeof tail);
        keys.norm[i] = static_cast<float>(tail.norm);
        keys.error[i] = tail.error;
        keys.residual[i] = static_cast<float>(tail.residual1 - cascade::kZeroCode);
        outliers |= uint32_t{tail.isOutlier} << i;
    }
};

// Level 2 of 32 keys in the order of level 1's blocks.
struct Level2Block {
    alignas(64) uint8_t codes[cascade::kRowBytes2 * cpu::kBlockKeys];
    Tails2 tails;

    void fill(const cpu::CodeSums& by, const uint8_t* rows, size_t count) {
        uint8_t whole[cascade::kRowBytes2 * cpu::kBlockKeys];
        if (count < cpu::kBlockKeys) {
            std::memset(whole, 0, sizeof whole);
            std::memcpy(whole, rows, count * cascade::kRowBytes2);
            rows = whole;
        }
        by.interleaveRows(rows, codes);
        tails = {};
        for (size_t i = 0; i < count; ++i) tails.set(rows + i * cascade::kRowBytes2, i);
    }
};

// The least score of a chunk's keys that were not probed; 65536: all were.
uint32_t leastScore(const CascadeRow& row, size_t chunk) { return chunk < row.probedChunks ? row.cut + uint32_t{1} : 0; }

}  // namespace

void LevelFilter::maskScores(CascadeRow& row) const {
    if (!isFiltered(*row.row->wants)) return;
    const SearchRow& wants = *row.row->wants;
    for (const Part& part : *snapshot_.parts) {
        const uint32_t begin = std::max(part.first, cascade_.first);
        const uint32_t end = std::min(part.first + snapshot_.filled(part), cascade_.first + cascade_.count);
        for (uint32_t id = begin; id < end; ++id)
            if (!accepts(snapshot_, wants, part, id - part.first)) row.scores[id - cascade_.first] = 65535;
    }
}

bool LevelFilter::acceptsPlace(const SearchRow& wants, uint32_t place) const {
    const Part& part = snapshot_.partOf(cascade_.first + place);
    return accepts(snapshot_, wants, part, cascade_.first + place - part.first);
}

size_t LevelFilter::visit(CascadeRow& row, size_t chunk, uint16_t least, uint16_t most) const {
    const uint16_t largest = std::min(most, row.query.largestScore(row.radius.load(std::memory_order_relaxed)));
    if (largest < least) return 0;
    const size_t begin = chunk * kChunkBlocks, count = std::min(kChunkBlocks, cascade::LevelShape::blocksOf(levels_.count) - begin);
    uint32_t places[kChunkKeys];
    size_t n =
        codes_.selectScores(row.scores + begin * cpu::kBlockKeys, count, least, largest, static_cast<uint32_t>(begin * cpu::kBlockKeys), places);
    while (n > 0 && places[n - 1] >= levels_.count) --n;  // the last block may not be full
    visitPlaces(row, {places, n}, false);
    return n;
}

void LevelFilter::visitOutliers(CascadeRow& row) const {
    for (size_t i = 0; i < levels_.outlierCount; i += kChunkKeys)
        visitPlaces(row, {levels_.outliers + i, std::min<size_t>(kChunkKeys, levels_.outlierCount - i)}, true);
}

void LevelFilter::sweep(CascadeRow& row, size_t chunk) const {
    if (const uint32_t least = leastScore(row, chunk); least <= 65535) visit(row, chunk, static_cast<uint16_t>(least), 65535);
}

void LevelFilter::sweep(const std::vector<CascadeRow*>& rows, size_t chunk) const {
    const size_t begin = chunk * kChunkBlocks, count = std::min(kChunkBlocks, cascade::LevelShape::blocksOf(levels_.count) - begin);
    const auto blocks = allocate<Level2Block>(count, "level 2 of a chunk");
    for (size_t b = 0; b < count; ++b) {
        const size_t first = (begin + b) * cpu::kBlockKeys;
        blocks[b].fill(codes_, levels_.level2 + first * cascade::kRowBytes2, std::min<size_t>(cpu::kBlockKeys, levels_.count - first));
    }
    call_.count(&rtd_search_counts::bytes, count * cpu::kBlockKeys * cascade::kRowBytes2);
    for (CascadeRow* row : rows) {
        const double radius = row->radius.load(std::memory_order_relaxed);
        const uint16_t largest = row->query.largestScore(radius);
        const uint32_t least = leastScore(*row, chunk);
        if (largest < least) continue;
        const cpu::Level2Query query = row->query.level2Query(radius);
        uint32_t kept[kChunkKeys];
        size_t n = 0, looked = 0;
        for (size_t b = 0; b < count; ++b) {
            const size_t first = (begin + b) * cpu::kBlockKeys;
            const uint16_t* scores = row->scores + first;
            uint32_t mask = codes_.maskScores(scores, static_cast<uint16_t>(least), largest) & ~blocks[b].tails.outliers;
            if (first + cpu::kBlockKeys > levels_.count) mask &= (uint32_t{1} << (levels_.count - first)) - 1;
            if (row->skips2) {
                for (; mask; mask &= mask - 1) kept[n++] = static_cast<uint32_t>(first) + static_cast<uint32_t>(std::countr_zero(mask));
            }
            if (mask == 0) continue;
            looked += static_cast<size_t>(std::popcount(mask));
            int32_t sums[cpu::kBlockKeys];
            codes_.blockSums(blocks[b].codes, cascade::kCodes2 / 4, row->query.two().codes(), sums);
            for (mask &= codes_.withinReach(scores, sums, blocks[b].tails.keys, query); mask; mask &= mask - 1) {
                const size_t place = first + static_cast<size_t>(std::countr_zero(mask));
                prefetch(levels_.level3 + place * levels_.shape.rowBytes3(), levels_.shape.rowBytes3());
                kept[n++] = static_cast<uint32_t>(place);
            }
        }
        call_.count(&rtd_search_counts::level2, looked);
        row->looked2.fetch_add(looked, std::memory_order_relaxed);
        keepFurther(*row, {kept, n}, false);
    }
}

// From a list of at most a chunk's keys. areOutliers: level 1's, of which its error does not hold.
void LevelFilter::visitPlaces(CascadeRow& row, std::span<const uint32_t> places, bool areOutliers) const {
    uint32_t kept[kChunkKeys];
    const size_t n = keepByLevel2(row, places, areOutliers, kept);
    keepFurther(row, {kept, n}, areOutliers);
}

size_t LevelFilter::keepByLevel2(CascadeRow& row, std::span<const uint32_t> places, bool areOutliers, uint32_t* kept) const {
    size_t n = 0;
    if (!levels_.shape.directions2 || row.skips2) {
        row.looked2.fetch_add(places.size(), std::memory_order_relaxed);
        for (const uint32_t place : places)
            if (areOutliers || !std::binary_search(levels_.outliers, levels_.outliers + levels_.outlierCount, place)) kept[n++] = place;
        return n;
    }
    const auto rowOf = [&](size_t i) { return levels_.level2 + size_t{places[i]} * cascade::kRowBytes2; };
    for (size_t i = 0; i < places.size(); ++i) prefetch(rowOf(i), cascade::kRowBytes2);
    call_.count(&rtd_search_counts::level2, places.size());
    call_.count(&rtd_search_counts::bytes, places.size() * cascade::kRowBytes2);
    row.looked2.fetch_add(places.size(), std::memory_order_relaxed);
    const cpu::Level2Query query = row.query.level2Query(row.radius.load(std::memory_order_relaxed));
    for (size_t begin = 0; begin < places.size(); begin += kRowsAtOnce) {
        const size_t some = std::min(kRowsAtOnce, places.size() - begin);
        const uint8_t* rows[kRowsAtOnce];
        int32_t sums[kRowsAtOnce] = {};
        uint16_t scores[kRowsAtOnce] = {};
        Tails2 tails;
        for (size_t i = 0; i < some; ++i) {
            rows[i] = rowOf(begin + i);
            scores[i] = row.scores[places[begin + i]];
            tails.set(rows[i], i);
        }
        codes_.rowSums(rows, some, cascade::kRowBytes2, row.query.two().codes(), sums);
        uint32_t mask = codes_.withinReach(scores, sums, tails.keys, query) & (areOutliers ? tails.outliers : ~tails.outliers);
        if (some < kRowsAtOnce) mask &= (uint32_t{1} << some) - 1;
        for (; mask; mask &= mask - 1) {
            kept[n] = places[begin + static_cast<size_t>(std::countr_zero(mask))];
            prefetch(levels_.level3 + size_t{kept[n++]} * levels_.shape.rowBytes3(), levels_.shape.rowBytes3());
        }
    }
    return n;
}

// What levels 1 and 2 have left: by what the row accepts, then by level 3.
void LevelFilter::keepFurther(CascadeRow& row, std::span<uint32_t> places, bool areOutliers) const {
    size_t n = places.size();
    if (isFiltered(*row.row->wants)) {
        const auto end = std::remove_if(places.begin(), places.end(), [&](uint32_t place) { return !acceptsPlace(*row.row->wants, place); });
        n = static_cast<size_t>(end - places.begin());
    }
    if (n) keepByLevel3(row, places.first(n), areOutliers);
}

void LevelFilter::keepByLevel3(CascadeRow& row, std::span<const uint32_t> places, bool areOutliers) const {
    Candidate candidates[kChunkKeys];
    float uppers[kChunkKeys];
    size_t count = 0, upperCount = 0;
    if (!levels_.shape.hasLevel3) {
        for (const uint32_t place : places) candidates[count++] = {areOutliers ? 0.0f : static_cast<float>(row.scores[place]), place};
    } else {
        call_.count(&rtd_search_counts::level3, places.size());
        call_.count(&rtd_search_counts::bytes, places.size() * levels_.shape.rowBytes3());
        row.looked3.fetch_add(places.size(), std::memory_order_relaxed);
        const auto rowOf = [&](size_t i) { return levels_.level3 + size_t{places[i]} * levels_.shape.rowBytes3(); };
        const double radius = row.radius.load(std::memory_order_relaxed);
        const size_t length = (levels_.shape.length + 63) / 64 * 64;
        for (size_t begin = 0; begin < places.size(); begin += kRows3AtOnce) {
            const size_t n = std::min(kRows3AtOnce, places.size() - begin);
            const uint8_t* rows[kRows3AtOnce];
            int32_t sums[kRows3AtOnce];
            for (size_t i = 0; i < n; ++i) rows[i] = rowOf(begin + i);
            codes_.rowSums(rows, n, length, row.query.three().codes(), sums);
            for (size_t i = 0; i < n; ++i) {
                cascade::Tail3 tail;
                std::memcpy(&tail, rows[i] + levels_.shape.tail3(), sizeof tail);
                if (!row.query.mayBeWithin3(radius, sums[i], tail)) continue;
                const cascade::Bounds bounds = row.query.bounds3(sums[i], tail);
                candidates[count++] = {std::nextafter(static_cast<float>(bounds.lower), 0.0f), places[begin + i]};
                uppers[upperCount++] = std::nextafter(static_cast<float>(bounds.upper), HUGE_VALF);
            }
        }
    }
    if (count == 0) return;
    const std::lock_guard lock(row.mutex);
    row.candidates.insert(row.candidates.end(), candidates, candidates + count);
    row.uppers.insert(row.uppers.end(), uppers, uppers + upperCount);
    if (row.uppers.size() > 4 * size_t{row.row->wants->k} + 1024) row.lowerRadiusToUppers();
}

}  // namespace rtd
