// An index that is searched through its cascade beside one that scans.
#pragma once
#include <algorithm>
#include <vector>

#include "../core/case.h"
#include "../harness.h"
#include "data.h"

inline rtd_index_options optionsOf(uint32_t dim, rtd_metric metric, rtd_dtype dtype, uint32_t heads, const char* backend, rtd_cascade cascade) {
    rtd_index_options options = indexOptions(dim, metric, dtype, heads, backend);
    options.cascade = cascade;
    return options;
}

inline rtd_call_options callOf(uint32_t threads, rtd_search_counts* counts = nullptr) {
    rtd_call_options call{};
    call.struct_size = sizeof call;
    call.threads = threads;
    call.counts = counts;
    return call;
}

// Two indexes with the same entries, one of which scans, on another back end where one is named.
class Pair {
  public:
    Pair(Distribution distribution, uint32_t entries, uint32_t queries, uint32_t dim, rtd_metric metric, rtd_dtype dtype, uint32_t heads,
         const char* backend, rtd_cascade cascade = RTD_CASCADE_ALWAYS, const char* scanningBackend = nullptr)
        : dim_(dim),
          heads_(heads),
          queryCount_(queries),
          rows_(makeRows(distribution, entries + queries, queries, dim, entries)),
          scanning_(optionsOf(dim, metric, dtype, heads, scanningBackend ? scanningBackend : backend, RTD_CASCADE_OFF)),
          cascading_(optionsOf(dim, metric, dtype, heads, backend, cascade)),
          entries_(entries) {
        if (dtype == RTD_F16)
            for (float& x : rows_) x = std::clamp(x, -60000.0f, 60000.0f);
    }

    // Adds entries [begin, end) to both.
    void add(uint32_t begin, uint32_t end) {
        std::vector<int32_t> tokens;
        std::vector<uint32_t> namespaces;
        for (uint32_t i = begin; i < end; ++i) {
            tokens.push_back(static_cast<int32_t>(i % 1000));
            namespaces.push_back(i % 7);
        }
        const rtd_matrix keys = {rows_.data() + size_t{begin} * dim_, end - begin, dim_, 0, RTD_F32};
        for (rtd_index* index : {static_cast<rtd_index*>(scanning_), static_cast<rtd_index*>(cascading_)})
            CHECK_OK(rtd_index_add(index, &keys, tokens.data(), namespaces.data(), nullptr));
    }
    void remove(const std::vector<uint32_t>& ids) {
        for (rtd_index* index : {static_cast<rtd_index*>(scanning_), static_cast<rtd_index*>(cascading_)})
            CHECK_OK(rtd_index_remove(index, ids.data(), ids.size()));
    }
    void seal(uint32_t threads = 1) {
        const rtd_call_options call = callOf(threads);
        CHECK_OK(rtd_index_seal(cascading_, &call));
    }
    rtd_index* cascading() const { return cascading_; }

    // Both give the same hits for the first queries, and for multiples of them. Returns what the cascade's search looked at.
    rtd_search_counts compare(uint32_t batch, uint32_t k, uint32_t threads = 1, const std::vector<uint32_t>& namespaces = {}, float maxDistance = 0,
                              float scale = 1) {
        rtd_row_options row = rowOptions(k);
        row.namespaces = namespaces.data();
        row.namespace_count = static_cast<uint32_t>(namespaces.size());
        row.max_distance = maxDistance;
        if (maxDistance > 0) row.flags |= RTD_ROW_MAX_DISTANCE;
        std::vector<float> given;
        for (uint32_t b = 0; b < batch; ++b)
            for (uint32_t j = 0; j < dim_; ++j) given.push_back(scale * rows_[(size_t{entries_} + b % queryCount_) * dim_ + j]);
        const rtd_matrix queries = {given.data(), batch, dim_, 0, RTD_F32};
        std::vector<uint32_t> ids[2], counts[2];
        std::vector<float> distances[2];
        rtd_search_counts looked{};
        for (const bool isCascading : {false, true}) {
            ids[isCascading].assign(size_t{batch} * heads_ * k, 1);
            distances[isCascading].assign(size_t{batch} * heads_ * k, 1);
            counts[isCascading].assign(size_t{batch} * heads_, 1);
            const rtd_hits hits = {ids[isCascading].data(), distances[isCascading].data(), nullptr, counts[isCascading].data(), k};
            const rtd_call_options call = callOf(threads, isCascading ? &looked : nullptr);
            CHECK_OK(rtd_search(isCascading ? cascading_ : scanning_, &queries, &row, 1, &call, &hits));
        }
        CHECK_SAME_BITS(ids[1], ids[0]);
        CHECK_SAME_BITS(distances[1], distances[0]);
        CHECK_SAME_BITS(counts[1], counts[0]);
        return looked;
    }

  private:
    uint32_t dim_, heads_, queryCount_;
    std::vector<float> rows_;
    TestIndex scanning_, cascading_;
    uint32_t entries_;
};
