// The kernel against the oracle and the CPU back ends: ids, distance bits, logit bits and statuses.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string_view>

#include "../harness.h"
#include "kernel_run.h"

namespace {

KernelWay randomWay(std::mt19937_64& random, const Shape& shape) {
    const auto below = [&](uint64_t n) { return static_cast<uint32_t>(random() % n); };
    constexpr uint32_t kGrids[] = {1, 2, 3, 5, 9}, kPools[] = {64, 64, 256, 4096};
    KernelWay way;
    way.config = below(below(4) ? kSmallConfigCount : kKernelConfigCount);
    way.seed = random();
    way.grid = kGrids[below(5)];
    way.resident = 1 + below(way.grid);
    way.smallestPool = kPools[below(shape.k > 4 ? 4 : 3)];
    way.tilesPerTicket = 1 + below(3);
    way.mergeParts = below(2) ? 1 : 2 + below(6);
    way.splitAbove = below(2) ? 0 : 40;
    way.logitsDtype = below(4) ? RTD_F32 : RTD_F16;
    way.isPadded = below(3) == 0;
    way.launches = below(8) ? 1 : 2;
    way.seeds = static_cast<Seeds>(below(3));
    if (below(6) == 0) {
        way.sifting = below(2) ? Sifting::levels : Sifting::tensors;
        way.shareKeys = 32u << below(5);
        way.giveUpPercent = below(3) ? 1000 : 10;
    }
    return way;
}

Answer checkKernel(const Case& c, const KernelWay& way) {
    try {
        const Answer answer = runKernel(c, way);
        checkSame(answer, expected(c, way.logitsDtype));
        return answer;
    } catch (const std::exception& error) { throw test::Failure(std::string(error.what()) + "\n    in: " + c.shape.text() + "; " + way.text()); }
}

// Small enough that a case takes milliseconds on the emulated device.
Shape smaller(Shape s) {
    if (s.entries > 5000) s.entries = 2000;
    return s;
}

// Of many cases: mostly one with few warps, and each in turn.
uint32_t configOf(uint64_t i) { return static_cast<uint32_t>(i % 7 ? i % kSmallConfigCount : i / 7 % kKernelConfigCount); }

Shape shapeOf(uint32_t entries, uint32_t dim, uint32_t batch, uint32_t k) {
    Shape s;
    s.entries = entries;
    s.dim = dim;
    s.batch = batch;
    s.k = k;
    return s;
}

// Every instantiation, with small pools and a grid that is not all resident.
void checkEveryConfig(const Case& c) {
    for (uint32_t config = 0; config < kKernelConfigCount; ++config) {
        KernelWay way;
        way.config = config;
        way.seed = config + c.shape.entries;
        way.grid = 1 + config;
        way.resident = 1 + config / 2;
        way.smallestPool = 64;
        way.tilesPerTicket = 1 + config % 2;
        way.mergeParts = 1 + config;
        checkKernel(c, way);
    }
}

// What a random case is an instance of. Every one of these must come up at least once in 400 cases.
std::set<std::string> traitsOf(const Case& c, const KernelWay& way, const Answer& answer) {
    const Shape& s = c.shape;
    std::set<std::string> traits = {"kind " + std::to_string(static_cast<int>(s.kind)), kKernelConfigs[way.config].text()};
    const auto add = [&](bool has, const char* trait) {
        if (has) traits.insert(trait);
    };
    const bool isSearched = s.batch > 0 && s.entries > 0;
    const uint32_t tiles = (s.entries + 31) / 32;
    add(isSearched && s.k == s.entries, "k = N");
    add(isSearched && s.k > s.entries, "k > N");
    add(isSearched && s.k * 8 < s.entries, "N > 8 k");
    add(s.entries == 0, "no entries");
    add(s.batch > 16, "several groups of queries");
    add(s.heads > 1, "heads");
    add(isSearched && way.grid == 1, "one block");
    add(isSearched && way.grid > tiles, "more blocks than tiles");
    add(isSearched && way.resident < way.grid, "blocks that start late");
    add(isSearched && s.entries > 300 && way.smallestPool == 64, "pools that are cut often");
    add(isSearched && way.mergeParts > 1 && s.entries / way.mergeParts > s.k && way.smallestPool >= s.entries, "merges of several blocks");
    add(isSearched && way.isPadded, "unaligned queries");
    add(isSearched && way.seeds == Seeds::near, "the nearest as seeds");
    add(isSearched && way.seeds == Seeds::random, "random seeds");
    add(way.launches > 1, "a second launch on the workspace");
    add(isSearched && way.sifting == Sifting::levels, "sifted by levels");
    add(isSearched && way.sifting == Sifting::tensors, "sifted by tensor cores");
    add(isSearched && way.sifting != Sifting::none && way.giveUpPercent < 100, "sifted until that is given up");
    add(std::find(c.data.removed.begin(), c.data.removed.end(), true) != c.data.removed.end(), "removed entries");
    for (uint32_t b = 0; b < s.batch; ++b) {
        const auto logits = c.logits.begin() + static_cast<ptrdiff_t>(b * s.vocabulary);
        add(std::all_of(logits, logits + s.vocabulary, [](float l) { return l == -INFINITY; }), "a row of -inf");
        add(std::any_of(logits, logits + s.vocabulary, [](float l) { return std::isnan(l); }), "a row with NaN");
        const bool isEmpty = isSearched && answer.counts[size_t{b} * s.heads] == 0;
        add(isEmpty && c.rows[b].flags & RTD_ROW_MAX_DISTANCE && !(c.rows[b].flags & RTD_ROW_SKIP) && !c.rows[b].namespaces,
            "a threshold that rejects everything");
        add(isEmpty && c.rows[b].namespaces && !(c.rows[b].flags & RTD_ROW_SKIP), "namespaces that accept nothing");
    }
    return traits;
}

// Fewer where the emulated device runs at a tenth of its speed, under sanitizers and emulators.
int caseCount() {
    const char* wanted = std::getenv("RTD_KERNEL_CASES");
    return wanted ? std::atoi(wanted) : 5000;
}

// What a CPU back end gives for the case.
Answer runOnCpu(const Case& c, const char* backend, rtd_dtype logitsDtype) {
    const TestIndex index(indexOptions(c.shape.dim, c.shape.metric, c.shape.dtype, c.shape.heads, backend));
    fillIndex(index, c);
    return run(index, c, {backend, 1, logitsDtype});
}

TEST("random cases, against the oracle and a CPU back end") {
    std::mt19937_64 random(1);
    const int cases = caseCount();
    std::vector<const char*> cpus = usableBackends();
    std::erase_if(cpus, [](const char* backend) { return std::string_view(backend).starts_with("cuda"); });
    std::map<std::string, int> seen;
    for (int i = 0; i < cases; ++i) {
        const Shape shape = smaller(randomShape(random));
        const KernelWay way = randomWay(random, shape);
        const Case c = makeCase(shape, static_cast<uint64_t>(i), false);
        const Answer kernel = checkKernel(c, way);
        checkSame(kernel, runOnCpu(c, cpus[static_cast<size_t>(i) % cpus.size()], way.logitsDtype));
        for (const std::string& trait : traitsOf(c, way, kernel)) ++seen[trait];
    }
    if (cases < 400) return;
    CHECK_EQUAL(seen.size(), 10 + kKernelConfigCount + 23);
    for (const auto& [trait, count] : seen)
        if (count < cases / 400) throw test::Failure("only " + std::to_string(count) + " of " + std::to_string(cases) + " random cases: " + trait);
}

void checkThrough(const ThroughCase& c, KernelWay way) {
    way.through = &c;
    try {
        checkSame(runKernel(c.searched, way), expected(c.searched, way.logitsDtype));
    } catch (const std::exception& error) { throw test::Failure(std::string(error.what()) + "\n    in: " + c.text() + "; " + way.text()); }
}

TEST("random cases whose queries go through a transform in the launch") {
    std::mt19937_64 random(31);
    for (int i = 0; i < caseCount() / 5; ++i) {
        Shape shape = smaller(randomShape(random));
        if (random() % 4 == 0) shape.dim = shape.heads * static_cast<uint32_t>(120 + random() % 150);  // levels 2 and 3
        KernelWay way = randomWay(random, shape);
        if (random() % 2) way.sifting = random() % 2 ? Sifting::levels : Sifting::tensors;
        way.queriesAreHalf = random() % 3 == 0;
        checkThrough(makeThroughCase(shape, randomInputs(random, shape), static_cast<uint64_t>(i), false, way.queriesAreHalf ? RTD_F16 : RTD_F32),
                     way);
    }
}

TEST("transforms of every size, in every instantiation") {
    for (const uint32_t inputs : {0u, 1u, 127u, 128u, 129u, 513u})
        for (uint32_t config = 0; config < kKernelConfigCount; ++config) {
            Shape shape = shapeOf(70, 35 + config, 1 + 4 * config, 6);
            shape.dtype = static_cast<rtd_dtype>(config % 3);
            shape.metric = static_cast<rtd_metric>(inputs % 3);
            KernelWay way;
            way.config = config;
            way.seed = inputs + config;
            way.launches = 2;
            way.isPadded = config % 2;
            checkThrough(makeThroughCase(shape, inputs, config, true), way);
        }
    checkThrough(makeThroughCase(shapeOf(20, 5, 65, 4), 3, 1, true), {});
    checkThrough(makeThroughCase(shapeOf(3, 1500, 1, 2), 0, 1, true), {});
    checkThrough(makeThroughCase(shapeOf(3, 4, 2, 2), 4100, 1, true), {});
    checkThrough(makeThroughCase(shapeOf(0, 40, 2, 2), 40, 1, true), {});
}

TEST("a query without a finite image stays as it was, the others are merged") {
    for (const float number : {NAN, INFINITY, 3e38f})
        for (const uint32_t inputs : {0u, 30u})
            for (const Sifting sifting : {Sifting::none, Sifting::levels, Sifting::tensors}) {
                Shape shape = shapeOf(100, 144, 4, 5);
                if (inputs == 0) shape.heads = 3;
                ThroughCase c = makeThroughCase(shape, inputs, 2, true);
                const Through& t = c.through;
                c.given.queries[2 * t.inputs + 1] = number;
                if (std::isfinite(number)) c.through.mean[1] = -number;  // twice as much is infinite, also under a weight
                for (uint32_t b = 0; b < shape.batch; ++b) {
                    const std::vector<float> image = oracle::imageOf(t.view(), &c.given.queries[size_t{b} * t.inputs]);
                    const bool isFinite = std::all_of(image.begin(), image.end(), [](float z) { return std::isfinite(z); });
                    CHECK_EQUAL(isFinite, b != 2);
                    if (isFinite) std::copy(image.begin(), image.end(), c.searched.queries.begin() + static_cast<ptrdiff_t>(b * shape.dim));
                }
                KernelWay way;
                way.through = &c;
                way.config = 2;
                way.sifting = sifting;
                way.launches = 2;
                checkSameButBroken(runKernel(c.searched, way), expected(c.searched, RTD_F32), c.searched, 2);
            }
}

// A small case that is hard in one way.
struct Adversary {
    const char* name;
    Kind kind = Kind::normal;
    uint32_t entries = 150, k = 5;
    uint32_t grid = 4, resident = 0;  // 0: any number
    void (*change)(Case&) = [](Case&) {};
};

const Adversary kAdversaries[] = {
    {"nothing special"},
    {"all ties", Kind::equal},
    {"all duplicates", Kind::duplicates},
    {"k = N", Kind::ties, 60, 60},
    {"k > N", Kind::normal, 20, 64},
    {"one block", Kind::descending, 150, 5, 1, 1},
    {"more blocks than tiles", Kind::ties, 40, 5, 9, 9},
    {"blocks that start late", Kind::normal, 150, 5, 6, 1},
    {"rows of -infinity", Kind::normal, 70, 8, 4, 0,
     [](Case& c) {
         for (uint32_t v = 0; v < c.shape.vocabulary; ++v) c.logits[v] = -INFINITY;                          // all of the first row
         for (uint32_t v = 0; v < c.shape.vocabulary; v += 2) c.logits[c.shape.vocabulary + v] = -INFINITY;  // half of the second
     }},
    {"denormals", Kind::tiny, 100},
    {"thresholds that reject everything", Kind::normal, 100, 5, 4, 0,
     [](Case& c) {
         for (rtd_row_options& row : c.rows) row.flags |= RTD_ROW_MAX_DISTANCE, row.max_distance = -1;
     }},
    {"keys in descending order of distance", Kind::descending, 300},
};

TEST("200 schedules of each adversary give the same bits") {
    const uint64_t schedules = caseCount() < 5000 ? 24 : 200;
    for (const Adversary& adversary : kAdversaries) {
        Shape shape = shapeOf(adversary.entries, 20, 2, adversary.k);
        shape.kind = adversary.kind;
        shape.heads = 2;
        Case c = makeCase(shape, 3, true);
        adversary.change(c);
        for (uint64_t seed = 0; seed < schedules; ++seed) {
            KernelWay way;
            way.config = configOf(seed);
            way.seed = seed;
            way.grid = adversary.grid;
            way.resident = adversary.resident ? adversary.resident : 1 + static_cast<uint32_t>(seed / 8 % way.grid);
            way.smallestPool = seed % 3 ? 64 : 512;
            way.tilesPerTicket = 1 + static_cast<uint32_t>(seed / 4 % 2);
            way.mergeParts = 1 + static_cast<uint32_t>(seed % 5);
            way.seeds = static_cast<Seeds>(seed % 3);
            way.sifting = static_cast<Sifting>(seed / 2 % 3);
            way.shareKeys = 32;
            way.giveUpPercent = seed % 5 ? 1000 : 20;
            try {
                checkKernel(c, way);
            } catch (const test::Failure& failure) { throw test::Failure(std::string(adversary.name) + ": " + failure.text); }
        }
    }
}

TEST("100 schedules of a transform give the same bits, with seeds and cascades or without") {
    for (const uint32_t inputs : {0u, 40u}) {
        Shape shape = shapeOf(150, 40, 5, 5);
        if (inputs == 0) shape.heads = 2;
        const ThroughCase c = makeThroughCase(shape, inputs, 3, true);
        for (uint64_t seed = 0; seed < (caseCount() < 5000 ? 12 : 100); ++seed) {
            KernelWay way;
            way.config = configOf(seed);
            way.seed = seed;
            way.grid = 1 + static_cast<uint32_t>(seed % 6);
            way.resident = 1 + static_cast<uint32_t>(seed / 6 % way.grid);
            way.smallestPool = 64;
            way.seeds = static_cast<Seeds>(seed % 3);
            way.sifting = static_cast<Sifting>(seed / 2 % 3);
            way.shareKeys = 32;
            way.giveUpPercent = seed % 5 ? 1000 : 20;
            checkThrough(c, way);
        }
    }
}

TEST("every kind of data in every instantiation") {
    for (const Kind kind : kKinds)
        for (const rtd_metric metric : {RTD_L2, RTD_L2SQ, RTD_DOT}) {
            Shape shape = shapeOf(130, 36, 3, 7);
            shape.kind = kind;
            shape.metric = metric;
            checkEveryConfig(makeCase(shape, 1, false));
        }
}

TEST("every dimension up to 130, of each dtype") {
    for (uint32_t dim = 1; dim <= 130; ++dim) {
        Shape shape = shapeOf(37, dim, 2, 8);
        shape.dtype = static_cast<rtd_dtype>(dim % 3);
        shape.metric = static_cast<rtd_metric>(dim / 3 % 3);
        KernelWay way;
        way.config = dim % kKernelConfigCount;
        way.seed = dim;
        way.isPadded = dim % 2;
        checkKernel(makeCase(shape, dim, true), way);
    }
}

TEST("large dimensions") {
    for (const uint32_t dim : {255u, 256u, 576u, 1000u, 4096u, 16384u})
        for (const rtd_dtype dtype : {RTD_F32, RTD_F16, RTD_BF16}) {
            Shape shape = shapeOf(dim > 1000 ? 5 : 40, dim, 2, 8);
            shape.dtype = dtype;
            shape.kind = Kind::spiky;
            KernelWay way;
            way.config = dim % kKernelConfigCount;
            checkKernel(makeCase(shape, dim, true), way);
        }
}

TEST("every k that is special, nearest last") {
    for (const uint32_t entries : {0u, 1u, 64u, 65u, 2048u, 2500u})
        for (const uint32_t k : {1u, 64u, 65u, 2047u, 2048u}) {
            Shape shape = shapeOf(entries, 3, 1, k);
            shape.kind = entries % 2 ? Kind::equal : Kind::descending;
            KernelWay way;
            way.config = k % 2 ? 0 : 5;
            way.grid = 4;
            way.smallestPool = 64;
            checkKernel(makeCase(shape, k, true), way);
        }
}

TEST("a pool in parts: as many, more and fewer entries than they hold") {
    for (const uint32_t entries : {1u, 12u, 63u, 64u, 65u, 200u, 256u})
        for (const uint32_t k : {1u, 9u, 31u, 32u, 33u})
            for (const uint32_t parts : {2u, 7u, 16u}) {
                Shape shape = shapeOf(entries, 5, 2, k);
                shape.kind = entries % 2 ? Kind::descending : Kind::ties;
                KernelWay way;
                way.config = parts % 6;
                way.grid = 6;
                way.resident = 1 + entries % 6;
                way.smallestPool = 256;
                way.mergeParts = parts;
                way.launches = 2;
                checkKernel(makeCase(shape, k, true), way);
            }
}

TEST("seeds keep far entries out of the pool") {
    for (const uint32_t k : {1u, 8u, 60u}) {
        Shape shape = shapeOf(2000, 4, 1, k);
        shape.kind = Kind::descending;
        Case c = makeCase(shape, 1, true);
        KernelWay way;
        way.grid = way.resident = 2;
        KernelCost without, with;
        runKernel(c, way, &without);
        CHECK_EQUAL(without.pooled, 2000);
        way.seeds = Seeds::near;
        checkSame(runKernel(c, way, &with), expected(c, RTD_F32));
        CHECK(with.pooled < 200);
    }
}

TEST("a cascade of every kind of levels, in every instantiation") {
    for (const uint32_t dim : {20u, 140u, 256u, 1000u})  // level 1; and 3; and 2; and 2b
        for (const rtd_metric metric : {RTD_L2, RTD_DOT})
            for (uint32_t config = 0; config < kKernelConfigCount; ++config) {
                if (test::kIsSlow && (config + dim / 20 + metric) % 3 != 0) continue;
                Shape shape = shapeOf(dim > 256 ? 150 : 300, dim, 3 + 6 * config % 40, 1 + 3 * config);
                shape.metric = metric;
                shape.dtype = static_cast<rtd_dtype>(config % 3);
                KernelWay way;
                way.config = config;
                way.seed = dim + config;
                way.sifting = config % 2 ? Sifting::levels : Sifting::tensors;
                way.launches = 2;
                checkKernel(makeCase(shape, dim, true), way);
            }
}

TEST("a cascade spares nearly all of the keys' bytes") {
    // Of the entries without a cascade, in whole tiles: of 4 keys, and of 16 in what ships.
    for (const auto& [config, scanned] : {std::pair{2u, 219u}, {6u, 224u}})
        for (const Sifting sifting : {Sifting::levels, Sifting::tensors}) {
            Shape shape = shapeOf(1600, 256, 16, 4);
            KernelWay way;
            way.config = config;
            way.grid = way.resident = 1;
            way.sifting = sifting;
            way.shareKeys = 800;
            const Case c = makeCase(shape, 1, true);
            KernelCost cost;
            checkSame(runKernel(c, way, &cost), expected(c, RTD_F32));
            const uint64_t keyBytes = 256 * 4;
            CHECK(cost.firstTouches <= scanned * keyBytes);
            CHECK(cost.gathered < uint64_t{1600} * 16 * keyBytes / 10);
        }
}

TEST("heads, few and many, in shared memory and out of it") {
    for (const uint32_t heads : {2u, 7u, 32u, 129u}) {
        Shape shape = shapeOf(60, heads * 4, heads > 100 ? 2 : 5, heads == 32 ? 50 : 3);
        shape.heads = heads;
        KernelWay way;
        way.config = heads % 3;
        way.smallestPool = 64;
        checkKernel(makeCase(shape, heads, true), way);
    }
    Shape shape = shapeOf(400, 32, 1, 300);  // 32 lists of 300 tokens: more than the ring holds
    shape.heads = 32;
    shape.vocabulary = 1000;
    checkKernel(makeCase(shape, 1, true), {});
}

TEST("large vocabularies") {
    for (const uint32_t vocabulary : {32000u, 128256u, 300000u}) {
        Shape shape = shapeOf(50, 8, 1, 10);
        shape.vocabulary = vocabulary;
        KernelWay way;
        way.config = 4;
        checkKernel(makeCase(shape, vocabulary, true), way);
    }
}

TEST("one block, more blocks than tiles, blocks that start late") {
    const Case c = makeCase(shapeOf(100, 12, 3, 10), 1, true);
    for (const uint32_t grid : {1u, 2u, 30u})
        for (const uint32_t resident : {1u, grid}) {
            KernelWay way;
            way.grid = grid;
            way.resident = resident;
            way.launches = 2;
            checkKernel(c, way);
        }
}

TEST("float16 queries") {
    for (const uint32_t dim : {5u, 24u, 130u}) {
        Case c = makeCase(shapeOf(80, dim, 5, 9), dim, true);
        for (float& q : c.queries) q = oracle::roundTo(RTD_F16, q);
        KernelWay way;
        way.queriesAreHalf = true;
        for (way.config = 0; way.config < 3; ++way.config) checkKernel(c, way);
    }
}

TEST("thresholds that reject everything, namespaces that accept nothing") {
    Case c = makeCase(shapeOf(90, 10, 4, 6), 1, true);
    const std::vector<uint32_t> none = {77};
    for (rtd_row_options& row : c.rows) row.flags |= RTD_ROW_MAX_DISTANCE, row.max_distance = -1;
    checkEveryConfig(c);
    for (rtd_row_options& row : c.rows) row.flags = 0, row.namespaces = none.data(), row.namespace_count = 1;
    checkEveryConfig(c);
}

TEST("each key is read once from device memory, with whole sectors and no bank conflicts") {
    for (const rtd_dtype dtype : {RTD_F32, RTD_F16, RTD_BF16})
        for (uint32_t config = 0; config < kKernelConfigCount; ++config) {
            Shape shape = shapeOf(200, 576, 20, 10);
            shape.dtype = dtype;
            KernelWay way;
            way.config = config;
            way.isAudited = true;
            KernelCost cost;
            runKernel(makeCase(shape, 1, true), way, &cost);
            const uint64_t bytes = uint64_t{200} * 576 * (dtype == RTD_F32 ? 4 : 2), queries = kKernelConfigs[config].queries;
            CHECK_EQUAL(cost.firstTouches, bytes);
            CHECK_EQUAL(cost.furtherTouches, bytes * ((20 + queries - 1) / queries - 1));
            CHECK(cost.audited > 1000);
            CHECK_EQUAL(cost.bankConflicts, 0);
            CHECK_EQUAL(cost.uncoalesced, 0);
            CHECK_EQUAL(cost.uncoalescedScalars, 0);
        }
    Shape shape = shapeOf(200, 576, 3, 10);  // slices of 18 floats are padded from 72 to 80 bytes
    shape.heads = 32;
    KernelCost cost;
    runKernel(makeCase(shape, 1, true), {}, &cost);
    CHECK_EQUAL(cost.firstTouches, uint64_t{200} * 32 * 80);
}

TEST("queries that copies cannot take are loaded number by number, uncoalesced, and stored without bank conflicts") {
    for (const rtd_dtype dtype : {RTD_F32, RTD_BF16})
        for (const uint32_t config : {0u, 3u, 6u}) {
            Shape shape = shapeOf(200, 576, 20, 10);
            shape.dtype = dtype;
            KernelWay way;
            way.config = config;
            way.isPadded = true;
            way.isAudited = true;
            KernelCost cost;
            runKernel(makeCase(shape, 1, true), way, &cost);
            // A lane takes four neighbouring numbers one after another, so that a warp's 32 at a time lie 16 bytes apart.
            const auto [queries, warps, stages] = kKernelConfigs[config];
            const uint64_t tileKeys = 4 * (queries == 16 ? warps / 2 : warps), tiles = (200 + tileKeys - 1) / tileKeys, fours = 576 / 4;
            CHECK_EQUAL(cost.uncoalescedScalars, tiles * 20 * 4 * ((fours + 31) / 32));
            CHECK(cost.scalarLoads > cost.uncoalescedScalars);  // to see whether queries are finite, neighbouring lanes take neighbouring numbers
            CHECK_EQUAL(cost.uncoalesced, 0);
            CHECK_EQUAL(cost.bankConflicts, 0);
        }
}

}  // namespace
