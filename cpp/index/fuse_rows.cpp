#include "index/fuse_rows.h"

#include <algorithm>
#include <atomic>

namespace rtd {

namespace {

uint32_t mostHits(const HitArrays& hits, size_t batch) {
    uint32_t most = 0;
    for (size_t r = 0; r < batch * hits.heads; ++r) most = std::max(most, hits.counts[r]);
    return most;
}

// The hits of a row, by head.
void takeRow(const HitArrays& hits, size_t b, std::vector<HeadHits>& heads) {
    for (uint32_t h = 0; h < hits.heads; ++h) {
        const size_t r = b * hits.heads + h;
        heads[h] = {hits.distances + r * hits.capacity, hits.tokens + r * hits.capacity, hits.counts[r]};
    }
}

}  // namespace

void fuseRows(const LogitPieces& pieces, const HitArrays& hits, const MatrixView& logits, const std::vector<RowOptions>& rows, WorkerPool& workers,
              uint32_t threads, rtd_row_status* statuses, rtd_row_figures* figures) {
    const size_t batch = rows.size();
    constexpr size_t kShare = 65536;  // logits to read that are worth one more thread: some 30 us
    threads = static_cast<uint32_t>(std::min<size_t>(WorkerPool::threadsFor(batch * logits.columns(), kShare, threads), batch));
    const uint32_t most = mostHits(hits, batch);
    std::vector<Fuser> fusers;
    std::vector<std::vector<HeadHits>> heads(threads, std::vector<HeadHits>(hits.heads));
    for (uint32_t i = 0; i < threads; ++i) fusers.emplace_back(pieces, logits.columns(), most, hits.heads);

    std::atomic<size_t> nextRow = 0;
    std::atomic<uint32_t> nextFuser = 0;
    workers.run(threads, [&] {
        const uint32_t own = nextFuser.fetch_add(1, std::memory_order_relaxed);
        for (size_t b; (b = nextRow.fetch_add(1, std::memory_order_relaxed)) < batch;) {
            rtd_row_status status = RTD_ROW_UNCHANGED;
            if (!rows[b].isSkipped) {
                takeRow(hits, b, heads[own]);
                status = fusers[own].fuse(LogitsRow(logits.mutableRow(b), logits.dtype(), logits.columns()), heads[own].data(), hits.heads,
                                          rows[b].fusion, figures ? &figures[b] : nullptr);
            } else if (figures) {
                figures[b] = noFigures();
            }
            if (statuses) statuses[b] = status;
        }
    });
}

void figuresOfRows(const LogitPieces& pieces, const HitArrays& hits, const MatrixView& logits, const std::vector<RowOptions>& rows,
                   rtd_row_figures* figures) {
    Fuser fuser(pieces, logits.columns(), mostHits(hits, rows.size()), hits.heads);
    std::vector<HeadHits> heads(hits.heads);
    for (size_t b = 0; b < rows.size(); ++b) {
        figures[b] = noFigures();
        if (rows[b].isSkipped) continue;
        takeRow(hits, b, heads);
        const LogitsRow row(const_cast<void*>(logits.row(b)), logits.dtype(), logits.columns());
        figures[b] = fuser.figuresOf(row, heads.data(), hits.heads, rows[b].fusion);
    }
}

}  // namespace rtd
