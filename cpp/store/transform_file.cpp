#include "store/transform_file.h"

#include <algorithm>
#include <vector>

#include "core/memory.h"
#include "core/pages.h"
#include "core/status.h"
#include "store/files.h"
#include "store/safetensors.h"
#include "store/tensor_values.h"

namespace rtd::store {
namespace {

std::vector<TensorSpec> transformTensors(uint64_t inputDim, const TransformFacts& facts) {
    return {{"mean", "F32", 4, inputDim, 0}, {"weights", "F32", 4, facts.entries, facts.isMatrix ? inputDim : 0}};
}

std::vector<TensorSpec> keyTensors(uint64_t entries, const Manifest& manifest) {
    return {{"keys", kDtypeNames[static_cast<size_t>(manifest.dtype)], bytesOf(manifest.dtype), entries, manifest.searchedDim()}};
}

// Calls body(rows, count) with up to kTransformRows keys at a time, transformed and in the index's dtype.
template <typename Body>
void forTransformed(const Index& index, const void* keys, uint64_t first, uint32_t count, const Call& call, const Body& body) {
    const IndexConfig& config = index.config();
    const rtd_matrix matrix = {keys, count, config.givenDim(), 0, static_cast<rtd_dtype>(config.dtype)};
    const MatrixView view(&matrix, "keys");
    std::vector<float> images(kTransformRows * config.dim);
    std::vector<std::byte> rows(kTransformRows * config.rowBytes());
    for (uint32_t begin = 0; begin < count; begin += kTransformRows) {
        call.throwIfStopped();
        const size_t here = std::min<size_t>(kTransformRows, count - begin);
        config.transform->apply(index.backend(), view, begin, here, images.data());
        if (const size_t at = firstNotFinite(images.data(), here * config.dim, config.dtype); at < here * config.dim)
            fail(RTD_NOT_FINITE, "the transform makes %g of dimension %zu of entry %llu; keys must be finite as %s: fit it anew, or use f32",
                 static_cast<double>(images[at]), at % config.dim, static_cast<unsigned long long>(first + begin + at / config.dim),
                 nameOf(config.dtype));
        convertFromFloat(images.data(), here * config.dim, config.dtype, rows.data());
        body(rows.data(), here);
    }
}

}  // namespace

TransformFacts writeTransform(Directory& directory, const std::string& name, const Transform& transform) {
    TransformFacts facts;
    facts.isMatrix = transform.isMatrix();
    facts.entries = transform.outputDim();
    static_cast<FileFacts&>(facts) = writeDurably(directory, name, {}, [&](ChecksummedFile& file) {
        const std::string header = writeSafetensorsHeader(transformTensors(transform.inputDim(), facts));
        file.write(header.data(), header.size());
        file.write(transform.mean().data(), transform.mean().size() * sizeof(float));
        file.write(transform.weights().data(), transform.weights().size() * sizeof(float));
    });
    facts.entries = transform.outputDim();
    return facts;
}

std::shared_ptr<const Transform> openTransform(Directory& directory, const Manifest& manifest) {
    const TransformFacts& facts = *manifest.transform;
    return naming(directory, facts.name, [&] {
        const auto file = openChecked(directory, facts);
        const auto tensors = transformTensors(manifest.dim, facts);
        const auto offsets = readSafetensorsHeader(*file, tensors);
        std::vector<float> mean, weights;
        rtd::store::readThrough(*file, facts, {}, [&](Bytes piece, uint64_t offset, size_t bytes) {
            const auto take = [&](std::vector<float>& to, size_t which) {
                forElementsIn(piece, offset, bytes, tensors[which], offsets[which], [&](Bytes data, size_t count, uint64_t) {
                    const auto found = reinterpret_cast<const float*>(data);
                    to.insert(to.end(), found, found + count);
                });
            };
            take(mean, 0);
            take(weights, 1);
        });
        try {
            return Transform::make(facts.isMatrix ? RTD_TRANSFORM_MATRIX : RTD_TRANSFORM_SCALE, static_cast<uint32_t>(facts.entries), std::move(mean),
                                   std::move(weights));
        } catch (const Error& error) { fail(RTD_BAD_FORMAT, "%s", error.message.c_str()); }
    });
}

DerivedFacts writeTransformed(Directory& directory, const std::string& name, const Index& index, const void* keys, uint64_t first, uint32_t count,
                              const Call& call) {
    Manifest shape;
    shape.dim = index.config().dim;
    shape.dtype = index.config().dtype;
    DerivedFacts facts;
    static_cast<FileFacts&>(facts) = writeDurably(directory, name, call, [&](ChecksummedFile& file) {
        const std::string header = writeSafetensorsHeader(keyTensors(count, shape));
        file.write(header.data(), header.size());
        forTransformed(index, keys, first, count, call,
                       [&](const std::byte* rows, size_t here) { file.write(rows, here * index.config().rowBytes()); });
    });
    facts.first = first;
    facts.entries = count;
    return facts;
}

SearchedKeys transformInMemory(const Index& index, const void* keys, uint64_t first, uint32_t count, const Call& call) {
    const size_t rowBytes = index.config().rowBytes();
    const std::shared_ptr<void> memory = allocatePages(checkedProduct(count, rowBytes, "transformed keys"), "transformed keys");
    auto* to = static_cast<std::byte*>(memory.get());
    forTransformed(index, keys, first, count, call, [&](const std::byte* rows, size_t here) { to = std::copy_n(rows, here * rowBytes, to); });
    return {memory.get(), memory};
}

SearchedKeys openTransformed(Directory& directory, const DerivedFacts& facts, const Manifest& manifest, bool readThrough) {
    return naming(directory, facts.name, [&] {
        const auto file = openChecked(directory, facts);
        const auto tensors = keyTensors(facts.entries, manifest);
        const auto offsets = readSafetensorsHeader(*file, tensors);
        if (readThrough) {
            rtd::store::readThrough(*file, facts, {}, [&](Bytes piece, uint64_t offset, size_t bytes) {
                forElementsIn(piece, offset, bytes, tensors[0], offsets[0], [&](Bytes data, size_t count, uint64_t firstElement) {
                    checkKeys(data, count, firstElement, manifest.searchedDim(), manifest.dtype);
                });
            });
        }
        const std::shared_ptr<const Mapping> mapping = file->map();
        return SearchedKeys{mapping->data() + offsets[0], mapping};
    });
}

void verifyTransformed(Directory& directory, const DerivedFacts& facts, const Manifest& manifest, const Call& call) {
    naming(directory, facts.name, [&] {
        const auto file = openChecked(directory, facts);
        readSafetensorsHeader(*file, keyTensors(facts.entries, manifest));
        rtd::store::readThrough(*file, facts, call, [](Bytes, uint64_t, size_t) {});
    });
}

}  // namespace rtd::store
