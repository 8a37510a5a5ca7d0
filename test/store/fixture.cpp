#include "store/fixture.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>

#include "index/handle.h"
#include "store/fake_file_system.h"

namespace rtd::store {

Batch::Batch(uint32_t seed, uint32_t count, uint32_t dim_) : dim(dim_) {
    std::mt19937 generator(seed);
    const auto random = [&] { return static_cast<uint32_t>(generator()); };
    for (uint32_t i = 0; i < count; ++i) {
        for (uint32_t j = 0; j < dim; ++j) keys.push_back(static_cast<float>(random() % 64) / 2 - 16);
        tokens.push_back(static_cast<int32_t>(random() % 1000));
        namespaces.push_back(random() % 3);
        examples.push_back(seed * 1000 + i);
        positions.push_back(random() % 50);
    }
}

uint32_t Batch::appendTo(Store& store) const { return store.append(matrix(), tokens.data(), namespaces.data(), examples.data(), positions.data()); }

IndexConfig smallConfig(uint32_t dim, Dtype dtype) { return {.dim = dim, .dtype = dtype, .threads = 1}; }

std::shared_ptr<const Transform> smallMatrix(uint32_t rows) {
    std::vector<float> mean(6), weights(size_t{6} * rows);
    for (size_t i = 0; i < mean.size(); ++i) mean[i] = 0.25f * static_cast<float>(i);
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(static_cast<int>(i * 7 % 11) - 5) / 3;
    return Transform::make(RTD_TRANSFORM_MATRIX, rows, mean, weights);
}

std::shared_ptr<const Transform> smallScale() { return Transform::make(RTD_TRANSFORM_SCALE, 6, {1, 2, 3, 4, 5, 6}, {0.1f, 3, 0.7f, 2, 1, 5}); }

namespace {

// The bits of a search with a few queries.
void addSearch(const std::shared_ptr<Index>& index, Checksum& digest) {
    rtd_index handle(index);
    const Batch queries(77, 3, index->config().givenDim());
    const auto matrix = queries.matrix();
    const uint32_t k = 64;
    const size_t rows = 3 * index->config().heads;
    std::vector<uint32_t> ids(rows * k), counts(rows);
    std::vector<float> distances(rows * k);
    std::vector<int32_t> tokens(rows * k);
    rtd_row_options row{};
    row.struct_size = sizeof row;
    row.k = k;
    const rtd_hits hits{ids.data(), distances.data(), tokens.data(), counts.data(), k};
    if (rtd_search(&handle, &matrix, &row, 1, nullptr, &hits) != RTD_OK) test::fail(__FILE__, __LINE__, rtd_last_error());
    digest.update(ids.data(), 4 * ids.size());
    digest.update(distances.data(), 4 * distances.size());
    digest.update(tokens.data(), 4 * tokens.size());
    digest.update(counts.data(), 4 * counts.size());
}

}  // namespace

std::string contentOf(const Store& store) {
    const auto index = store.index();
    const Snapshot snapshot = index->snapshot();
    const size_t n = snapshot.entries;
    std::vector<uint32_t> ids(n), namespaces(n), examples(n), positions(n);
    std::iota(ids.begin(), ids.end(), 0);
    std::vector<int32_t> tokens(n);
    std::vector<uint8_t> live(n);
    std::vector<float> keys(n * index->config().givenDim()), searched(n * index->config().dim);
    index->entriesOf(ids.data(), n, tokens.data(), namespaces.data(), live.data());
    index->keysOf(ids.data(), n, searched.data());
    store.keysOf(ids.data(), n, keys.data());
    store.origins(ids.data(), n, examples.data(), positions.data());

    Checksum digest;
    for (const auto* column : {&namespaces, &examples, &positions}) digest.update(column->data(), 4 * n);
    digest.update(tokens.data(), 4 * n);
    digest.update(live.data(), n);
    digest.update(keys.data(), 4 * keys.size());
    digest.update(searched.data(), 4 * searched.size());
    if (const auto& transform = index->config().transform) {
        digest.update(transform->mean().data(), 4 * transform->mean().size());
        digest.update(transform->weights().data(), 4 * transform->weights().size());
    }
    addSearch(index, digest);

    const Manifest manifest = readManifest(store.manifestText());
    return std::to_string(n) + " entries, " + std::to_string(snapshot.live) + " live, " + std::to_string(snapshot.sealed) + " sealed, T " +
           std::to_string(snapshot.temperature) + ", model " + manifest.model + ", metadata " + manifest.metadata + ", digest " +
           toHex(digest.digest());
}

std::string contentOf(FileSystem& files, const std::string& path, bool skipChecksums) {
    try {
        return contentOf(*Store::open(files, path, {.skipChecksums = skipChecksums, .threads = 1}));
    } catch (const Error& error) {
        if (error.status != RTD_NOT_FOUND) throw;
        return "none";
    }
}

void forgeFile(FakeFileSystem& files, const std::string& path, const std::string& name, const std::string& content) {
    Manifest manifest = readManifest(files.content(path, kManifestName));
    const auto forge = [&](FileFacts& facts) {
        if (facts.name != name) return;
        facts.bytes = content.size();
        facts.checksum = checksumOf(content);
    };
    for (auto& segment : manifest.segments) forge(segment);
    if (manifest.removed) forge(*manifest.removed);
    files.setContent(path, name, content);
    files.setContent(path, kManifestName, writeManifest(manifest));
}

rtd_status statusOf(const std::function<void()>& body, std::string* message) {
    try {
        body();
    } catch (const Error& error) {
        if (message) *message = error.message;
        return error.status;
    }
    return RTD_OK;
}

int inChild(const std::function<int()>& body) {
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child < 0) test::fail(__FILE__, __LINE__, "fork");
    if (child == 0) {
        int status = 99;
        try {
            status = body();
        } catch (const std::exception& error) { std::fprintf(stderr, "child: %s\n", error.what()); }
        ::_exit(status);
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child) test::fail(__FILE__, __LINE__, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace rtd::store
