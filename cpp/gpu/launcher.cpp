#include "gpu/launcher.h"

#include <algorithm>
#include <bit>

namespace rtd::gpu {
namespace {

using cuda::kMaxBatch;
using cuda::kMaxNamespaces;

// A datastore of so many entries fits in a row's pool whole: no block waits for a cut. More rows' pools would cost too much memory.
constexpr uint32_t kUncutEntries = 16384, kUncutRows = 64;
// Few rows: this many blocks share the merge of those whose pools hold much.
constexpr uint32_t kMergingBlocks = 16, kSplitAbove = 1024;

// Of a cascade: from so many queries on, tensor cores; a share for every quarter of a block, within these; and where a block stops sifting.
constexpr uint32_t kTensorQueries = 8, kLargestShare = 4096, kSharesABlock = 4, kGiveUpPercent = 50, kNeverGiveUp = 1000;
// A row that wants more than this share of the keys is better scanned for.
constexpr uint32_t kLeastKeysAHit = 4;

constexpr size_t kTicketBytes = size_t{256} << 10;  // of keys: some 0.1 us of a device's memory rate for each of its blocks

uint32_t ceilDiv(size_t a, size_t b) { return static_cast<uint32_t>((a + b - 1) / b); }

uint32_t hitRoomFor(uint32_t maxHits) { return std::max(32u, std::bit_ceil(maxHits)); }

}  // namespace

Launcher::Launcher(Device& device, const IndexConfig& config)
    : device_(device),
      config_(config),
      rows_(device, "row options on the device"),
      namespaces_(device, "accepted namespaces on the device"),
      seeds_(device, "seeds on the device"),
      workspace_(device, "the workspace on the device") {}

void Launcher::makeRoom(uint32_t batch, uint32_t entries, const CascadeView& cascades, uint32_t maxHits, uint32_t vocabulary) {
    segments_ = cascades.segments;
    rows_.need(kMaxBatch * sizeof(cuda::RowOptions));
    namespaces_.need(kMaxBatch * kMaxNamespaces * sizeof(uint32_t));
    seeds_.need(kMaxBatch * size_t{cuda::kMaxHits} * sizeof(uint32_t));
    const bool isUncut = entries <= kUncutEntries && batch * config_.heads <= kUncutRows;
    const uint32_t pool = isUncut ? std::max(cuda::kSmallestPool, std::bit_ceil(entries)) : cuda::kSmallestPool;
    cuda::WorkspaceLayout next = cuda::WorkspaceLayout::of(batch, config_.heads, maxHits, vocabulary, pool);
    next.segments = static_cast<uint32_t>(cascades.segments.size());
    next.pieces3 = next.segments ? cascades.layout.pieces3() : 0;
    next.imageStride = config_.transform ? cuda::alignedStride(config_.dim) : 0;
    for (const auto part : {&cuda::WorkspaceLayout::batch, &cuda::WorkspaceLayout::rows, &cuda::WorkspaceLayout::poolCapacity,
                            &cuda::WorkspaceLayout::lsePieces, &cuda::WorkspaceLayout::segments, &cuda::WorkspaceLayout::pieces3})
        next.*part = std::max(next.*part, layout_.*part);
    if (next == layout_) return;
    workspace_.need(next.bytes());
    layout_ = next;
    isClean_ = false;
}

void Launcher::prepare(uint32_t maxHits) {
    if (!isClean_) clean();
    for (uint32_t batch = 1; batch <= kMaxBatch; batch *= 2) {
        const cuda::KernelEntry& kernel = kernelFor(batch);
        device_.blocks(kernel, kernel.sharedBytes(hitRoomFor(maxHits)));
    }
}

void Launcher::clean() {
    device_.zero(workspace_.data(), layout_.stateBytes());
    isClean_ = true;
}

// The one that covers the batch in one pass with the fewest queries, else the largest.
const cuda::KernelEntry& Launcher::kernelFor(uint32_t batch) const {
    const cuda::KernelTable table = device_.kernels();
    const cuda::KernelEntry* best = nullptr;
    for (const cuda::KernelEntry* k = table.entries; k < table.entries + table.count; ++k) {
        if (static_cast<uint32_t>(k->key) != static_cast<uint32_t>(config_.dtype) || k->isDot != (config_.metric == Metric::dot)) continue;
        if (!best || (best->queries < batch ? k->queries > best->queries : k->queries >= batch && k->queries < best->queries)) best = k;
    }
    if (!best) fail(RTD_UNSUPPORTED, "no kernel for %s keys and the metric %s", nameOf(config_.dtype), nameOf(config_.metric));
    return *best;
}

void Launcher::setRows(std::span<const RowOptions> rows, uint32_t entries, uint32_t maxHits, bool fuses) {
    std::vector<cuda::RowOptions> given;
    std::vector<uint32_t> namespaces(rows.size() * kMaxNamespaces);
    for (size_t b = 0; b < rows.size(); ++b) {
        const SearchRow& search = rows[b].search;
        const auto seeds = static_cast<uint32_t>(std::min<size_t>(search.seeds.size(), hitRoomFor(maxHits)));
        given.push_back({std::min(search.k, entries), search.maxDistance, fuses ? rows[b].fusion.weight : 0.0f, rows[b].fusion.temperature,
                         rows[b].fusion.unmask, search.anyNamespace ? cuda::kAnyNamespace : static_cast<uint32_t>(search.namespaces.size()), seeds});
        if (seeds > 0) device_.upload(seeds_.data<uint32_t>() + b * cuda::kMaxHits, search.seeds.data(), seeds * sizeof(uint32_t));
        const auto first = namespaces.begin() + static_cast<ptrdiff_t>(b * kMaxNamespaces);
        std::sort(first, std::copy(search.namespaces.begin(), search.namespaces.end(), first));
    }
    mostHits_ = 0;
    for (const cuda::RowOptions& row : given) mostHits_ = std::max(mostHits_, row.k);
    hasSeeds_ = std::any_of(given.begin(), given.end(), [](const cuda::RowOptions& row) { return row.seeds > 0; });
    device_.upload(rows_.data(), given.data(), given.size() * sizeof given[0]);
    device_.upload(namespaces_.data(), namespaces.data(), namespaces.size() * sizeof namespaces[0]);
}

bool Launcher::isWorthSifting(const cuda::SearchFuseArgs& args) const {
    if (args.cascade.segmentCount == 0) return false;
    return config_.cascade == CascadeUse::always || mostHits_ < args.entries / kLeastKeysAHit;
}

// What of an index's cascades a launch uses, and in which way.
void Launcher::chooseCascade(cuda::SearchFuseArgs& args, const cuda::KernelEntry& kernel, unsigned resident) const {
    if (!isWorthSifting(args)) {
        args.cascade.segmentCount = 0;
        args.runs[0] = {0, args.entries};
        args.runCount = 1;
        return;
    }
    uint32_t covered = args.entries;
    for (uint32_t r = 0; r < args.runCount; ++r) covered -= args.runs[r].end - args.runs[r].begin;
    const uint32_t share = covered / (kSharesABlock * resident) / cuda::kLevelKeys * cuda::kLevelKeys;
    args.cascade.shareKeys = std::clamp(share, cuda::kLevelKeys, kLargestShare);
    args.cascade.shares = 0;
    for (const cuda::CascadeSegment& segment : segments_) args.cascade.shares += ceilDiv(segment.count, args.cascade.shareKeys);
    args.cascade.usesTensors = args.batch >= kTensorQueries && args.cascade.layout.hasLevel3 && kernel.hasTensors;
    args.cascade.giveUpPercent = config_.cascade == CascadeUse::always ? kNeverGiveUp : kGiveUpPercent;
}

// What was set as queries is what the launch makes images of, and searches for.
void Launcher::searchForImages(cuda::SearchFuseArgs& args) const {
    args.given = args.queries;
    args.givenStride = args.queryStride;
    args.givenAreHalf = args.queriesAreHalf;
    args.queries = args.workspace.images;
    args.queryStride = layout_.imageStride;
    args.queriesAreHalf = 0;
    args.queriesAreAligned = args.headDim % 4 == 0;
}

void Launcher::launch(cuda::SearchFuseArgs& args, uint32_t maxHits) {
    args.rows = rows_.data<cuda::RowOptions>();
    args.rowNamespaces = namespaces_.data<uint32_t>();
    args.seeds = hasSeeds_ ? seeds_.data<uint32_t>() : nullptr;
    args.seedStride = cuda::kMaxHits;
    args.workspace = layout_.at(workspace_.data());
    args.hitRoom = hitRoomFor(maxHits);
    if (config_.transform) searchForImages(args);

    const uint32_t rows = args.batch * config_.heads;
    args.mergeParts = std::max(1u, kMergingBlocks / rows);
    args.splitAbove = std::max(kSplitAbove, 4 * maxHits);

    const cuda::KernelEntry& kernel = kernelFor(args.batch);
    const size_t sharedBytes = kernel.sharedBytes(args.hitRoom);
    const unsigned resident = device_.blocks(kernel, sharedBytes);
    chooseCascade(args, kernel, resident);
    uint32_t tiles = 0;
    for (uint32_t r = 0; r < args.runCount; ++r) tiles += ceilDiv(args.runs[r].end - args.runs[r].begin, kernel.tileKeys) + 1;
    const uint32_t transformTickets =
        !config_.transform ? 0 : ceilDiv(config_.dim, config_.transform->isMatrix() ? kernel.threads / 32 : kernel.threads);
    const uint32_t lseTickets = args.logits ? ceilDiv(ceilDiv(args.vocabulary, 1024), kernel.threads / 32) * args.batch : 0;
    const size_t tileBytes = args.layout.tileBytes() * kernel.tileKeys / cuda::kLayoutKeys;
    args.tilesPerTicket =
        static_cast<uint32_t>(std::clamp<size_t>(kTicketBytes / tileBytes, 1, std::max(1u, tiles / (4 * resident))));  // and some for all
    const uint32_t keyTickets = ceilDiv(tiles, args.tilesPerTicket) + (args.cascade.segmentCount ? resident : 0);
    if (!isClean_) clean();
    isClean_ = false;
    device_.launch(kernel, std::clamp(transformTickets + (args.seeds ? rows : 0) + lseTickets + keyTickets, 1u, resident), sharedBytes, args);
}

void setQueries(cuda::SearchFuseArgs& args, const MatrixView& queries, uint32_t begin, uint32_t batch) {
    args.queries = queries.row(begin);
    args.queryStride = queries.stride();
    args.batch = batch;
    args.queriesAreHalf = queries.dtype() == Dtype::f16;
    args.queriesAreAligned =
        !args.queriesAreHalf && args.headDim % 4 == 0 && queries.stride() % 4 == 0 && reinterpret_cast<uintptr_t>(args.queries) % 16 == 0;
}

void setLogits(cuda::SearchFuseArgs& args, const MatrixView& logits, uint32_t begin) {
    args.logits = logits.mutableRow(begin);
    args.logitStride = logits.stride();
    args.vocabulary = static_cast<uint32_t>(logits.columns());
    args.logitsAreHalf = logits.dtype() == Dtype::f16;
}

void needReach(const Device& device, const void* pointer, const char* what) {
    if (!device.reaches(pointer))
        fail(RTD_INVALID_ARGUMENT, "%s: %p is no memory that kernels on %s can use: give memory of that device", what, pointer, device.name());
}

}  // namespace rtd::gpu
