#include "gpu/mirror.h"

#include <algorithm>
#include <cstring>

#include "core/status.h"

namespace rtd::gpu {
namespace {

constexpr size_t kStagingBytes = size_t{8} << 20;
using cuda::kLayoutKeys;
using cuda::kPieceBytes;

}  // namespace

Mirror::Mirror(Device& device, const IndexConfig& config)
    : device_(device),
      config_(config),
      layout_(cuda::KeyLayout::of(config.heads, config.dim / config.heads, bytesOf(config.dtype))),
      headDim_(config.dim / config.heads),
      cascades_(device, config),
      transform_(device, "the transform on the device") {
    if (config.transform) uploadTransform();
}

void Mirror::uploadTransform() {
    const Transform& transform = *config_.transform;
    const size_t inputs = transform.inputDim(), stride = cuda::alignedStride(transform.inputDim()), rows = transform.weights().size() / inputs;
    std::vector<float> padded((1 + rows) * stride);
    std::copy_n(transform.mean().begin(), inputs, padded.begin());
    for (size_t j = 0; j < rows; ++j)
        std::copy_n(transform.weights().begin() + static_cast<ptrdiff_t>(j * inputs), inputs,
                    padded.begin() + static_cast<ptrdiff_t>((1 + j) * stride));
    transform_.need(padded.size() * sizeof(float));
    device_.upload(transform_.data(), padded.data(), padded.size() * sizeof(float));
    device_.synchronize();  // launches on other streams may follow
}

// Makes room for `bytes`, and some more the next time, by a larger buffer that begins with the first `keep` bytes of the one before.
void Mirror::grow(std::shared_ptr<Buffer>& buffer, const char* what, size_t bytes, size_t keep) {
    const size_t had = buffer ? buffer->bytes() : 0;
    if (bytes <= had) return;
    auto larger = std::make_shared<Buffer>(device_, what);
    larger->need(std::max(bytes, had + had / 2));
    if (keep > 0) {
        device_.copy(larger->data(), buffer->data(), keep);
        device_.synchronize();  // before the one before goes, unless somebody still holds it
    }
    buffer = std::move(larger);
}

// Whole tiles at a time, the one that was begun included: its earlier keys are written again with the same bytes.
void Mirror::append(const Snapshot& snapshot) {
    const uint32_t begin = entries_ / kLayoutKeys * kLayoutKeys;
    if (snapshot.entries <= entries_) return;
    constexpr uint32_t kMost = 0xfff00000u;  // so that no number of an entry or a tile wraps, here or in the kernel
    if (snapshot.entries > kMost) fail(RTD_UNSUPPORTED, "a device holds at most %u entries, and the index has %u", kMost, snapshot.entries);
    const size_t words = size_t{snapshot.entries} * sizeof(uint32_t), hadWords = size_t{entries_} * sizeof(uint32_t);
    grow(keys_, "keys on the device", layout_.bytes(snapshot.entries), layout_.bytes(entries_));
    grow(tokens_, "tokens on the device", words, hadWords);
    grow(namespaces_, "namespaces on the device", words, hadWords);

    const uint32_t step = static_cast<uint32_t>(std::max<size_t>(1, kStagingBytes / layout_.tileBytes())) * kLayoutKeys,
                   elementBytes = bytesOf(config_.dtype);
    const size_t headBytes = size_t{headDim_} * elementBytes;
    std::vector<uint32_t> tokens(step), namespaces(step);
    for (uint32_t first = begin; first < snapshot.entries; first += step) {
        const uint32_t count = std::min(step, snapshot.entries - first);
        staging_.assign(layout_.bytes(count), std::byte{0});
        for (uint32_t i = 0; i < count; ++i) {
            const Part& part = snapshot.partOf(first + i);
            const uint32_t at = first + i - part.first;
            tokens[i] = static_cast<uint32_t>(part.tokens[at]);
            namespaces[i] = part.namespaces ? part.namespaces[at] : 0;
            const auto* key = static_cast<const std::byte*>(part.keys) + at * config_.rowBytes();
            for (uint32_t h = 0; h < config_.heads; ++h)
                for (uint32_t piece = 0; piece < headBytes; piece += kPieceBytes)
                    std::memcpy(&staging_[layout_.offset(i, h, piece)], key + h * headBytes + piece,
                                std::min<size_t>(kPieceBytes, headBytes - piece));
        }
        device_.upload(keys_->data<std::byte>() + first / kLayoutKeys * layout_.tileBytes(), staging_.data(), staging_.size());
        device_.upload(tokens_->data<uint32_t>() + first, tokens.data(), count * sizeof(uint32_t));
        device_.upload(namespaces_->data<uint32_t>() + first, namespaces.data(), count * sizeof(uint32_t));
    }
    device_.synchronize();  // launches on other streams may follow
    entries_ = snapshot.entries;
}

void Mirror::mark(const Snapshot& snapshot) {
    if (!snapshot.removed || (snapshot.removed == marked_ && snapshot.entries <= markedEntries_)) return;
    std::vector<uint32_t> words((size_t{snapshot.entries} + 31) / 32);
    for (uint32_t id = 0; id < snapshot.entries; ++id)
        if (snapshot.removed->has(id)) words[id / 32] |= 1u << id % 32;
    marked_ = nullptr;
    if (!removed_ || removed_.use_count() > 1) removed_ = std::make_shared<Buffer>(device_, "removed entries on the device");
    removed_->need(words.size() * sizeof(uint32_t));
    device_.upload(removed_->data(), words.data(), words.size() * sizeof(uint32_t));
    device_.synchronize();
    marked_ = snapshot.removed;
    markedEntries_ = snapshot.entries;
}

MirrorView Mirror::show(const Snapshot& snapshot) {
    append(snapshot);
    mark(snapshot);
    return {keys_, tokens_, namespaces_, snapshot.removed ? removed_ : nullptr, cascades_.show(snapshot), snapshot.entries};
}

void Mirror::setEntries(const MirrorView& view, cuda::SearchFuseArgs& args) const {
    if (view.entries > 0) {
        args.keys = view.keys->data();
        args.tokens = view.tokens->data<int32_t>();
        args.namespaces = view.namespaces->data<uint32_t>();
    }
    args.removed = view.removed ? view.removed->data<uint32_t>() : nullptr;
    args.layout = layout_;
    args.entries = view.entries;
    args.headDim = headDim_;
    args.runs[0] = {0, view.entries};
    args.runCount = 1;
    CascadeMirror::setCascades(view.cascades, args);
    args.isRoot = config_.metric == Metric::l2;
    if (!config_.transform) return;
    const uint32_t inputs = config_.transform->inputDim();
    args.transform = {transform_.data<float>(), transform_.data<float>() + cuda::alignedStride(inputs), inputs, config_.transform->isMatrix()};
}

}  // namespace rtd::gpu
