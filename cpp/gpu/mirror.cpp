#include "gpu/mirror.h"

#include <algorithm>
#include <cstring>

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
      keys_(device, "keys on the device"),
      tokens_(device, "tokens on the device"),
      namespaces_(device, "namespaces on the device"),
      removed_(device, "removed entries on the device") {}

// Whole tiles at a time, the one that was begun included: its earlier keys are written again with the same bytes.
void Mirror::append(const Snapshot& snapshot) {
    const uint32_t begin = entries_ / kLayoutKeys * kLayoutKeys;
    if (snapshot.entries <= entries_) return;
    const auto grown = [](size_t had, size_t needed) { return needed <= had ? needed : std::max(needed, had + had / 2); };
    const size_t wanted = layout_.bytes(snapshot.entries), words = size_t{snapshot.entries} * sizeof(uint32_t);
    keys_.need(grown(keys_.bytes(), wanted), layout_.bytes(entries_));
    tokens_.need(grown(tokens_.bytes(), words), size_t{entries_} * sizeof(uint32_t));
    namespaces_.need(grown(namespaces_.bytes(), words), size_t{entries_} * sizeof(uint32_t));

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
        device_.upload(keys_.data<std::byte>() + first / kLayoutKeys * layout_.tileBytes(), staging_.data(), staging_.size());
        device_.upload(tokens_.data<uint32_t>() + first, tokens.data(), count * sizeof(uint32_t));
        device_.upload(namespaces_.data<uint32_t>() + first, namespaces.data(), count * sizeof(uint32_t));
        device_.synchronize();  // before the staging memory is used again
    }
    entries_ = snapshot.entries;
}

void Mirror::mark(const Snapshot& snapshot) {
    if (!snapshot.removed || (snapshot.removed == marked_ && snapshot.entries <= markedEntries_)) return;
    std::vector<uint32_t> words((size_t{snapshot.entries} + 31) / 32);
    for (uint32_t id = 0; id < snapshot.entries; ++id)
        if (snapshot.removed->has(id)) words[id / 32] |= 1u << id % 32;
    marked_ = nullptr;
    removed_.need(words.size() * sizeof(uint32_t));
    device_.upload(removed_.data(), words.data(), words.size() * sizeof(uint32_t));
    device_.synchronize();
    marked_ = snapshot.removed;
    markedEntries_ = snapshot.entries;
}

void Mirror::show(const Snapshot& snapshot, cuda::SearchFuseArgs& args) {
    append(snapshot);
    mark(snapshot);
    args.keys = keys_.data();
    args.tokens = tokens_.data<int32_t>();
    args.namespaces = namespaces_.data<uint32_t>();
    args.removed = snapshot.removed ? removed_.data<uint32_t>() : nullptr;
    args.layout = layout_;
    args.entries = snapshot.entries;
    args.headDim = headDim_;
    args.isRoot = config_.metric == Metric::l2;
}

}  // namespace rtd::gpu
