#include "gpu/device_plan.h"

#include "index/search_call.h"

namespace rtd::gpu {

DevicePlan::DevicePlan(DeviceIndex& index, std::unique_ptr<Device> device, const IndexConfig& indexConfig, const PlanConfig& config,
                       const Snapshot& snapshot)
    : index_(index), indexConfig_(indexConfig), config_(config), device_(std::move(device)), launcher_(*device_, indexConfig) {
    refresh(snapshot);
}

DevicePlan::~DevicePlan() {
    try {
        device_->synchronize();  // launches still use what is freed now
    } catch (const Error&) {
        // The device is lost, or the stream has gone before the plan.
    }
}

void DevicePlan::refresh(const Snapshot& snapshot) {
    const std::lock_guard lock(calling_);
    if (config_.vocabulary > 0) needTokensBelow(snapshot, config_.vocabulary);
    const Defaults defaults = {snapshot.temperature, snapshot.live > 0};
    MirrorView view = index_.show(snapshot);
    launcher_.makeRoom(config_.maxRows, snapshot.entries, view.cascades, config_.maxHits, config_.vocabulary);
    launcher_.prepare(config_.maxHits);
    uploadRows(rows_, defaults, view.entries);
    if (!(view == view_)) device_->synchronize();  // launches still use the memory that the view before may be the last to hold
    view_ = std::move(view);
    defaults_ = defaults;
}

void DevicePlan::setRows(std::vector<RowOptions> rows) {
    const std::lock_guard lock(calling_);
    for (size_t b = 0; b < rows.size(); ++b)
        if (rows[b].search.k > config_.maxHits)
            fail(RTD_INVALID_ARGUMENT, "row options %zu: k is %u; this plan was made for at most %u", b, rows[b].search.k, config_.maxHits);
    uploadRows(rows, defaults_, view_.entries);
    rows_ = std::move(rows);
}

void DevicePlan::uploadRows(const std::vector<RowOptions>& rows, const Defaults& defaults, uint32_t entries) {
    std::vector<RowOptions> resolved = rows;
    if (config_.vocabulary > 0 && defaults.hasLive) resolveTemperatures(resolved, defaults.temperature);
    launcher_.setRows(resolved, entries, config_.maxHits, config_.vocabulary > 0);
}

void DevicePlan::checkShapes(const MatrixView& queries, const MatrixView* logits) const {
    queries.needColumns(indexConfig_.givenDim());
    queries.needDtypeOtherThan(Dtype::bf16);
    if (rows_.empty()) fail(RTD_INVALID_ARGUMENT, "this plan has no row options yet: call rtd_plan_set_rows");
    if (queries.rows() > rows_.size()) fail(RTD_INVALID_ARGUMENT, "%zu queries, but row options for %zu", queries.rows(), rows_.size());
    if (!logits) return;
    logits->needRows(queries.rows());
    logits->needDtypeOtherThan(Dtype::bf16);
    if (logits->columns() != config_.vocabulary)
        fail(RTD_INVALID_ARGUMENT, "logits have %zu columns; this plan was made for a vocabulary of %u", logits->columns(), config_.vocabulary);
}

void DevicePlan::checkReach(const MatrixView& queries, const MatrixView* logits, const rtd_hits* hits, const rtd_row_status* statuses) const {
    needReach(*device_, queries.row(0), "queries");
    if (logits) needReach(*device_, logits->row(0), "logits");
    const auto check = [&](const void* pointer, const char* what) {
        if (pointer) needReach(*device_, pointer, what);
    };
    check(statuses, "statuses");
    if (!hits) return;
    check(hits->ids, "hits.ids");
    check(hits->distances, "hits.distances");
    check(hits->tokens, "hits.tokens");
    check(hits->counts, "hits.counts");
}

void DevicePlan::enqueue(const MatrixView& queries, const MatrixView* logits, const rtd_hits* hits, rtd_row_status* statuses) {
    const std::lock_guard lock(calling_);
    checkShapes(queries, logits);
    if (queries.rows() == 0) return;
    if (wantsHits(hits)) checkHits(*hits, std::span(rows_).first(queries.rows()), indexConfig_.heads);
    checkReach(queries, logits, hits, statuses);

    cuda::SearchFuseArgs args{};
    index_.setEntries(view_, args);
    setQueries(args, queries, 0, static_cast<uint32_t>(queries.rows()));
    if (logits) setLogits(args, *logits, 0);
    if (hits) {
        args.ids = hits->ids;
        args.distances = hits->distances;
        args.hitTokens = hits->tokens;
        args.counts = hits->counts;
        args.capacity = hits->ids || hits->distances || hits->tokens ? hits->capacity : 0;
    }
    args.statuses = reinterpret_cast<uint32_t*>(statuses);
    launcher_.launch(args, config_.maxHits);
    launcher_.markClean();  // it will be, on a stream that does one thing after the other
}

}  // namespace rtd::gpu
