// The scan's inner loop alone: tiles of 128 keys, one thread, every back end that runs here. Each back end's sums are compared with the serial
// one's before it is timed. Times are the best of many runs, for a machine may be shared; the ratio is to reading the same bytes and nothing
// else, timed in the same round.
//
//     bench_tile_sums [keys] [dimensions] [rounds]        by default 100000 keys of 576 dimensions, 10 rounds
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "cpu/dispatch.h"

namespace {

using namespace rtd;

constexpr uint32_t kTileKeys = 128, kBatches[] = {1, 2, 3, 4, 8, 16, 64};

struct Data {
    Dtype type;
    size_t count, length;
    std::vector<std::byte> keys;
    std::vector<float> queries;

    size_t bytes() const { return count * length * bytesOf(type); }
};

Data makeData(Dtype type, size_t count, size_t length) {
    Data data = {type, count, length, std::vector<std::byte>(count * length * bytesOf(type)), std::vector<float>(64 * length)};
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> numbers(65537);  // drawn once and repeated: the speed does not depend on them
    for (float& v : numbers) v = normal(random);
    for (size_t i = 0; i < count * length; i += numbers.size())
        convertFromFloat(numbers.data(), std::min(numbers.size(), count * length - i), type, data.keys.data() + i * bytesOf(type));
    for (float& v : data.queries) v = normal(random);
    return data;
}

// All keys against the first `batch` queries, tile after tile; calls seen(tile's sums, its keys).
template <typename Seen>
void scan(const cpu::Backend& backend, const Data& data, uint32_t batch, std::vector<float>& sums, const Seen& seen) {
    for (size_t i = 0; i < data.count; i += kTileKeys) {
        const auto n = static_cast<uint32_t>(std::min<size_t>(kTileKeys, data.count - i));
        const cpu::KeyTile keys = {data.keys.data() + i * data.length * bytesOf(data.type), data.length, n, static_cast<uint32_t>(data.length)};
        backend.l2[static_cast<size_t>(data.type)]({data.queries.data(), data.length, batch}, keys, sums.data(), kTileKeys);
        seen(sums, n);
    }
}

bool isRight(const cpu::Backend& backend, const Data& data) {
    Data few = data;
    few.count = std::min<size_t>(few.count, 300);
    std::vector<float> sums(64 * kTileKeys), want, got;
    const auto into = [](std::vector<float>& all) {
        return [&](const std::vector<float>& tile, uint32_t) { all.insert(all.end(), tile.begin(), tile.end()); };
    };
    scan(cpu::serialBackend, few, 64, sums, into(want));
    scan(backend, few, 64, sums, into(got));
    return !std::memcmp(want.data(), got.data(), want.size() * sizeof(float));
}

template <typename Body>
double secondsOf(const Body& body) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

volatile uint64_t readSink;

void readAll(const Data& data) {
    uint64_t lanes[8] = {}, words[8];
    for (size_t i = 0; i + sizeof words <= data.keys.size(); i += sizeof words) {
        std::memcpy(words, data.keys.data() + i, sizeof words);
        for (int j = 0; j < 8; ++j) lanes[j] += words[j];
    }
    for (const uint64_t lane : lanes) readSink = readSink + lane;
}

void measure(const Data& data, int rounds) {
    std::map<std::string, double> best;
    const auto keep = [&](const std::string& name, double seconds) { best[name] = best.count(name) ? std::min(best[name], seconds) : seconds; };
    std::vector<float> sums(64 * kTileKeys);
    std::vector<const cpu::Backend*> backends;
    for (const rtd_backend_info& info : cpu::backends())
        if (info.usable && std::strcmp(info.name, "serial") != 0) backends.push_back(&cpu::chooseBackend(info.name));
    for (const cpu::Backend* backend : backends)
        if (!isRight(*backend, data)) {
            std::fprintf(stderr, "%s: wrong sums\n", backend->name);
            std::exit(1);
        }
    for (int round = 0; round < rounds; ++round) {
        keep("read", secondsOf([&] { readAll(data); }));
        for (const cpu::Backend* backend : backends)
            for (const uint32_t batch : kBatches)
                keep(backend->name + std::to_string(batch), secondsOf([&] { scan(*backend, data, batch, sums, [](const auto&, uint32_t) {}); }));
    }
    std::printf("%s, %zu keys of %zu: read %.2f GB/s\n", nameOf(data.type), data.count, data.length,
                static_cast<double>(data.bytes()) / best["read"] / 1e9);
    for (const cpu::Backend* backend : backends)
        for (const uint32_t batch : kBatches) {
            const double seconds = best[backend->name + std::to_string(batch)];
            std::printf("  %-7s B = %-2u  %6.2f x read  %6.2f GB/s  %6.1f G fma/s\n", backend->name, batch, seconds / best["read"],
                        static_cast<double>(data.bytes()) / seconds / 1e9, static_cast<double>(data.count * data.length * batch) / seconds / 1e9);
        }
}

}  // namespace

int main(int argc, char** argv) {
    const auto argument = [&](int i, size_t otherwise) { return argc > i ? static_cast<size_t>(std::strtoull(argv[i], nullptr, 10)) : otherwise; };
    for (const Dtype type : {Dtype::f32, Dtype::f16, Dtype::bf16})
        measure(makeData(type, argument(1, 100000), argument(2, 576)), static_cast<int>(argument(3, 10)));
}
