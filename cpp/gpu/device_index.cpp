#include "gpu/device_index.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/arguments.h"
#include "index/row_options.h"

namespace rtd::gpu {
namespace {

using cuda::kMaxBatch;
using cuda::kMaxNamespaces;

// A datastore of so many entries fits in a row's pool whole: no block waits for a cut. More rows' pools would cost too much memory.
constexpr uint32_t kUncutEntries = 16384, kUncutRows = 64;
// Few rows: this many blocks share the merge of those whose pools hold much.
constexpr uint32_t kMergingBlocks = 16, kSplitAbove = 1024;

constexpr size_t kTicketBytes = size_t{256} << 10;  // of keys: some 0.1 us of a device's memory rate for each of its blocks

uint32_t ceilDiv(size_t a, size_t b) { return static_cast<uint32_t>((a + b - 1) / b); }

}  // namespace

// What a call gives, on the host, until all of it is there.
struct DeviceIndex::Results {
    std::vector<uint32_t> ids, counts, statuses;
    std::vector<float> distances;
    std::vector<int32_t> tokens;
    std::vector<std::byte> logits;  // without gaps
};

DeviceIndex::DeviceIndex(std::unique_ptr<Device> device, const IndexConfig& config)
    : config_(config),
      device_(std::move(device)),
      mirror_(*device_, config),
      queries_(*device_, "queries on the device"),
      logits_(*device_, "logits on the device"),
      rows_(*device_, "row options on the device"),
      namespaces_(*device_, "accepted namespaces on the device"),
      seeds_(*device_, "seeds on the device"),
      ids_(*device_, "ids of hits on the device"),
      distances_(*device_, "distances of hits on the device"),
      tokens_(*device_, "tokens of hits on the device"),
      counts_(*device_, "counts of hits on the device"),
      statuses_(*device_, "statuses on the device"),
      workspace_(*device_, "the workspace on the device") {}

// The one that covers the batch in one pass with the fewest queries, else the largest.
const cuda::KernelEntry& DeviceIndex::kernelFor(uint32_t batch) const {
    const cuda::KernelTable table = device_->kernels();
    const cuda::KernelEntry* best = nullptr;
    for (const cuda::KernelEntry* k = table.entries; k < table.entries + table.count; ++k) {
        if (static_cast<uint32_t>(k->key) != static_cast<uint32_t>(config_.dtype) || k->isDot != (config_.metric == Metric::dot)) continue;
        if (!best || (best->queries < batch ? k->queries > best->queries : k->queries >= batch && k->queries < best->queries)) best = k;
    }
    if (!best) fail(RTD_UNSUPPORTED, "no kernel for %s keys and the metric %s", nameOf(config_.dtype), nameOf(config_.metric));
    return *best;
}

void DeviceIndex::uploadRows(const OffloadedCall& call, uint32_t begin, uint32_t batch, cuda::SearchFuseArgs& args, uint32_t& maxHits) {
    std::vector<cuda::RowOptions> rows(batch);
    std::vector<uint32_t> namespaces(size_t{batch} * kMaxNamespaces), seeds;
    for (uint32_t b = 0; b < batch; ++b) args.seedStride = std::max(args.seedStride, static_cast<uint32_t>(call.rows[begin + b].search.seeds.size()));
    seeds.resize(size_t{batch} * args.seedStride);
    for (uint32_t b = 0; b < batch; ++b) {
        const RowOptions& given = call.rows[begin + b];
        const std::vector<uint32_t>& accepted = given.search.namespaces;
        const bool isAny = given.search.anyNamespace;
        rows[b] = {std::min(given.search.k, call.snapshot.entries),
                   given.search.maxDistance,
                   call.logits ? given.fusion.weight : 0.0f,
                   given.fusion.temperature,
                   given.fusion.unmask,
                   isAny ? cuda::kAnyNamespace : static_cast<uint32_t>(accepted.size()),
                   static_cast<uint32_t>(given.search.seeds.size())};
        std::copy(given.search.seeds.begin(), given.search.seeds.end(), seeds.begin() + b * args.seedStride);
        std::copy(accepted.begin(), accepted.end(), namespaces.begin() + b * kMaxNamespaces);
        std::sort(namespaces.begin() + b * kMaxNamespaces, namespaces.begin() + static_cast<ptrdiff_t>(b * kMaxNamespaces + accepted.size()));
        maxHits = std::max({maxHits, rows[b].k, rows[b].seeds});
    }
    rows_.need(kMaxBatch * sizeof(cuda::RowOptions));
    namespaces_.need(kMaxBatch * kMaxNamespaces * sizeof(uint32_t));
    device_->upload(rows_.data(), rows.data(), rows.size() * sizeof rows[0]);
    device_->upload(namespaces_.data(), namespaces.data(), namespaces.size() * sizeof namespaces[0]);
    if (!seeds.empty()) {
        seeds_.need(seeds.size() * sizeof seeds[0]);
        device_->upload(seeds_.data(), seeds.data(), seeds.size() * sizeof seeds[0]);
        args.seeds = seeds_.data<uint32_t>();
    }
    device_->synchronize();  // they are locals
    args.rows = rows_.data<cuda::RowOptions>();
    args.rowNamespaces = namespaces_.data<uint32_t>();
}

cuda::Workspace DeviceIndex::workspaceFor(uint32_t batch, uint32_t entries, uint32_t maxHits, uint32_t vocabulary) {
    const bool isUncut = entries <= kUncutEntries && batch * config_.heads <= kUncutRows;
    const cuda::WorkspaceLayout wanted = cuda::WorkspaceLayout::of(
        batch, config_.heads, maxHits, vocabulary, isUncut ? std::max(cuda::kSmallestPool, std::bit_ceil(entries)) : cuda::kSmallestPool);
    if (wanted.batch > layout_.batch || wanted.poolCapacity > layout_.poolCapacity || wanted.lsePieces > layout_.lsePieces) {
        cuda::WorkspaceLayout next = {0, std::max(wanted.batch, layout_.batch), std::max(wanted.poolCapacity, layout_.poolCapacity),
                                      std::max(wanted.lsePieces, layout_.lsePieces)};
        next.rows = next.batch * config_.heads;
        workspace_.need(next.bytes());
        layout_ = next;
        isWorkspaceClean_ = false;
    }
    if (!isWorkspaceClean_) device_->zero(workspace_.data(), layout_.stateBytes());
    return layout_.at(workspace_.data());
}

void DeviceIndex::runChunk(const OffloadedCall& call, uint32_t begin, uint32_t batch, Results& results) {
    const uint32_t capacity = call.hits && (call.hits->ids || call.hits->distances || call.hits->tokens) ? call.hits->capacity : 0;
    const size_t hitRows = size_t{batch} * config_.heads, hits = hitRows * capacity;
    const size_t logitBytes = call.logits ? call.logits->columns() * bytesOf(call.logits->dtype()) : 0;
    uint32_t maxHits = 1;
    cuda::SearchFuseArgs args{};
    mirror_.show(call.snapshot, args);
    uploadRows(call, begin, batch, args, maxHits);

    queries_.need(size_t{batch} * config_.dim * sizeof(float));
    device_->upload(queries_.data(), call.queries + size_t{begin} * config_.dim, size_t{batch} * config_.dim * sizeof(float));
    args.queries = queries_.data();
    args.queryStride = config_.dim;
    args.batch = batch;
    args.queriesAreAligned = args.headDim % 4 == 0;
    if (call.logits) {
        logits_.need(std::max<size_t>(1, batch * logitBytes));
        for (uint32_t b = 0; b < batch; ++b) device_->upload(logits_.data<std::byte>() + b * logitBytes, call.logits->row(begin + b), logitBytes);
        args.logits = logits_.data();
        args.logitStride = call.logits->columns();
        args.vocabulary = static_cast<uint32_t>(call.logits->columns());
        args.logitsAreHalf = call.logits->dtype() == Dtype::f16;
    }
    for (Buffer* buffer : {&ids_, &distances_, &tokens_}) buffer->need(hits * sizeof(uint32_t));
    counts_.need(hitRows * sizeof(uint32_t));
    statuses_.need(kMaxBatch * sizeof(uint32_t));
    args.ids = ids_.data<uint32_t>();
    args.distances = distances_.data<float>();
    args.hitTokens = tokens_.data<int32_t>();
    args.counts = counts_.data<uint32_t>();
    args.capacity = capacity;
    args.statuses = statuses_.data<uint32_t>();
    args.hitRoom = std::max(32u, std::bit_ceil(maxHits));
    args.workspace = workspaceFor(batch, args.entries, maxHits, args.vocabulary);
    args.mergeParts = std::max(1u, kMergingBlocks / (batch * config_.heads));
    args.splitAbove = std::max(kSplitAbove, 4 * maxHits);

    const cuda::KernelEntry& kernel = kernelFor(batch);
    const size_t sharedBytes = kernel.sharedBytes(args.hitRoom);
    const unsigned resident = device_->blocks(kernel, sharedBytes);
    const uint32_t tiles = ceilDiv(args.entries, kernel.tileKeys), lseTickets = ceilDiv(ceilDiv(args.vocabulary, 1024), kernel.threads / 32) * batch;
    const size_t tileBytes = mirror_.layout().tileBytes() * kernel.tileKeys / cuda::kLayoutKeys;
    args.tilesPerTicket =
        static_cast<uint32_t>(std::clamp<size_t>(kTicketBytes / tileBytes, 1, std::max(1u, tiles / (4 * resident))));  // and some for all
    isWorkspaceClean_ = false;
    device_->launch(kernel, std::clamp(lseTickets + ceilDiv(tiles, args.tilesPerTicket), 1u, resident), sharedBytes, args);

    const auto fetch = [&](auto& to, const Buffer& from, size_t at, size_t count) {
        to.resize(at + count);
        device_->download(to.data() + at, from.data(), count * sizeof to[0]);
    };
    fetch(results.ids, ids_, results.ids.size(), hits);
    fetch(results.distances, distances_, results.distances.size(), hits);
    fetch(results.tokens, tokens_, results.tokens.size(), hits);
    fetch(results.counts, counts_, results.counts.size(), hitRows);
    if (call.logits) {
        fetch(results.statuses, statuses_, results.statuses.size(), batch);
        fetch(results.logits, logits_, results.logits.size(), batch * logitBytes);
    }
    device_->synchronize();
    isWorkspaceClean_ = true;
}

void DeviceIndex::run(const OffloadedCall& call) {
    const std::lock_guard lock(calling_);
    Results results;
    const auto batch = static_cast<uint32_t>(call.rows.size());
    for (uint32_t begin = 0; begin < batch; begin += kMaxBatch) {
        call.call.throwIfStopped();
        runChunk(call, begin, std::min(kMaxBatch, batch - begin), results);
    }
    const auto write = [](auto* to, const auto& from) {
        if (to && !from.empty()) std::memcpy(to, from.data(), from.size() * sizeof from[0]);
    };
    if (call.hits) {
        write(call.hits->ids, results.ids);
        write(call.hits->distances, results.distances);
        write(call.hits->tokens, results.tokens);
        write(call.hits->counts, results.counts);
    }
    if (!call.logits) return;
    const size_t logitBytes = call.logits->columns() * bytesOf(call.logits->dtype());
    for (uint32_t b = 0; b < batch; ++b) {
        if (logitBytes > 0 && results.statuses[b] == cuda::kMerged)
            std::memcpy(call.logits->mutableRow(b), &results.logits[b * logitBytes], logitBytes);
        if (call.statuses) call.statuses[b] = static_cast<rtd_row_status>(results.statuses[b]);
    }
}

}  // namespace rtd::gpu
