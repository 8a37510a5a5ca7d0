#include "gpu/device_index.h"

#include <algorithm>
#include <cstring>

#include "gpu/device_plan.h"
#include "index/search_call.h"

namespace rtd::gpu {
using cuda::kMaxBatch;

constexpr uint32_t kMaxRows = 8192;  // of hits in one launch: each has a pool

// What a call gives, on the host, until all of it is there.
struct DeviceIndex::Results {
    std::vector<uint32_t> ids, counts, statuses;
    std::vector<float> distances;
    std::vector<int32_t> tokens;
    std::vector<std::byte> logits;  // without gaps; of a call with logits on the host
};

DeviceIndex::DeviceIndex(std::unique_ptr<Device> device, const IndexConfig& config)
    : config_(config),
      device_(std::move(device)),
      mirror_(*device_, config),
      launcher_(*device_, config),
      queries_(*device_, "queries on the device"),
      logits_(*device_, "logits on the device"),
      ids_(*device_, "ids of hits on the device"),
      distances_(*device_, "distances of hits on the device"),
      tokens_(*device_, "tokens of hits on the device"),
      counts_(*device_, "counts of hits on the device"),
      statuses_(*device_, "statuses on the device") {}

// Queries and logits of the host, without gaps. The logits' memory is there even where they have no columns: a null pointer means search only.
void DeviceIndex::uploadInputs(const OffloadedCall& call, uint32_t begin, uint32_t batch, cuda::SearchFuseArgs& args) {
    const uint32_t dim = config_.givenDim();
    const size_t queryBytes = size_t{batch} * dim * sizeof(float);
    queries_.need(queryBytes);
    device_->upload(queries_.data(), call.finiteQueries + size_t{begin} * dim, queryBytes);
    const rtd_matrix queries = {queries_.data(), batch, dim, 0, RTD_F32};
    setQueries(args, MatrixView(&queries, "queries on the device"), 0, batch);
    if (!call.logits) return;
    const size_t logitBytes = call.logits->columns() * bytesOf(call.logits->dtype());
    logits_.need(std::max<size_t>(1, batch * logitBytes));
    for (uint32_t b = 0; b < batch; ++b) device_->upload(logits_.data<std::byte>() + b * logitBytes, call.logits->row(begin + b), logitBytes);
    const rtd_matrix logits = {logits_.data(), batch, call.logits->columns(), 0, static_cast<rtd_dtype>(call.logits->dtype())};
    setLogits(args, MatrixView(&logits, "logits on the device"), 0);
}

void DeviceIndex::runChunk(const OffloadedCall& call, uint32_t begin, uint32_t batch, Results& results) {
    const uint32_t capacity = call.hits && (call.hits->ids || call.hits->distances || call.hits->tokens) ? call.hits->capacity : 0;
    const size_t hitRows = size_t{batch} * config_.heads, hits = hitRows * capacity;
    const std::span rows = std::span(call.rows).subspan(begin, batch);
    uint32_t maxHits = 1;
    for (const RowOptions& row : rows) maxHits = std::max(maxHits, std::min(row.search.k, call.snapshot.entries));

    cuda::SearchFuseArgs args{};
    const MirrorView view = mirror_.show(call.snapshot);
    mirror_.setEntries(view, args);
    launcher_.makeRoom(batch, call.snapshot.entries, view.cascades, maxHits, call.logits ? static_cast<uint32_t>(call.logits->columns()) : 0);
    launcher_.setRows(rows, call.snapshot.entries, maxHits, call.logits != nullptr);
    if (call.finiteQueries) {
        uploadInputs(call, begin, batch, args);
    } else {
        setQueries(args, call.queries, begin, batch);
        if (call.logits) setLogits(args, *call.logits, begin);
    }
    for (Buffer* buffer : {&ids_, &distances_, &tokens_}) buffer->need(hits * sizeof(uint32_t));
    counts_.need(hitRows * sizeof(uint32_t));
    statuses_.need(cuda::kMaxBatch * sizeof(uint32_t));
    args.ids = ids_.data<uint32_t>();
    args.distances = distances_.data<float>();
    args.hitTokens = tokens_.data<int32_t>();
    args.counts = counts_.data<uint32_t>();
    args.capacity = capacity;
    args.statuses = statuses_.data<uint32_t>();
    launcher_.launch(args, maxHits);

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
        if (call.finiteQueries) fetch(results.logits, logits_, results.logits.size(), batch * call.logits->columns() * bytesOf(call.logits->dtype()));
    }
    const bool checksImages = config_.transform && call.finiteQueries;
    std::vector<float> images(checksImages ? batch * args.queryStride : 0);
    if (checksImages) device_->download(images.data(), args.queries, images.size() * sizeof(float));
    device_->synchronize();
    launcher_.markClean();
    for (uint32_t b = 0; checksImages && b < batch; ++b)
        if (rows[b].search.k > 0) needFiniteImage(&images[b * args.queryStride], config_.dim, begin + b);
}

MirrorView DeviceIndex::show(const Snapshot& snapshot) {
    const std::lock_guard lock(calling_);
    return mirror_.show(snapshot);
}

bool DeviceIndex::reaches(const void* pointer) {
    const std::lock_guard lock(calling_);
    return device_->reaches(pointer);
}

std::unique_ptr<OffloadedPlan> DeviceIndex::openPlan(const PlanConfig& config, const Snapshot& snapshot) {
    return std::make_unique<DevicePlan>(*this, device_->onStream(config.stream), config_, config, snapshot);
}

void DeviceIndex::run(const OffloadedCall& call) {
    const std::lock_guard lock(calling_);
    Results results;
    const auto batch = static_cast<uint32_t>(call.rows.size());
    if (!call.finiteQueries && batch > 0) {
        needReach(*device_, call.queries.row(0), "queries");
        if (call.logits) needReach(*device_, call.logits->row(0), "logits");
    }
    const uint32_t chunk = std::clamp(kMaxRows / config_.heads, 1u, kMaxBatch);
    for (uint32_t begin = 0; begin < batch; begin += chunk) {
        call.call.throwIfStopped();
        runChunk(call, begin, std::min(chunk, batch - begin), results);
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
        if (call.finiteQueries && logitBytes > 0 && results.statuses[b] == cuda::kMerged)
            std::memcpy(call.logits->mutableRow(b), &results.logits[b * logitBytes], logitBytes);
        if (call.statuses) call.statuses[b] = static_cast<rtd_row_status>(results.statuses[b]);
    }
}

}  // namespace rtd::gpu
