// Sums of codes: every back end gives the serial one's numbers, for every shape, and writes nothing else.
#include <cstring>

#include "cpu/backends.h"
#include "harness.h"

namespace {

using namespace rtd::cpu;

// A query's numbers and their halves.
struct Numbers {
    Numbers(size_t length, int32_t limit, std::mt19937& random) {
        for (size_t i = 0; i < length; ++i) {
            const int32_t any = static_cast<int32_t>(random() % static_cast<uint32_t>(2 * limit + 1)) - limit;
            const int32_t value = random() % 8 == 0 ? (random() % 2 ? limit : -limit) : any;
            z.push_back(static_cast<int16_t>(value));
            high.push_back(static_cast<int8_t>(value >> 7));
            low.push_back(static_cast<int8_t>(value & 127));
        }
    }
    CodeQuery query() const { return {z.data(), high.data(), low.data()}; }
    std::vector<int16_t> z;
    std::vector<int8_t> high, low;
};

std::vector<uint8_t> drawCodes(size_t n, std::mt19937& random) {
    std::vector<uint8_t> codes(n);
    for (uint8_t& code : codes) code = static_cast<uint8_t>(random() % 4 ? random() : random() % 2 ? 255 : 0);
    return codes;
}

TEST("scores of blocks of every width, for any number of blocks and queries") {
    std::mt19937 random(1);
    for (uint32_t groups = 1; groups <= 16; ++groups)
        for (const size_t blockCount : {0u, 1u, 2u, 5u})
            for (const size_t queryCount : {0u, 1u, 3u}) {
                const std::vector<uint8_t> blocks = drawCodes(blockCount * blockBytesOf(groups), random);
                std::vector<Numbers> numbers;
                std::vector<BlockQuery> queries;
                for (size_t q = 0; q < queryCount; ++q) numbers.emplace_back(64, 16383, random);
                // start keeps s between 0 and 2^31: sums are at most 4 x 16 x 255 x 16383 < 2^28.1
                for (size_t q = 0; q < queryCount; ++q)
                    queries.push_back({numbers[q].query(), 1 << 29, static_cast<uint32_t>(random() % 10), static_cast<uint32_t>(random() % 20)});
                const size_t stride = blockCount * kBlockKeys + random() % 3;
                const auto scoresOf = [&](const Backend& backend) {
                    std::vector<uint16_t> scores(stride * queryCount + 1, 12345);
                    backend.codes.blockScores(blocks.data(), blockCount, groups, queries.data(), queryCount, scores.data(), stride);
                    return scores;
                };
                const std::vector<uint16_t> want = scoresOf(serialBackend);
                for (const auto& [name, backend] : test::backends()) {
                    if (scoresOf(*backend) != want)
                        test::fail(__FILE__, __LINE__,
                                   name + ": other scores of " + std::to_string(blockCount) + " blocks of " + std::to_string(groups));
                    for (size_t b = 0; b < blockCount; ++b)
                        for (const Numbers& query : numbers) {
                            int32_t got[kBlockKeys], sums[kBlockKeys];
                            backend->codes.blockSums(blocks.data() + b * blockBytesOf(groups), groups, query.query(), got);
                            serialBackend.codes.blockSums(blocks.data() + b * blockBytesOf(groups), groups, query.query(), sums);
                            if (std::memcmp(got, sums, sizeof got) != 0) test::fail(__FILE__, __LINE__, name + ": other sums of a block");
                        }
                }
            }
}

TEST("rows become a block") {
    std::mt19937 random(5);
    const std::vector<uint8_t> rows = drawCodes(kBlockKeys * kInterleavedBytes + 1, random);
    for (const size_t shift : {0u, 1u}) {
        std::vector<uint8_t> want(kBlockKeys * kInterleavedBytes);
        for (size_t i = 0; i < kBlockKeys; ++i)
            for (size_t j = 0; j < kInterleavedBytes; ++j) want[(j / 4 * kBlockKeys + i) * 4 + j % 4] = rows[shift + i * kInterleavedBytes + j];
        std::vector<uint8_t> got(want.size());
        serialBackend.codes.interleaveRows(rows.data() + shift, got.data());
        CHECK(got == want);
        for (const auto& [name, backend] : test::backends()) {
            std::fill(got.begin(), got.end(), uint8_t{1});
            backend->codes.interleaveRows(rows.data() + shift, got.data());
            if (got != want) test::fail(__FILE__, __LINE__, name + ": another block");
        }
    }
}

TEST("a score is what its definition says") {
    std::vector<uint8_t> block(blockBytesOf(1), 0);
    std::vector<int16_t> z = {1, -2, 3, 16383};
    std::vector<int8_t> high, low;
    for (const int16_t v : z) {
        high.push_back(static_cast<int8_t>(v >> 7));
        low.push_back(static_cast<int8_t>(v & 127));
    }
    const uint8_t codes[] = {10, 20, 30, 255};
    std::memcpy(&block[4 * 7], codes, sizeof codes);  // key 7
    const uint16_t norm = 1000;
    std::memcpy(&block[4 * kBlockKeys + 2 * 7], &norm, sizeof norm);
    const BlockQuery query = {{z.data(), high.data(), low.data()}, 1 << 24, 2, 9};
    uint16_t scores[kBlockKeys];
    serialBackend.codes.blockScores(block.data(), 1, 1, &query, 1, scores, kBlockKeys);
    const int32_t s = (1 << 24) + (1000 << 2) - (10 - 40 + 90 + 255 * 16383);
    CHECK_EQUAL(scores[7], s >> 9);
    CHECK_EQUAL(scores[8], (1 << 24) >> 9);
}

TEST("sums of rows of every count and length, at any alignment") {
    std::mt19937 random(2);
    for (size_t count = 0; count <= 9; ++count)
        for (const size_t length : {64u, 128u, 192u, 576u, 640u, 4096u, 65536u + 64u}) {
            if (length > 5000 && count > 5) continue;
            const std::vector<uint8_t> memory = drawCodes(count * (length + 3) + 3, random);
            const Numbers numbers(length, length > 5000 ? 250 : 16383, random);
            std::vector<const uint8_t*> rows;
            for (size_t r = 0; r < count; ++r) rows.push_back(memory.data() + (r * 5 + 3) % (count + 1) % std::max<size_t>(count, 1) * (length + 3));
            const auto sumsOf = [&](const Backend& backend) {
                std::vector<int32_t> sums(count + 1, 12345);
                backend.codes.rowSums(rows.data(), count, length, numbers.query(), sums.data());
                return sums;
            };
            const std::vector<int32_t> want = sumsOf(serialBackend);
            for (size_t r = 0; r < count; ++r) {
                int64_t sum = 0;
                for (size_t j = 0; j < length; ++j) sum += int64_t{rows[r][j]} * numbers.z[j];
                CHECK_EQUAL(want[r], static_cast<int32_t>(static_cast<uint64_t>(sum)));
            }
            for (const auto& [name, backend] : test::backends())
                if (sumsOf(*backend) != want) test::fail(__FILE__, __LINE__, name + ": other sums of rows of " + std::to_string(length));
        }
}

TEST("scores are selected up to a limit, which is included") {
    std::mt19937 random(3);
    for (int i = 0; i < 300; ++i) {
        const size_t blockCount = random() % 5;
        std::vector<uint16_t> scores(blockCount * kBlockKeys + 1);
        for (uint16_t& score : scores) score = static_cast<uint16_t>(random() % 3 ? random() % 10 : random() % 2 ? 65535 - random() % 3 : random());
        const auto most = static_cast<uint16_t>(i % 3 ? random() % 12 : 65535 - random() % 3);
        std::vector<uint32_t> want;
        for (size_t j = 0; j < blockCount * kBlockKeys; ++j)
            if (scores[j] <= most) want.push_back(static_cast<uint32_t>(100 + j));
        std::vector<std::pair<std::string, const CodeSums*>> all = {{"serial", &serialBackend.codes}};
        for (const auto& [name, backend] : test::backends()) all.push_back({name, &backend->codes});
        for (const auto& [name, codes] : all) {
            std::vector<uint32_t> places(blockCount * kBlockKeys);
            places.resize(codes->selectScores(scores.data(), blockCount, most, 100, places.data()));
            if (places != want) test::fail(__FILE__, __LINE__, name + ": selects others");
            for (size_t b = 0; b < blockCount; ++b) {
                uint32_t mask = 0;
                for (size_t j = 0; j < kBlockKeys; ++j) mask |= uint32_t{scores[b * kBlockKeys + j] <= most} << j;
                CHECK_EQUAL(codes->maskScores(&scores[b * kBlockKeys], most), mask);
            }
        }
    }
}

TEST("level 2 decides alike everywhere, also about keys that are just within reach") {
    std::mt19937 random(4);
    std::uniform_real_distribution<float> unit(0, 1);
    int within = 0, beyond = 0;
    for (int i = 0; i < 20000; ++i) {
        Level2Query query = {unit(random),
                             unit(random),
                             unit(random) * 16000,
                             128,
                             1e-6f * unit(random),
                             unit(random) * 100,
                             -1e-5f * unit(random),
                             0,
                             static_cast<int32_t>(random() % 100000)};
        Level2Keys keys;
        uint16_t scores[kBlockKeys];
        int32_t sums[kBlockKeys];
        for (size_t k = 0; k < kBlockKeys; ++k) {
            scores[k] = static_cast<uint16_t>(random() % 2000);
            sums[k] = static_cast<int32_t>(random() % 20000000) - 5000000;
            keys.step[k] = 0.5f + unit(random);
            keys.norm[k] = 1000 * unit(random);
            keys.error[k] = unit(random);
            keys.residual[k] = static_cast<float>(static_cast<int>(random() % 256) - 128);
        }
        // A reach at which one of the keys is on the edge, to within a few ULP: where the order of operations would show.
        const size_t k = random() % kBlockKeys;
        float low = 0, high = 1e6f;
        for (int step = 0; step < 60; ++step) {
            query.reach = (low + high) / 2;
            (serialBackend.codes.withinReach(scores, sums, keys, query) >> k & 1 ? high : low) = query.reach;
        }
        for (const float reach : {low, high}) {
            query.reach = reach;
            const uint32_t want = serialBackend.codes.withinReach(scores, sums, keys, query);
            (want >> k & 1 ? within : beyond) += 1;
            for (const auto& [name, backend] : test::backends())
                if (backend->codes.withinReach(scores, sums, keys, query) != want) test::fail(__FILE__, __LINE__, name + ": decides otherwise");
        }
    }
    CHECK(within > 10000);
    CHECK(beyond > 10000);
}

}  // namespace
