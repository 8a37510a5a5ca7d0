// A fixed amount of work through one of the hot loops, for a machine that counts its instructions: bench/instructions/count.ts runs it under callgrind,
// which counts between entering and leaving counted(). The work does not depend on the processor: numbers are drawn without the C library's functions,
// searches have one thread.
//
//     hot_loops LOOP BACKEND        LOOP as listed in main(); BACKEND serial or avx2, which are what callgrind can run
//     hot_loops compiler            says what compiled it: counts of two compilers are no more alike than times of two machines
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/dispatch.h"
#include "rtd.h"

extern "C" __attribute__((noinline)) void counted(const std::function<void()>& body) { body(); }

namespace {

using namespace rtd;

// xorshift32
class Random {
  public:
    uint32_t bits() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 17;
        state_ ^= state_ << 5;
        return state_;
    }
    float number() { return static_cast<float>(static_cast<int32_t>(bits() >> 8) - (1 << 23)) * 0x1p-23f; }  // -1..1

  private:
    uint32_t state_ = 2463534242;
};

std::vector<float> numbers(size_t count, Random& random) {
    std::vector<float> all(count);
    for (float& x : all) x = random.number();
    return all;
}

void check(rtd_status status) {
    if (status == RTD_OK) return;
    std::fprintf(stderr, "hot_loops: %s\n", rtd_last_error());
    std::exit(1);
}

void tileSums(const cpu::Backend& backend, Dtype type, bool isDot, uint32_t batch) {
    constexpr uint32_t kKeys = 128, kLength = 576, kTiles = 4;
    Random random;
    const std::vector<float> drawn = numbers(kTiles * kKeys * kLength, random), queries = numbers(batch * kLength, random);
    std::vector<std::byte> keys(drawn.size() * bytesOf(type));
    convertFromFloat(drawn.data(), drawn.size(), type, keys.data());
    std::vector<float> sums(batch * kKeys);
    const cpu::TileSums loop = (isDot ? backend.dot : backend.l2)[static_cast<size_t>(type)];
    counted([&] {
        for (uint32_t tile = 0; tile < kTiles; ++tile)
            loop({queries.data(), kLength, batch}, {keys.data() + size_t{tile} * kKeys * kLength * bytesOf(type), kLength, kKeys, kLength},
                 sums.data(), kKeys);
    });
}

// A query's integers and their halves.
struct Codes {
    Codes(size_t length, Random& random) {
        for (size_t i = 0; i < length; ++i) {
            z.push_back(static_cast<int16_t>(static_cast<int32_t>(random.bits() % 32767) - 16383));
            high.push_back(static_cast<int8_t>(z.back() >> 7));
            low.push_back(static_cast<int8_t>(z.back() & 127));
        }
    }
    cpu::CodeQuery query() const { return {z.data(), high.data(), low.data()}; }
    std::vector<int16_t> z;
    std::vector<int8_t> high, low;
};

std::vector<uint8_t> bytes(size_t count, Random& random) {
    std::vector<uint8_t> all(count);
    for (uint8_t& byte : all) byte = static_cast<uint8_t>(random.bits() >> 24);
    return all;
}

void blockScores(const cpu::Backend& backend) {
    constexpr uint32_t kBlocks = 1000, kGroups = 8;
    Random random;
    const std::vector<uint8_t> blocks = bytes(kBlocks * cpu::blockBytesOf(kGroups), random);
    const Codes codes(4 * kGroups, random);
    const cpu::BlockQuery query = {codes.query(), 1 << 29, 3, 14};
    std::vector<uint16_t> scores(kBlocks * cpu::kBlockKeys);
    counted([&] { backend.codes.blockScores(blocks.data(), kBlocks, kGroups, &query, 1, scores.data(), 0); });
}

void rowSums(const cpu::Backend& backend) {
    constexpr size_t kRows = 4000, kLength = 576;
    Random random;
    const std::vector<uint8_t> memory = bytes(kRows * kLength, random);
    const Codes codes(kLength, random);
    std::vector<const uint8_t*> rows;
    for (size_t i = 0; i < kRows; ++i) rows.push_back(memory.data() + i * kLength);
    std::vector<int32_t> sums(kRows);
    counted([&] { backend.codes.rowSums(rows.data(), kRows, kLength, codes.query(), sums.data()); });
}

void fusion() {
    constexpr size_t kVocabulary = 49152, kHits = 64;
    Random random;
    std::vector<float> logits = numbers(kVocabulary, random), distances;
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < kHits; ++i) {
        distances.push_back(static_cast<float>(i) * 0.25f);
        tokens.push_back(static_cast<int32_t>(random.bits() % kVocabulary));
    }
    uint32_t count = kHits;
    const rtd_hits hits = {nullptr, distances.data(), tokens.data(), &count, kHits};
    const rtd_mutable_matrix matrix = {logits.data(), 1, kVocabulary, 0, RTD_F32};
    rtd_row_options row{};
    row.struct_size = sizeof row;
    row.k = kHits;
    row.reference_weight = 0.3f;
    row.temperature = 2;
    counted([&] { check(rtd_fuse(&hits, 1, &matrix, &row, 1, nullptr)); });
}

// On keys whose numbers fall off as those of hidden states do along their principal directions.
void search(const char* backend, rtd_cascade cascade, uint32_t batch) {
    constexpr uint32_t kEntries = 4096, kDim = 256;
    Random random;
    std::vector<float> rows = numbers(size_t{kEntries + batch} * kDim, random);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] *= 8 / static_cast<float>(i % kDim + 8);
    rtd_index_options options{};
    options.struct_size = sizeof options;
    options.dim = kDim;
    options.metric = RTD_L2;
    options.backend = backend;
    options.threads = 1;
    options.cascade = cascade;
    rtd_index* index = nullptr;
    check(rtd_index_create(&options, &index));
    const rtd_matrix keys = {rows.data(), kEntries, kDim, 0, RTD_F32};
    const std::vector<int32_t> tokens(kEntries);
    check(rtd_index_add(index, &keys, tokens.data(), nullptr, nullptr));
    check(rtd_index_seal(index, nullptr));
    const rtd_matrix queries = {rows.data() + size_t{kEntries} * kDim, batch, kDim, 0, RTD_F32};
    rtd_row_options row{};
    row.struct_size = sizeof row;
    row.k = 64;
    std::vector<uint32_t> ids(batch * row.k);
    const rtd_hits hits = {ids.data(), nullptr, nullptr, nullptr, row.k};
    counted([&] { check(rtd_search(index, &queries, &row, 1, nullptr, &hits)); });
    rtd_index_release(index);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == "compiler") {
#if defined(__x86_64__)
        const char* architecture = "x86-64";
#else
        const char* architecture = "another architecture";
#endif
#if defined(__clang__)
        std::printf("Clang %d.%d, %s\n", __clang_major__, __clang_minor__, architecture);
#elif defined(__GNUC__)
        std::printf("GCC %d.%d, %s\n", __GNUC__, __GNUC_MINOR__, architecture);
#else
        std::printf("another compiler, %s\n", architecture);
#endif
        return 0;
    }
    if (argc != 3) {
        std::fprintf(stderr, "usage: hot_loops LOOP BACKEND\n");
        return 2;
    }
    const std::string_view loop = argv[1];
    setenv("RTD_BACKEND", argv[2], 1);  // for fusing, which has no index that could name one
    const cpu::Backend& backend = cpu::chooseBackend(argv[2]);
    if (loop == "l2, 1 query")
        tileSums(backend, Dtype::f32, false, 1);
    else if (loop == "l2, 16 queries")
        tileSums(backend, Dtype::f32, false, 16);
    else if (loop == "l2 of f16, 1 query")
        tileSums(backend, Dtype::f16, false, 1);
    else if (loop == "dot, 1 query")
        tileSums(backend, Dtype::f32, true, 1);
    else if (loop == "block scores")
        blockScores(backend);
    else if (loop == "row sums")
        rowSums(backend);
    else if (loop == "fusion")
        fusion();
    else if (loop == "scan")
        search(argv[2], RTD_CASCADE_OFF, 1);
    else if (loop == "cascade, 1 query")
        search(argv[2], RTD_CASCADE_ALWAYS, 1);
    else if (loop == "cascade, 16 queries")
        search(argv[2], RTD_CASCADE_ALWAYS, 16);
    else {
        std::fprintf(stderr, "hot_loops: there is no loop \"%s\"\n", argv[1]);
        return 2;
    }
}
