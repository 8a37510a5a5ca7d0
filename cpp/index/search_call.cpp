#include "index/search_call.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/arguments.h"
#include "core/canonical.h"
#include "core/memory.h"
#include "cpu/dispatch.h"
#include "index/fuse_rows.h"
#include "index/row_options.h"
#include "index/search.h"

namespace rtd {
namespace {

void needFiniteQuery(const float* row, size_t dim, size_t b, const char* where) {
    if (const size_t at = firstNotFinite(row, dim); at < dim)
        fail(RTD_NOT_FINITE, "query %zu holds %g at dimension %zu%s; queries must be finite", b, static_cast<double>(row[at]), at, where);
}

// The queries as they are given: float32 without gaps. Those of rows that are not searched are not looked at.
std::unique_ptr<float[]> readQueries(const MatrixView& queries, const std::vector<RowOptions>& rows) {
    const size_t dim = queries.columns();
    auto read = allocate<float>(checkedProduct(queries.rows(), dim, "queries"), "queries");
    for (size_t b = 0; b < rows.size(); ++b) {
        float* row = read.get() + b * dim;
        if (rows[b].search.k == 0) {
            std::fill_n(row, dim, 0.0f);
            continue;
        }
        convertToFloat(queries.row(b), queries.dtype(), dim, row);
        needFiniteQuery(row, dim, b, "");
    }
    return read;
}

// Their images under the index's transform.
std::unique_ptr<float[]> imagesOf(const Index& index, const float* queries, const std::vector<RowOptions>& rows) {
    const IndexConfig& config = index.config();
    auto images = allocate<float>(checkedProduct(rows.size(), config.dim, "queries"), "queries");
    config.transform->apply(index.backend(), queries, rows.size(), images.get());
    for (size_t b = 0; b < rows.size(); ++b)
        if (rows[b].search.k > 0) needFiniteImage(images.get() + b * config.dim, config.dim, b);
    return images;
}

int32_t tokenOf(const Snapshot& snapshot, uint32_t id) {
    const Part& part = snapshot.partOf(id);
    return part.tokens[id - part.first];
}

void writeHits(const HitLists& lists, const Snapshot& snapshot, bool isRoot, size_t rowCount, const rtd_hits& hits) {
    for (size_t r = 0; r < rowCount; ++r) {
        const std::span<const uint64_t> list = lists.row(r);
        if (hits.counts) hits.counts[r] = static_cast<uint32_t>(list.size());
        const size_t begin = r * hits.capacity;
        for (size_t i = 0; i < hits.capacity; ++i) {
            const bool isHit = i < list.size();
            if (hits.ids) hits.ids[begin + i] = isHit ? idOf(list[i]) : RTD_NO_ID;
            if (hits.distances) hits.distances[begin + i] = isHit ? distanceOf(list[i], isRoot) : INFINITY;
            if (hits.tokens) hits.tokens[begin + i] = isHit ? tokenOf(snapshot, idOf(list[i])) : RTD_NO_TOKEN;
        }
    }
}

// Room for hits, and what fuseRows takes.
struct OwnedHits {
    OwnedHits(size_t rows_, size_t capacity_, bool withIds) : rows(rows_), capacity(capacity_) {
        const size_t entries = checkedProduct(rows, capacity, "hits");
        if (withIds) ids = allocate<uint32_t>(entries, "ids of hits");
        distances = allocate<float>(entries, "distances of hits");
        tokens = allocate<int32_t>(entries, "tokens of hits");
        counts = allocate<uint32_t>(rows, "counts of hits");
    }
    rtd_hits view() const { return {ids.get(), distances.get(), tokens.get(), counts.get(), static_cast<uint32_t>(capacity)}; }
    HitArrays arrays(uint32_t heads) const { return {distances.get(), tokens.get(), counts.get(), capacity, heads}; }

    // Into a caller's room, which is not less in any pointer that it has.
    void copyTo(const rtd_hits& hits) const {
        if (hits.counts) std::copy_n(counts.get(), rows, hits.counts);
        const auto copy = [&](const auto& from, auto* to, auto padding) {
            if (!to) return;
            for (size_t r = 0; r < rows; ++r, to += hits.capacity)
                std::fill_n(std::copy_n(&from[r * capacity], counts[r], to), hits.capacity - counts[r], padding);
        };
        copy(ids, hits.ids, RTD_NO_ID);
        copy(distances, hits.distances, INFINITY);
        copy(tokens, hits.tokens, RTD_NO_TOKEN);
    }

    size_t rows, capacity;
    std::unique_ptr<uint32_t[]> ids;
    std::unique_ptr<float[]> distances;
    std::unique_ptr<int32_t[]> tokens;
    std::unique_ptr<uint32_t[]> counts;
};

LogitPieces piecesOf(const cpu::Backend& backend) { return {backend.lsePiece, backend.entropyPiece}; }

void checkLogits(const MatrixView& logits, size_t rows) {
    logits.needRows(rows);
    logits.needDtypeOtherThan(Dtype::bf16);
}

// The back end that does the whole call; null: the threads of this process do. RTD_UNSUPPORTED where they cannot.
gpu::OffloadedIndex* offloadedFor(const Index& index, const Call& call) {
    if (call.onDevice && !index.offloaded())
        fail(RTD_UNSUPPORTED,
             "memory is RTD_MEMORY_DEVICE, but this index is on the back end \"%s\": give pointers of the host, or create it on \"cuda\"",
             index.config().backend);
    return index.offloaded();
}

// A device's launch merges by fixed weights and nothing else. It then searches alone, and the threads of this process merge.
bool mergesOnHost(const std::vector<RowOptions>& rows, const Call& call) {
    if (call.figures && call.onDevice)
        fail(RTD_UNSUPPORTED, "figures are taken on the host: give pointers of the host with RTD_MEMORY_HOST, or ask for none");
    const auto row = std::find_if(rows.begin(), rows.end(), [](const RowOptions& r) { return r.fusion.needsHost(); });
    if (row != rows.end() && call.onDevice)
        fail(RTD_UNSUPPORTED,
             "row options %zu have a bias or gate, which are merged on the host: give pointers of the host with RTD_MEMORY_HOST, or neither",
             static_cast<size_t>(row - rows.begin()));
    return call.figures || row != rows.end();
}

}  // namespace

bool wantsHits(const rtd_hits* hits) { return hits && (hits->ids || hits->distances || hits->tokens || hits->counts); }

void checkHits(const rtd_hits& hits, std::span<const RowOptions> rows, uint32_t heads) {
    const size_t entries = checkedProduct(checkedProduct(rows.size(), heads, "rows of hits"), hits.capacity, "hits");
    checkedProduct(entries, sizeof(float), "hits");
    if (!hits.ids && !hits.distances && !hits.tokens) return;
    for (size_t b = 0; b < rows.size(); ++b)
        if (rows[b].search.k > hits.capacity)
            fail(RTD_INVALID_ARGUMENT, "hits have room for %u a row, but row %zu wants k = %u", hits.capacity, b, rows[b].search.k);
}

void needFiniteImage(const float* image, size_t dim, size_t b) { needFiniteQuery(image, dim, b, " under the transform"); }

void needTokensBelow(const Snapshot& snapshot, size_t vocabulary) {
    if (snapshot.maxToken >= 0 && static_cast<size_t>(snapshot.maxToken) >= vocabulary)
        fail(RTD_TOKEN_RANGE, "the index holds token %d, but the logits have %zu columns: they belong to different models", snapshot.maxToken,
             vocabulary);
}

void runSearchCall(const Index& index, const rtd_matrix* queries, const rtd_mutable_matrix* logits, const rtd_row_options* rows, size_t rowCount,
                   const Call& call, const rtd_hits* hits, rtd_row_status* statuses) {
    const IndexConfig& config = index.config();
    const bool isRoot = config.metric == Metric::l2;
    const MatrixView queryView(queries, "queries");
    queryView.needColumns(config.givenDim());
    queryView.needDtypeOtherThan(Dtype::bf16);
    std::vector<RowOptions> options = readRowOptions(rows, rowCount, queryView.rows(), {true, logits != nullptr});
    if (wantsHits(hits)) checkHits(*hits, options, config.heads);

    const Snapshot snapshot = index.snapshot();
    if (logits) {
        const MatrixView logitView(logits, "logits");
        checkLogits(logitView, queryView.rows());
        needTokensBelow(snapshot, logitView.columns());
        needBiasesBelow(options, logitView.columns());
        for (RowOptions& row : options)
            if (row.fusion.weight == 0 && !wantsHits(hits) && !call.figures) row.search.k = 0;
        if (snapshot.live > 0) resolveTemperatures(options, snapshot.temperature, call.figures != nullptr);
    }

    gpu::OffloadedIndex* offloaded = offloadedFor(index, call);
    std::unique_ptr<float[]> queryRows = call.onDevice ? nullptr : readQueries(queryView, options);
    const size_t hitRows = options.size() * config.heads;
    // Once outputs are written nothing can fail any more; fuseRows fails before it writes, if at all.
    const auto fuse = [&](const OwnedHits& found) {
        fuseRows(piecesOf(index.backend()), found.arrays(config.heads), MatrixView(logits, "logits"), options, index.workers(),
                 threadsOf(index, call), statuses, call.figures);
    };
    if (offloaded && logits && mergesOnHost(options, call)) {
        size_t capacity = 1;
        for (const RowOptions& row : options) capacity = std::max<size_t>(capacity, row.search.k);
        const OwnedHits found(hitRows, capacity, wantsHits(hits));
        const rtd_hits view = found.view();
        offloaded->run({snapshot, queryView, queryRows.get(), options, nullptr, &view, nullptr, call});
        fuse(found);
        if (wantsHits(hits)) found.copyTo(*hits);
        return;
    }
    if (offloaded) {
        const std::optional<MatrixView> logitView = logits ? std::optional<MatrixView>(std::in_place, logits, "logits") : std::nullopt;
        offloaded->run({snapshot, queryView, queryRows.get(), options, logitView ? &*logitView : nullptr, hits, statuses, call});
        return;
    }
    if (config.transform) queryRows = imagesOf(index, queryRows.get(), options);
    std::vector<SearchRow> searches;
    reserve(searches, options.size(), "rows");
    for (const RowOptions& row : options) searches.push_back(row.search);
    const HitLists lists = search(index, snapshot, queryRows.get(), std::move(searches), call);
    if (logits) {
        size_t capacity = 0;
        for (size_t r = 0; r < hitRows; ++r) capacity = std::max(capacity, lists.row(r).size());
        const OwnedHits found(hitRows, capacity, false);
        writeHits(lists, snapshot, isRoot, hitRows, found.view());
        fuse(found);
    }
    if (wantsHits(hits)) writeHits(lists, snapshot, isRoot, hitRows, *hits);
}

namespace {

// Rows and hits that came from elsewhere, checked.
struct ForeignCall {
    std::vector<RowOptions> options;
    HitArrays hits;
};

// all: rows of weight 0, too, need hits that are right.
ForeignCall readForeign(const rtd_hits* hits, uint32_t heads, const MatrixView& view, const rtd_row_options* rows, size_t rowCount, bool all) {
    const size_t batch = view.rows();
    checkLogits(view, batch);
    ForeignCall foreign = {readRowOptions(rows, rowCount, batch, {false, true}), {}};
    const std::vector<RowOptions>& options = foreign.options;
    needBiasesBelow(options, view.columns());
    if (heads == 0) heads = 1;
    if (batch == 0) return foreign;
    needPointer(hits, "hits");
    const HitArrays arrays = {needPointer(hits->distances, "hits.distances"), needPointer(hits->tokens, "hits.tokens"),
                              needPointer(hits->counts, "hits.counts"), hits->capacity, heads};
    checkedProduct(checkedProduct(batch, heads, "rows of hits"), size_t{hits->capacity} * sizeof(float), "hits");
    for (size_t b = 0; b < batch; ++b) {
        if (options[b].isSkipped || (options[b].fusion.weight == 0 && !all)) continue;
        if (options[b].fusion.temperature == 0) fail(RTD_NO_TEMPERATURE, "row %zu gives no temperature, and hits from elsewhere have no default", b);
        for (size_t r = b * heads; r < (b + 1) * heads; ++r) {
            if (arrays.counts[r] > arrays.capacity)
                fail(RTD_INVALID_ARGUMENT, "row %zu of hits counts %u, but the capacity is %zu", r, arrays.counts[r], arrays.capacity);
            for (size_t i = r * arrays.capacity; i < r * arrays.capacity + arrays.counts[r]; ++i) {
                if (std::isnan(arrays.distances[i])) fail(RTD_NOT_FINITE, "the distance of hit %zu of row %zu is NaN", i - r * arrays.capacity, r);
                if (arrays.tokens[i] < 0 || static_cast<size_t>(arrays.tokens[i]) >= view.columns())
                    fail(RTD_TOKEN_RANGE, "the token of hit %zu of row %zu is %d; the logits have %zu columns", i - r * arrays.capacity, r,
                         arrays.tokens[i], view.columns());
            }
        }
    }
    foreign.hits = arrays;
    return foreign;
}

}  // namespace

void runFuseCall(const rtd_hits* hits, uint32_t heads, const rtd_mutable_matrix* logits, const rtd_row_options* rows, size_t rowCount,
                 rtd_row_status* statuses) {
    const MatrixView view(logits, "logits");
    const ForeignCall foreign = readForeign(hits, heads, view, rows, rowCount, false);
    if (view.rows() == 0) return;
    WorkerPool none;
    fuseRows(piecesOf(cpu::chooseInstructionSet()), foreign.hits, view, foreign.options, none, 1, statuses, nullptr);
}

void runFiguresCall(const rtd_hits* hits, uint32_t heads, const rtd_matrix* logits, const rtd_row_options* rows, size_t rowCount,
                    rtd_row_figures* figures) {
    const MatrixView view(logits, "logits");
    const ForeignCall foreign = readForeign(hits, heads, view, rows, rowCount, true);
    if (view.rows() == 0) return;
    figuresOfRows(piecesOf(cpu::chooseInstructionSet()), foreign.hits, view, foreign.options, needPointer(figures, "figures"));
}

void runLogProbabilitiesCall(const rtd_matrix* logits, const int32_t* tokens, size_t tokensPerRow, double* out) {
    const MatrixView view(logits, "logits");
    checkLogits(view, view.rows());
    const size_t entries = checkedProduct(checkedProduct(view.rows(), tokensPerRow, "tokens"), sizeof(double), "tokens") / sizeof(double);
    if (entries == 0) return;
    needPointer(tokens, "tokens");
    needPointer(out, "out");
    for (size_t i = 0; i < entries; ++i)
        if (tokens[i] < 0 || static_cast<size_t>(tokens[i]) >= view.columns())
            fail(RTD_TOKEN_RANGE, "token %zu of row %zu is %d; the logits have %zu columns", i % tokensPerRow, i / tokensPerRow, tokens[i],
                 view.columns());
    LogSumExp logSumExp(piecesOf(cpu::chooseInstructionSet()), view.columns());
    for (size_t b = 0; b < view.rows(); ++b) {
        const LogitsRow row(const_cast<void*>(view.row(b)), view.dtype(), view.columns());
        const std::optional<double> lse = logSumExp(row);
        for (size_t i = b * tokensPerRow; i < (b + 1) * tokensPerRow; ++i)
            out[i] = lse ? static_cast<double>(row.get(static_cast<size_t>(tokens[i]))) - *lse : std::nan("");
    }
}

}  // namespace rtd
