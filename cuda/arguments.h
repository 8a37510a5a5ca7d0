// What the kernel is given, and the two layouts that host and device must agree on: of keys, and of the workspace. Plain C++.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cascade_layout.h"

namespace rtd::cuda {

constexpr uint32_t kMaxBatch = 64;       // queries of one launch
constexpr uint32_t kMaxHits = 2048;      // RTD_MAX_K
constexpr uint32_t kMaxNamespaces = 64;  // RTD_MAX_NAMESPACES
constexpr uint32_t kLayoutKeys = 32;     // keys that lie together
constexpr uint32_t kPieceBytes = 512;    // of one key that lie together

// ---- keys -----------------------------------------------------------------------------------------------------------------------------
//
// [tile of 32 keys][head][piece of 512 bytes][key]: what a block copies at a time is one stretch of memory, whatever the dimension. Each head's
// slice is padded with zeros to 16 bytes, the copy's unit; the last piece of a slice is as narrow as that allows. The last tile is whole.

struct KeyLayout {
    uint32_t heads;
    uint32_t headBytes;  // of one head's slice, padded

    static KeyLayout of(uint32_t heads, uint32_t headDim, uint32_t elementBytes) { return {heads, (headDim * elementBytes + 15) / 16 * 16}; }
    size_t tileBytes() const { return size_t{kLayoutKeys} * heads * headBytes; }
    size_t bytes(uint32_t entries) const { return (size_t{entries} + kLayoutKeys - 1) / kLayoutKeys * tileBytes(); }
    // Where byte `at` of a head's slice of a key is.
    size_t offset(uint32_t id, uint32_t head, uint32_t at) const {
        const uint32_t piece = at / kPieceBytes, rest = headBytes - piece * kPieceBytes, width = rest < kPieceBytes ? rest : kPieceBytes;
        return id / kLayoutKeys * tileBytes() + size_t{kLayoutKeys} * (size_t{head} * headBytes + piece * kPieceBytes) +
               size_t{id % kLayoutKeys} * width + at % kPieceBytes;
    }
};

// ---- rows -----------------------------------------------------------------------------------------------------------------------------

// One query's wishes. A row of hits is (query b, head h), number b * heads + h.
struct RowOptions {
    uint32_t k;           // 0: nothing is searched
    float maxDistance;    // hits beyond it are left out; +infinity keeps all
    float weight;         // 0: the logits are not read
    float temperature;    // > 0 where weight > 0
    uint32_t unmask;      // a retrieved token whose logit is -infinity may come back
    uint32_t namespaces;  // accepted ones, at rowNamespaces[b * kMaxNamespaces], ascending; kAnyNamespace accepts all
    uint32_t seeds;       // at seeds[b * seedStride], no two alike, at most hitRoom
};
constexpr uint32_t kAnyNamespace = 0xffffffffu;

// As rtd_row_status.
enum RowStatus : uint32_t { kMerged = 0, kUnchanged = 1, kUnmergeable = 2 };

// ---- workspace --------------------------------------------------------------------------------------------------------------------------
//
// Control, RowStates, pools, images of queries, queries as levels take them, pieces of log-sum-exps. The first two are all zero between launches: each
// launch leaves them as it found them. The layout is made once, for the largest batch; one launch at a time.

struct Control {
    uint32_t ticket;                            // the next piece of work
    uint32_t started;                           // blocks that have begun
    uint32_t arrived;                           // blocks whose finds are all in the pools
    uint32_t merging;                           // the next row to merge
    uint32_t left;                              // blocks that are done with the workspace
    uint32_t transformed, projected, prepared;  // tickets of queries that are done
    uint32_t unused[24];
};

struct RowState {
    uint64_t invertedBound;  // ~(order key of the k-th best known), 0 while there is none; only ever grows
    uint32_t reserved;       // entries of the pool given away; more than its capacity while it is closed
    uint32_t committed;      // entries written
    uint32_t shares;         // length of this head's list of votes
    uint32_t headsDone;      // heads of this query that are merged; in the state of head 0
    uint32_t partsDone;      // parts of the pool that are cut, where several blocks merge the row
    uint32_t notFinite;      // numbers of this query's image that are not; in the state of head 0
    uint32_t unused[8];
};

struct Workspace {
    Control* control;
    RowState* rows;           // [rows]
    uint64_t* pools;          // [rows, poolCapacity] order keys; once a row is merged, its list of votes
    float* images;            // [batch, alignedStride(heads * headDim)] of queries under the transform
    PreparedQuery* prepared;  // [segments, preparedRows]
    uint64_t* codes3;         // [segments, heads, pieces of 64, 2, codeRows, 8]
    double* lseSums;          // [batch, pieces]
    float* lseTops;           // [batch, pieces]
    uint32_t poolCapacity;    // power of two, >= 8 k and >= 256
    uint32_t preparedRows, codeRows;
};

constexpr uint32_t kSmallestPool = 4096;

struct WorkspaceLayout {
    uint32_t rows = 0, batch = 0, poolCapacity = 0, lsePieces = 0;
    uint32_t segments = 0, pieces3 = 0;  // of cascades
    uint32_t imageStride = 0;            // 0: there is no transform

    bool operator==(const WorkspaceLayout&) const = default;

    // For up to `batch` queries with k up to maxHits over logits of up to `vocabulary`. smallestPool: a power of two.
    static WorkspaceLayout of(uint32_t batch, uint32_t heads, uint32_t maxHits, uint32_t vocabulary, uint32_t smallestPool = kSmallestPool) {
        uint32_t pool = smallestPool;
        while (pool < 8 * maxHits) pool *= 2;
        return {batch * heads, batch, pool, (vocabulary + 1023) / 1024};
    }
    size_t stateBytes() const { return sizeof(Control) + size_t{rows} * sizeof(RowState); }  // what must be zero
    size_t bytes() const {
        return stateBytes() + size_t{rows} * (poolCapacity * sizeof(uint64_t) + segments * (sizeof(PreparedQuery) + preparedBytes3())) +
               size_t{batch} * (imageStride * sizeof(float) + lsePieces * (sizeof(double) + sizeof(float)));
    }
    size_t preparedBytes3() const { return size_t{pieces3} * 2 * kPieceCodes; }  // of a row in codes3
    // In memory that is aligned to 128 bytes.
    Workspace at(void* memory) const {
        auto* control = static_cast<Control*>(memory);
        auto* states = reinterpret_cast<RowState*>(control + 1);
        auto* pools = reinterpret_cast<uint64_t*>(states + rows);
        auto* images = reinterpret_cast<float*>(pools + size_t{rows} * poolCapacity);
        auto* codes3 = reinterpret_cast<uint64_t*>(images + size_t{batch} * imageStride);
        auto* prepared = reinterpret_cast<PreparedQuery*>(codes3 + size_t{rows} * segments * preparedBytes3() / sizeof(uint64_t));
        auto* sums = reinterpret_cast<double*>(prepared + size_t{rows} * segments);
        return {control,      states, pools, images, prepared, codes3, sums, reinterpret_cast<float*>(sums + size_t{batch} * lsePieces),
                poolCapacity, rows,   batch};
    }
};

// ---- the call ---------------------------------------------------------------------------------------------------------------------------

// The map that queries go through, as cpp/transform/transform.h says. Rows are padded with zeros.
struct TransformArgs {
    const float* mean;     // [alignedStride(inputDim)]; null: queries are searched for as they are given
    const float* weights;  // [heads * headDim, alignedStride(inputDim)], or of a scale [alignedStride(inputDim)]
    uint32_t inputDim, isMatrix;
};

// Entries [begin, end).
struct Run {
    uint32_t begin, end;
};
constexpr uint32_t kMaxRuns = 8;

struct SearchFuseArgs {
    // The datastore.
    const void* keys;            // in KeyLayout, aligned to 16 bytes
    const int32_t* tokens;       // [entries]
    const uint32_t* namespaces;  // [entries]; null: all 0
    const uint32_t* removed;     // one bit an entry; null: none
    KeyLayout layout;
    uint32_t entries, headDim;
    uint32_t isRoot;  // l2: distances are roots of what is ordered
    CascadeArgs cascade;
    Run runs[kMaxRuns];  // what no cascade covers and is scanned, in order of id
    uint32_t runCount;

    // The queries as they are searched for, [batch, heads * headDim]: with a transform the workspace's images, which the launch writes.
    const void* queries;
    uint64_t queryStride;  // elements
    uint32_t batch, queriesAreHalf;
    uint32_t queriesAreAligned;  // float32 slices that all begin on 16 bytes and are multiples of 4 long
    // With a transform, the queries as they are given, [batch, inputDim].
    TransformArgs transform;
    const void* given;
    uint64_t givenStride;  // elements
    uint32_t givenAreHalf;

    const RowOptions* rows;  // [batch]
    const uint32_t* rowNamespaces;
    const uint32_t* seeds;  // ids, of entries or not; null: none
    uint32_t seedStride;

    // The logits, [batch, vocabulary]; null: search only.
    void* logits;
    uint64_t logitStride;  // elements
    uint32_t vocabulary, logitsAreHalf;

    // Results: rows of `capacity`, padded as rtd_hits says. Any may be null.
    uint32_t* ids;
    float* distances;
    int32_t* hitTokens;
    uint32_t* counts;  // [batch * heads]
    uint32_t capacity;
    uint32_t* statuses;  // [batch]

    Workspace workspace;
    uint32_t hitRoom;         // power of two >= every k and >= 32: hits that fit in shared memory
    uint32_t tilesPerTicket;  // >= 1
    uint32_t mergeParts;      // >= 1: so many blocks share the merge of a row ...
    uint32_t splitAbove;      // ... whose pool holds more than this
};

}  // namespace rtd::cuda
