// One query against one head: what scans and cascades search for.
#pragma once
#include <algorithm>
#include <cstdint>

#include "index/entries.h"
#include "index/row_pool.h"
#include "index/search.h"

namespace rtd {

struct HeadRow {
    const float* query = nullptr;  // [dim / heads], the head's slice
    uint32_t head = 0;
    const SearchRow* wants = nullptr;  // k at least 1, namespaces ascending
    RowPool* pool = nullptr;           // is offered every key that may be among the k nearest
};

// Whether a row counts an entry, the one at place `at` of a part.
inline bool accepts(const Snapshot& snapshot, const SearchRow& wants, const Part& part, uint32_t at) {
    if (!snapshot.isLive(part.first + at)) return false;
    return wants.anyNamespace || std::binary_search(wants.namespaces.begin(), wants.namespaces.end(), part.namespaces ? part.namespaces[at] : 0);
}

}  // namespace rtd
