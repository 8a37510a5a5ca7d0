#include "index/fuse_rows.h"

#include <algorithm>
#include <atomic>

namespace rtd {

void fuseRows(LsePieceFunction lsePiece, const HitArrays& hits, const MatrixView& logits, const std::vector<RowOptions>& rows, WorkerPool& workers,
              uint32_t threads, rtd_row_status* statuses) {
    const size_t batch = rows.size();
    constexpr size_t kShare = 65536;  // logits to read that are worth one more thread: some 30 us
    threads = static_cast<uint32_t>(std::min<size_t>(WorkerPool::threadsFor(batch * logits.columns(), kShare, threads), batch));
    uint32_t maxHits = 0;
    for (size_t r = 0; r < batch * hits.heads; ++r) maxHits = std::max(maxHits, hits.counts[r]);
    std::vector<Fuser> fusers;
    std::vector<std::vector<HeadHits>> heads(threads, std::vector<HeadHits>(hits.heads));
    for (uint32_t i = 0; i < threads; ++i) fusers.emplace_back(lsePiece, logits.columns(), maxHits, hits.heads);

    std::atomic<size_t> nextRow = 0;
    std::atomic<uint32_t> nextFuser = 0;
    workers.run(threads, [&] {
        const uint32_t own = nextFuser.fetch_add(1, std::memory_order_relaxed);
        for (size_t b; (b = nextRow.fetch_add(1, std::memory_order_relaxed)) < batch;) {
            rtd_row_status status = RTD_ROW_UNCHANGED;
            if (!rows[b].isSkipped) {
                for (uint32_t h = 0; h < hits.heads; ++h) {
                    const size_t r = b * hits.heads + h;
                    heads[own][h] = {hits.distances + r * hits.capacity, hits.tokens + r * hits.capacity, hits.counts[r]};
                }
                status = fusers[own].fuse(LogitsRow(logits.mutableRow(b), logits.dtype(), logits.columns()), heads[own].data(), hits.heads,
                                          rows[b].fusion);
            }
            if (statuses) statuses[b] = status;
        }
    });
}

}  // namespace rtd
