// For segment_test.py: makes a store whose values follow from the id, or checks that a store holds just those.
//
//     make_store create|check DIRECTORY f32|f16|bf16
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "rtd.h"

namespace {

constexpr uint32_t kDim = 7, kFirst = 37, kEntries = 42;  // two segments
constexpr uint32_t kRemoved[] = {3, 40};

float keyOf(uint32_t id, uint32_t j) { return static_cast<float>((id * 7 + j * 3) % 32) / 4 - 2; }

int failed(const char* what) {
    std::fprintf(stderr, "%s: %s\n", what, rtd_last_error());
    return 1;
}

int append(rtd_store* store, uint32_t begin, uint32_t end) {
    std::vector<float> keys;
    std::vector<int32_t> tokens;
    std::vector<uint32_t> namespaces, examples, positions;
    for (uint32_t id = begin; id < end; ++id) {
        for (uint32_t j = 0; j < kDim; ++j) keys.push_back(keyOf(id, j));
        tokens.push_back(static_cast<int32_t>(id * 11));
        namespaces.push_back(id % 3);
        examples.push_back(id / 4);
        positions.push_back(id % 4);
    }
    const rtd_matrix matrix{keys.data(), end - begin, kDim, 0, RTD_F32};
    if (rtd_store_append(store, &matrix, tokens.data(), namespaces.data(), examples.data(), positions.data(), end - begin, nullptr))
        return failed("append");
    return rtd_store_seal(store, nullptr) ? failed("seal") : 0;
}

int create(const char* path, rtd_dtype dtype) {
    rtd_store_options options{};
    options.struct_size = sizeof options;
    options.dim = kDim;
    options.dtype = dtype;
    options.model = "{\"file\":\"a.gguf\"}";
    rtd_store* store = nullptr;
    if (rtd_store_create(path, &options, &store)) return failed("create");
    const int status = append(store, 0, kFirst) + append(store, kFirst, kEntries) + (rtd_store_remove(store, kRemoved, 2) ? failed("remove") : 0);
    rtd_store_release(store);
    return status;
}

int check(const char* path) {
    rtd_store* store = nullptr;
    rtd_index* index = nullptr;
    if (rtd_store_open(path, nullptr, &store) || rtd_store_index(store, &index)) return failed("open");
    int wrong = 0;
    for (uint32_t id = 0; id < kEntries; ++id) {
        float key[kDim];
        int32_t token;
        uint32_t names, example, position;
        uint8_t live;
        if (rtd_index_keys(index, &id, 1, key) || rtd_index_entries(index, &id, 1, &token, &names, &live) ||
            rtd_store_origins(store, &id, 1, &example, &position))
            return failed("read");
        for (uint32_t j = 0; j < kDim; ++j) wrong += key[j] != keyOf(id, j);
        wrong += token != static_cast<int32_t>(id * 11) || names != id % 3 || example != id / 4 || position != id % 4;
        wrong += (live == 0) != (id == kRemoved[0] || id == kRemoved[1]);
    }
    rtd_store_release(store);
    if (wrong) std::fprintf(stderr, "%d values differ\n", wrong);
    return wrong != 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const std::string dtype = argv[3];
    if (!std::strcmp(argv[1], "check")) return check(argv[2]);
    return create(argv[2], dtype == "f32" ? RTD_F32 : dtype == "f16" ? RTD_F16 : RTD_BF16);
}
