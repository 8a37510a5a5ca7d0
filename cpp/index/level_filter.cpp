#include "index/level_filter.h"

#include <bit>
#include <cstring>

#include "core/memory.h"
#include "core/pages.h"
#include "index/prefetch.h"

namespace rtd {
namespace {

constexpr size_t kRowsAtOnce = cpu::kBlockKeys;  // rows of level 2 that are looked at together
constexpr size_t kSampledBlocks = 64;            // of which scores are looked at to choose a score
constexpr size_t kLongRowsAtOnce = 4;            // the same of levels 2b and 3, which are longer

// The ends of up to 32 rows of level 2.
struct Tails2 {
    cpu::Level2Keys keys{};
    uint32_t outliers = 0;  // a bit each

    void set(const uint8_t* row, size_t i) {
        cascade::Tail2 tail;
        std::memcpy(&tail, row + cascade::kCodes2, sizeof tail);
        keys.step[i] = tail.step;
        keys.norm[i] = tail.norm;
        keys.error[i] = tail.error;
        keys.residual[i] = static_cast<float>(tail.residual1 - cascade::kZeroCode);
        outliers |= uint32_t{tail.isOutlier} << i;
    }
};

}  // namespace

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

// Keys that level 2 did not rule out.
struct LevelFilter::Survivors {
    uint32_t places[kChunkKeys];
    double squared2[kChunkKeys];  // without the residual's part, where there is a level 2b
    size_t count = 0;
};

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

// Returns how many are left, at the front and in their order.
size_t LevelFilter::removeUnaccepted(const SearchRow& wants, std::span<uint32_t> places) const {
    const auto isRefused = [&](uint32_t place) {
        const Part& part = snapshot_.partOf(cascade_.first + place);
        return !accepts(snapshot_, wants, part, cascade_.first + place - part.first);
    };
    return static_cast<size_t>(std::remove_if(places.begin(), places.end(), isRefused) - places.begin());
}

bool LevelFilter::isOutlier(uint32_t place) const { return std::binary_search(levels_.outliers, levels_.outliers + levels_.outlierCount, place); }

LevelFilter::Chunk LevelFilter::chunkAt(size_t chunk) const {
    const size_t begin = chunk * kChunkBlocks;
    return {begin, std::min(kChunkBlocks, cascade::LevelShape::blocksOf(levels_.count) - begin)};
}

// The places of a chunk's keys with scores up to `most`.
size_t LevelFilter::select(const CascadeRow& row, const Chunk& chunk, uint16_t most, uint32_t* places) const {
    const size_t first = chunk.begin * cpu::kBlockKeys;
    size_t n = codes_.selectScores(row.scores + first, chunk.blocks, most, static_cast<uint32_t>(first), places);
    while (n > 0 && places[n - 1] >= levels_.count) --n;  // the last block may not be full
    return n;
}

// A score that about `wanted` keys do not exceed, judging by a sample.
uint16_t LevelFilter::scoreOf(const CascadeRow& row, size_t wanted) const {
    const size_t blocks = cascade::LevelShape::blocksOf(levels_.count), step = std::max<size_t>(1, blocks / kSampledBlocks);
    std::vector<uint16_t> sample;
    for (size_t b = 0; b < blocks; b += step) sample.insert(sample.end(), row.scores + b * cpu::kBlockKeys, row.scores + (b + 1) * cpu::kBlockKeys);
    const size_t rank = std::min(sample.size() - 1, wanted * sample.size() / levels_.count);
    std::nth_element(sample.begin(), sample.begin() + static_cast<ptrdiff_t>(rank), sample.end());
    return sample[rank];
}

std::vector<Ranked> LevelFilter::likeliest(const CascadeRow& row, size_t count) const {
    const size_t wanted = levels_.shape.directions2 ? kRankedForEach * count : count;
    const uint16_t most = scoreOf(row, wanted);
    std::vector<Ranked> keys;
    keys.reserve(wanted + wanted / 4);
    uint32_t some[kChunkKeys];
    for (size_t chunk = 0; chunk < chunks() && keys.size() < 2 * wanted; ++chunk) {  // among ties there may be many more than wanted
        size_t n = select(row, chunkAt(chunk), most, some);
        if (isFiltered(*row.row->wants)) n = removeUnaccepted(*row.row->wants, {some, n});
        for (size_t i = 0; i < n; ++i) keys.push_back({static_cast<float>(row.scores[some[i]]), some[i]});
    }
    return keys;
}

void LevelFilter::rank(const CascadeRow& row, std::span<Ranked> keys) const {
    if (!levels_.shape.directions2) return;
    std::vector<const uint8_t*> rows(keys.size());
    std::vector<int32_t> sums(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) prefetch(rows[i] = levels_.level2 + size_t{keys[i].place} * cascade::kRowBytes2, cascade::kRowBytes2);
    codes_.rowSums(rows.data(), rows.size(), cascade::kRowBytes2, row.query.two().codes(), sums.data());
    call_.count(&rtd_search_counts::level2, rows.size());
    call_.count(&rtd_search_counts::bytes, rows.size() * cascade::kRowBytes2);
    for (size_t i = 0; i < keys.size(); ++i)
        keys[i].distance = static_cast<float>(row.query.squared2(row.scores[keys[i].place], sums[i], rows[i]).all);
}

void LevelFilter::sweep(const std::vector<CascadeRow*>& rows, size_t at) const {
    const Chunk chunk = chunkAt(at);
    const auto outlierAt = [&](size_t place) { return std::lower_bound(levels_.outliers, levels_.outliers + levels_.outlierCount, place); };
    const std::span<const uint32_t> outliers(outlierAt(chunk.begin * cpu::kBlockKeys), outlierAt((chunk.begin + chunk.blocks) * cpu::kBlockKeys));
    std::unique_ptr<Level2Block[]> blocks;
    for (CascadeRow* row : rows) {
        Survivors survivors;
        keepByLevel2(*row, outliers, true, survivors);
        const uint16_t most = row->query.largestScore(row->radius.load(std::memory_order_relaxed));
        uint32_t places[kChunkKeys];
        const size_t n = select(*row, chunk, most, places);
        if (row->takesBlocks) {
            if (!blocks) blocks = readBlocks(chunk);
            call_.count(&rtd_search_counts::level2, n);
            row->looked2.fetch_add(n, std::memory_order_relaxed);
            keepByLevel2(*row, chunk, blocks.get(), most, survivors);
        } else {
            keepByLevel2(*row, {places, n}, false, survivors);
        }
        keepFurther(*row, survivors);
    }
}

std::unique_ptr<Level2Block[]> LevelFilter::readBlocks(const Chunk& chunk) const {
    auto blocks = allocate<Level2Block>(chunk.blocks, "level 2 of a chunk");
    call_.count(&rtd_search_counts::bytes, chunk.blocks * cpu::kBlockKeys * cascade::kRowBytes2);
    for (size_t b = 0; b < chunk.blocks; ++b) {
        const size_t first = (chunk.begin + b) * cpu::kBlockKeys;
        blocks[b].fill(codes_, levels_.level2 + first * cascade::kRowBytes2, std::min<size_t>(cpu::kBlockKeys, levels_.count - first));
    }
    return blocks;
}

void LevelFilter::ask(const void* row, size_t bytes) const { isOnDisk_ ? askForPages(row, bytes) : prefetch(row, bytes); }

void LevelFilter::addSurvivor(const CascadeRow& row, uint32_t place, int32_t sum, Survivors& to) const {
    if (row.isMeasured(place)) return;
    const uint32_t bytes = levels_.shape.rowBytes2b;
    if (bytes) {
        to.squared2[to.count] = row.query.squared2(row.scores[place], sum, levels_.level2 + size_t{place} * cascade::kRowBytes2).withoutResidual;
        ask(levels_.level2b + size_t{place} * bytes, bytes);
    } else {
        ask(levels_.level3 + size_t{place} * levels_.shape.rowBytes3(), levels_.shape.rowBytes3());
    }
    to.places[to.count++] = place;
}

// Of all keys of a chunk with scores up to `most`, those that level 2 does not rule out.
void LevelFilter::keepByLevel2(const CascadeRow& row, const Chunk& chunk, const Level2Block* blocks, uint16_t most, Survivors& to) const {
    const cpu::Level2Query query = row.query.level2Query(row.radius.load(std::memory_order_relaxed));
    for (size_t b = 0; b < chunk.blocks; ++b) {
        const size_t first = (chunk.begin + b) * cpu::kBlockKeys;
        const uint16_t* scores = row.scores + first;
        uint32_t mask = codes_.maskScores(scores, most) & ~blocks[b].tails.outliers;
        if (first + cpu::kBlockKeys > levels_.count) mask &= (uint32_t{1} << (levels_.count - first)) - 1;
        if (mask == 0) continue;
        int32_t sums[cpu::kBlockKeys];
        codes_.blockSums(blocks[b].codes, cascade::kCodes2 / 4, row.query.two().codes(), sums);
        for (mask &= codes_.withinReach(scores, sums, blocks[b].tails.keys, query); mask; mask &= mask - 1) {
            const auto at = static_cast<size_t>(std::countr_zero(mask));
            addSurvivor(row, static_cast<uint32_t>(first + at), sums[at], to);
        }
    }
}

// Of a list of at most a chunk's keys. areOutliers: level 1's, of which its error does not hold.
void LevelFilter::keepByLevel2(CascadeRow& row, std::span<const uint32_t> places, bool areOutliers, Survivors& to) const {
    row.looked2.fetch_add(places.size(), std::memory_order_relaxed);
    if (!levels_.shape.directions2 || row.skips2) {
        for (const uint32_t place : places)
            if (!row.isMeasured(place) && (areOutliers || !isOutlier(place))) to.places[to.count++] = place;
        return;
    }
    const auto rowOf = [&](size_t i) { return levels_.level2 + size_t{places[i]} * cascade::kRowBytes2; };
    for (size_t i = 0; i < places.size(); ++i) prefetch(rowOf(i), cascade::kRowBytes2);
    call_.count(&rtd_search_counts::level2, places.size());
    call_.count(&rtd_search_counts::bytes, places.size() * cascade::kRowBytes2);
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
            const auto at = static_cast<size_t>(std::countr_zero(mask));
            addSurvivor(row, places[begin + at], sums[at], to);
        }
    }
}

// What levels 1 and 2 have left: by what the row accepts, then by level 2b, then by level 3.
void LevelFilter::keepFurther(CascadeRow& row, Survivors& survivors) const {
    if (levels_.shape.rowBytes2b && !row.skips2) keepByLevel2b(row, survivors);
    std::span<uint32_t> places(survivors.places, survivors.count);
    if (isFiltered(*row.row->wants)) places = places.first(removeUnaccepted(*row.row->wants, places));
    if (!places.empty()) keepByLevel3(row, places);
}

void LevelFilter::keepByLevel2b(CascadeRow& row, Survivors& survivors) const {
    const cascade::LevelShape& shape = levels_.shape;
    call_.count(&rtd_search_counts::level2b, survivors.count);
    call_.count(&rtd_search_counts::bytes, survivors.count * shape.rowBytes2b);
    row.looked2b.fetch_add(survivors.count, std::memory_order_relaxed);
    const double radius = row.radius.load(std::memory_order_relaxed);
    size_t kept = 0;
    for (size_t begin = 0; begin < survivors.count; begin += kLongRowsAtOnce) {
        const size_t some = std::min(kLongRowsAtOnce, survivors.count - begin);
        const uint8_t* rows[kLongRowsAtOnce];
        int32_t sums[kLongRowsAtOnce];
        for (size_t i = 0; i < some; ++i) rows[i] = levels_.level2b + size_t{survivors.places[begin + i]} * shape.rowBytes2b;
        codes_.rowSums(rows, some, shape.rowBytes2b, row.query.twoB().codes(), sums);
        for (size_t i = 0; i < some; ++i) {
            cascade::Tail2b tail;
            std::memcpy(&tail, rows[i] + shape.codes2b(), sizeof tail);
            if (!row.query.mayBeWithin2b(radius, survivors.squared2[begin + i], sums[i], tail)) continue;
            const uint32_t place = survivors.places[kept++] = survivors.places[begin + i];
            ask(levels_.level3 + size_t{place} * shape.rowBytes3(), shape.rowBytes3());
        }
    }
    survivors.count = kept;
}

void LevelFilter::keepByLevel3(CascadeRow& row, std::span<const uint32_t> places) const {
    Candidate candidates[kChunkKeys];
    float uppers[kChunkKeys];
    size_t count = 0, upperCount = 0;
    if (!levels_.shape.hasLevel3) {
        for (const uint32_t place : places) candidates[count++] = {isOutlier(place) ? 0.0f : static_cast<float>(row.scores[place]), place};
    } else {
        call_.count(&rtd_search_counts::level3, places.size());
        call_.count(&rtd_search_counts::bytes, places.size() * levels_.shape.rowBytes3());
        row.looked3.fetch_add(places.size(), std::memory_order_relaxed);
        const auto rowOf = [&](size_t i) { return levels_.level3 + size_t{places[i]} * levels_.shape.rowBytes3(); };
        const double radius = row.radius.load(std::memory_order_relaxed);
        const size_t length = (levels_.shape.length + 63) / 64 * 64;
        for (size_t begin = 0; begin < places.size(); begin += kLongRowsAtOnce) {
            const size_t n = std::min(kLongRowsAtOnce, places.size() - begin);
            const uint8_t* rows[kLongRowsAtOnce];
            int32_t sums[kLongRowsAtOnce];
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
