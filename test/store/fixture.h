// What the tests of the store share: entries made from a number, and a store's whole content as one comparable line of text.
#pragma once
#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/status.h"
#include "harness.h"
#include "store/checksum.h"
#include "store/store.h"
#include "temporary_directory.h"

namespace rtd::store {

using test::readFile, test::TemporaryDirectory, test::writeFile;

// Entries whose values follow from a seed. Keys are halves of small integers: exact in every dtype, with ties.
struct Batch {
    Batch(uint32_t seed, uint32_t count, uint32_t dim);
    rtd_matrix matrix() const { return {keys.data(), tokens.size(), dim, 0, RTD_F32}; }
    uint32_t appendTo(Store& store) const;

    uint32_t dim;
    std::vector<float> keys;
    std::vector<int32_t> tokens;
    std::vector<uint32_t> namespaces, examples, positions;
};

IndexConfig smallConfig(uint32_t dim = 6, Dtype dtype = Dtype::f16);

// Transforms of the six dimensions of such keys: to `rows` of them, and in place. Some images need rounding.
std::shared_ptr<const Transform> smallMatrix(uint32_t rows);
std::shared_ptr<const Transform> smallScale();

// Everything a store holds, sealed or not: counts, temperature, model, metadata, and a digest over every entry's values and the bits that a
// search returns. Equal texts are equal stores.
std::string contentOf(const Store& store);
// The same of the store at a path as a reader finds it; "none" if there is no store.
std::string contentOf(FileSystem& files, const std::string& path, bool skipChecksums = false);

class FakeFileSystem;
// Puts `content` in place of a segment or removed file, and makes the manifest's length and checksums right again.
void forgeFile(FakeFileSystem& files, const std::string& path, const std::string& name, const std::string& content);

// The status of the Error that `body` throws, RTD_OK if it throws none. The message goes to `message`.
rtd_status statusOf(const std::function<void()>& body, std::string* message = nullptr);

// Runs `body` in a child process and returns its exit status; whatever it throws becomes 99.
int inChild(const std::function<int()>& body);

}  // namespace rtd::store

#define CHECK_STATUS(body, expected)                                                                                              \
    do {                                                                                                                          \
        std::string checkedMessage;                                                                                               \
        const rtd_status checkedStatus = rtd::store::statusOf([&] { body; }, &checkedMessage);                                    \
        if (checkedStatus != (expected)) {                                                                                        \
            test::fail(__FILE__, __LINE__,                                                                                        \
                       std::string(#body) + " gives " + rtd::statusName(checkedStatus) + " (" + checkedMessage + "), expected " + \
                           rtd::statusName(expected));                                                                            \
        }                                                                                                                         \
    } while (false)
