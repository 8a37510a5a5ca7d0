// rtd_plan_*: from the C interface's arguments to a plan of the index's device.
#include <optional>

#include "core/arguments.h"
#include "gpu/offload.h"
#include "index/handle.h"
#include "index/row_options.h"

struct rtd_plan {
    std::shared_ptr<rtd::Index> index;  // outlives the other
    uint32_t maxRows;
    bool fuses;
    std::unique_ptr<rtd::gpu::OffloadedPlan> offloaded;
};

namespace {

using rtd::needPointer;

rtd::gpu::PlanConfig readConfig(const rtd_plan_options* options) {
    const rtd_plan_options given = rtd::readOptions(needPointer(options, "options"), "plan options");
    if (given.max_rows < 1 || given.max_rows > RTD_PLAN_MAX_ROWS)
        rtd::fail(RTD_INVALID_ARGUMENT, "max_rows is %u; give 1..%u", given.max_rows, RTD_PLAN_MAX_ROWS);
    if (given.max_k < 1 || given.max_k > RTD_MAX_K) rtd::fail(RTD_INVALID_ARGUMENT, "max_k is %u; give 1..%u", given.max_k, RTD_MAX_K);
    return {given.max_rows, given.max_k, given.vocabulary, given.stream};
}

}  // namespace

rtd_status rtd_index_reaches(const rtd_index* index, const void* pointer, int* reaches) {
    return rtd::guard([&] {
        const rtd::Index& of = *needPointer(index, "index")->index;
        *needPointer(reaches, "reaches") = of.offloaded() && pointer && of.offloaded()->reaches(pointer);
    });
}

rtd_status rtd_plan_create(rtd_index* index, const rtd_plan_options* options, rtd_plan** plan) {
    return rtd::guard([&] {
        const std::shared_ptr<rtd::Index> shared = needPointer(index, "index")->index;
        const rtd::gpu::PlanConfig config = readConfig(options);
        needPointer(plan, "plan");
        if (!shared->offloaded())
            rtd::fail(RTD_UNSUPPORTED, "a plan needs an index on the back end \"cuda\", and this one is on \"%s\": call rtd_search_and_fuse instead",
                      shared->config().backend);
        *plan = new rtd_plan{shared, config.maxRows, config.vocabulary > 0, shared->offloaded()->openPlan(config, shared->snapshot())};
    });
}

void rtd_plan_release(rtd_plan* plan) { delete plan; }

rtd_status rtd_plan_refresh(rtd_plan* plan) {
    return rtd::guard([&] { needPointer(plan, "plan")->offloaded->refresh(plan->index->snapshot()); });
}

rtd_status rtd_plan_set_rows(rtd_plan* plan, const rtd_row_options* rows, size_t row_count) {
    return rtd::guard([&] {
        needPointer(plan, "plan");
        if (row_count < 1 || row_count > plan->maxRows)
            rtd::fail(RTD_INVALID_ARGUMENT, "%zu row options; give 1 for all rows, or one each for up to %u", row_count, plan->maxRows);
        std::vector<rtd::RowOptions> options = rtd::readRowOptions(rows, row_count, row_count == 1 ? plan->maxRows : row_count, {true, plan->fuses});
        for (size_t b = 0; b < options.size(); ++b)
            if (options[b].fusion.needsHost())
                rtd::fail(RTD_UNSUPPORTED,
                          "row options %zu have a bias or gate, which are merged on the host: let a plan with vocabulary 0 search and rtd_fuse "
                          "merge, or call "
                          "rtd_search_and_fuse with pointers of the host",
                          b);
        plan->offloaded->setRows(std::move(options));
    });
}

rtd_status rtd_plan_enqueue(rtd_plan* plan, const rtd_matrix* queries, const rtd_mutable_matrix* logits, const rtd_hits* hits,
                            rtd_row_status* statuses) {
    return rtd::guard([&] {
        needPointer(plan, "plan");
        const rtd::MatrixView queryView(queries, "queries");
        std::optional<rtd::MatrixView> logitView;
        if (logits) logitView.emplace(logits, "logits");
        plan->offloaded->enqueue(queryView, logitView ? &*logitView : nullptr, hits, statuses);
    });
}
