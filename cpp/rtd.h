/*
 * node-rtd: the C interface. It is the low-level API: the Node addon, the tap into llama.cpp and programs in C use this and nothing beneath it.
 *
 * Reference Trustable Decoding (arXiv 2409.20181): keys are last hidden states, values are the tokens that followed them. A search finds the
 * exact k nearest keys of a query; the softmax of their distances is the reference distribution r; fusing merges it with a row of logits:
 *
 *     d_i = distance(q, x_i)    w_i = softmax(-d_i / T)    r_v = sum of w_i over hits with token v    p'_v = (1 - a) p_v + a r_v
 *
 * Results.  Hits are ordered by (order-preserving bits of the distance before its square root, id). Ids, distance bits and the bits of fused
 * logits are the same on every back end, for every number of threads and every split of the keys into parts.
 *
 * Conventions.  Every function returns a status; RTD_OK is 0. After any other status rtd_last_error() of the same thread says what was
 * given, what was expected and what to do. A call that fails changes nothing. Sizes are counts of elements, strides included, never bytes.
 * Option structs begin with struct_size = sizeof(the struct): fields a caller does not know are taken as zero, and zero is always the default.
 * The library keeps no pointer of the caller's after a call returns, but for rtd_plan_enqueue's, which the device uses later. Strings are UTF-8
 * and end in NUL.
 *
 * Threads.  Any number of threads may search one index at once; adding and removing may go on meanwhile, one at a time (others wait), and
 * so may a seal, for which only other seals wait and what else writes to a store's disk. A search sees the entries that were there when it
 * began. Handles are counted: retain and release may be called from any thread.
 */
#ifndef RTD_H
#define RTD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(RTD_STATIC)
#define RTD_API
#elif defined(_WIN32)
#ifdef RTD_BUILD
#define RTD_API __declspec(dllexport)
#else
#define RTD_API __declspec(dllimport)
#endif
#else
#define RTD_API __attribute__((visibility("default")))
#endif

/* Raised when a compiled caller would break: a function gone or changed, a field moved, a number with another meaning. New functions, and new
 * fields at the end of option structs, leave it. rtd_abi_version() is that of the library at run time; compare it after dlopen. */
#define RTD_ABI_VERSION 1
RTD_API uint32_t rtd_abi_version(void);

/* ---- limits -------------------------------------------------------------------------------------------------------------------- */

#define RTD_MAX_DIM 65536u     /* dimensions of a key */
#define RTD_MAX_K 2048u        /* hits a row */
#define RTD_MAX_NAMESPACES 64u /* namespaces a row may accept */
#define RTD_NO_ID 0xFFFFFFFFu  /* id of a padded hit; ids are smaller, so an index holds at most 2^32 - 1 entries */
#define RTD_NO_TOKEN (-1)      /* token of a padded hit */

/* ---- statuses ------------------------------------------------------------------------------------------------------------------ */

typedef enum rtd_status {
    RTD_OK = 0,
    RTD_INVALID_ARGUMENT = 1, /* a shape, size, option or pointer that the function's description does not allow */
    RTD_NOT_FINITE = 2,       /* a key or query holds NaN or infinity, or a key overflows the index's dtype */
    RTD_UNKNOWN_ID = 3,       /* an id that was never given, or whose entry is already removed */
    RTD_TOKEN_RANGE = 4,      /* the index holds a token that is not below the vocabulary of the logits, or a token is negative */
    RTD_NO_TEMPERATURE = 5,   /* a row wants the index's default temperature and there is none: seal the index, or give one */
    RTD_UNSUPPORTED = 6,      /* this machine, back end, platform or build cannot do it */
    RTD_CANCELLED = 7,        /* should_stop returned non-zero */
    RTD_OUT_OF_MEMORY = 8,    /* the message names the bytes */
    RTD_READ_ONLY = 9,        /* the store was opened for reading */
    RTD_LOCKED = 10,          /* another writer has the store open */
    RTD_NOT_FOUND = 11,       /* no such file or store */
    RTD_EXISTS = 12,          /* a store is already there */
    RTD_PERMISSION = 13,      /* the system does not allow it */
    RTD_NO_SPACE = 14,        /* the disk or quota is full */
    RTD_IO = 15,              /* any other failure of the file system */
    RTD_BAD_FORMAT = 16,      /* a file is not what it should be: header, offsets, shapes, version */
    RTD_TRUNCATED = 17,       /* a file is shorter than it says */
    RTD_CHECKSUM = 18,        /* a file's content is not what was written */
    RTD_CLOSED = 19,          /* the store is closed */
    RTD_INTERNAL = 20         /* a device that failed, and the message names its call; else a bug in this library: please report it */
} rtd_status;

/* "ok", "invalid-argument", "not-finite", ...; never NULL, also for an unknown number. */
RTD_API const char* rtd_status_name(rtd_status status);

/* What went wrong in this thread's last call that did not return RTD_OK. Valid until this thread's next call; "" if there was none. */
RTD_API const char* rtd_last_error(void);

/* ---- data in and out ----------------------------------------------------------------------------------------------------------- */

typedef enum rtd_dtype { RTD_F32 = 0, RTD_F16 = 1, RTD_BF16 = 2 } rtd_dtype;

typedef enum rtd_metric {
    RTD_L2 = 0,   /* Euclidean distance */
    RTD_L2SQ = 1, /* its square */
    RTD_DOT = 2   /* the negative dot product; +infinity where products overflow in opposite directions */
} rtd_metric;

/* rows x columns numbers; row r begins row_stride * r elements after data. row_stride 0 means columns. 2-byte types need 2-byte alignment. */
typedef struct rtd_matrix {
    const void* data;
    size_t rows;
    size_t columns;
    size_t row_stride;
    rtd_dtype dtype;
} rtd_matrix;

/* The same, written to. Rows must not overlap: row_stride is 0 or at least columns. */
typedef struct rtd_mutable_matrix {
    void* data;
    size_t rows;
    size_t columns;
    size_t row_stride;
    rtd_dtype dtype;
} rtd_mutable_matrix;

/* Room for hits, row by row: capacity entries for each of the B * heads rows (row b * heads + h). Any pointer may be NULL (not wanted).
 * Rows come nearest first; those with fewer than capacity hits are padded with RTD_NO_ID, RTD_NO_TOKEN and +infinity. A distance that
 * overflowed is a hit, but does not vote. */
typedef struct rtd_hits {
    uint32_t* ids;     /* [B * heads, capacity] */
    float* distances;  /* [B * heads, capacity], the metric's distances */
    int32_t* tokens;   /* [B * heads, capacity] */
    uint32_t* counts;  /* [B * heads] hits before the padding */
    uint32_t capacity; /* at least the largest k of the call, unless only counts are wanted */
} rtd_hits;

/* A weight for each row by how sure the reference and the model are: a = max_weight / (1 + e^-z),
 *
 *     z = bias + hit_entropy H(r) + largest_vote max r_v + model_entropy H(p)
 *
 * with the entropies, in nats, of the reference distribution and of the model's own (its bias included). Coefficients are finite. */
typedef struct rtd_gate {
    uint32_t struct_size;
    float max_weight; /* 0..1 */
    float bias;
    float hit_entropy;
    float largest_vote;
    float model_entropy;
} rtd_gate;

/* What a row (a query and its logits) wants. One struct serves all rows, or one each, struct_size bytes apart. */
typedef struct rtd_row_options {
    uint32_t struct_size;
    uint32_t k;                 /* 1..RTD_MAX_K hits, for each head */
    float reference_weight;     /* a, 0..1. 0 leaves the logits alone; 1 leaves nothing of the model */
    float temperature;          /* T > 0; 0 takes the index's default */
    float max_distance;         /* hits beyond it are not returned and do not vote; only read with RTD_ROW_MAX_DISTANCE */
    uint32_t flags;             /* RTD_ROW_... */
    const uint32_t* namespaces; /* [namespace_count] accepted; NULL accepts all */
    uint32_t namespace_count;   /* 0..RTD_MAX_NAMESPACES; 0 with namespaces not NULL accepts no entry */
    uint32_t reserved;          /* not read */
    const uint32_t* seeds;      /* [seed_count] ids expected among the nearest, such as those that follow the last step's hits. A hint that lets
                                   a device rule out the rest early where k or more of them are hits; results never depend on it. Ids that no
                                   entry has are passed over, and a device may look at no more than k and a few */
    size_t seed_count;          /* 0..RTD_MAX_K */
    const int32_t* bias_tokens; /* [bias_count] tokens below V, each once: bias_values are added to their logits, rounded to float32, and that is
                                   what the log-sum-exp and the merge begin with. A part of merging: where the row's status is not
                                   RTD_ROW_MERGED its logits are as they were */
    const float* bias_values;   /* [bias_count], finite */
    size_t bias_count;          /* 0: no bias */
    const rtd_gate* gate;       /* in place of reference_weight, which is then not read; NULL: none */
} rtd_row_options;

#define RTD_ROW_MAX_DISTANCE 1u /* max_distance counts */
#define RTD_ROW_UNMASK 2u       /* a retrieved token whose logit is -infinity may come back although a < 1 */
#define RTD_ROW_SKIP 4u         /* neither search nor fuse this row: 0 hits, logits as they were; every other field is ignored */

/* What became of a row of logits. */
typedef enum rtd_row_status {
    RTD_ROW_MERGED = 0,
    RTD_ROW_UNCHANGED = 1,  /* weight 0 or skipped: the logits were not even read. Or, in a row that can be merged, no hit with a finite distance */
    RTD_ROW_UNMERGEABLE = 2 /* left as it was, whatever weight above 0 it has: its logits hold NaN or +infinity or nothing but -infinity; or its
                             * query, given on the device, holds NaN or infinity, as it is or once it has gone through the index's transform */
} rtd_row_status;

/* What a row of logits is weighed by. */
typedef struct rtd_row_figures {
    double nearest;          /* the smallest finite distance of a hit, of all heads; +infinity without one */
    double hit_entropy;      /* of r, in nats; 0 without a vote. A head without one leaves r, and this, as small as it makes them */
    double largest_vote;     /* the largest r_v; 0 without a vote */
    double model_entropy;    /* of the softmax of the logits and their bias, in nats; NaN for a row that cannot be merged, or is skipped */
    double reference_weight; /* a; 0 unless the row is RTD_ROW_MERGED */
    double temperature;      /* T; 0 for a row that is skipped */
} rtd_row_figures;

/* Where the queries and logits of a call lie. */
typedef enum rtd_memory {
    RTD_MEMORY_HOST = 0,
    RTD_MEMORY_DEVICE = 1 /* memory that rtd_index_reaches; see "on the device" below */
} rtd_memory;

/* What searches looked at, in pairs of a key and a row (query x head). */
typedef struct rtd_search_counts {
    uint64_t scanned; /* canonical distances taken by a scan */
    uint64_t level1;  /* bounds of a cascade's levels, the second of which may have two parts */
    uint64_t level2;
    uint64_t level2b;
    uint64_t level3;
    uint64_t exact; /* canonical distances taken of keys that no level ruled out */
    uint64_t bytes; /* of keys and levels that were read for all that; those that serve several rows at once count once */
} rtd_search_counts;

typedef struct rtd_call_options {
    uint32_t struct_size;
    uint32_t threads;                  /* 0: as the index was created */
    int (*should_stop)(void* context); /* asked between tiles, from any thread of the call; must not call this library; NULL: never */
    void* context;
    rtd_memory memory;                                /* only read by rtd_search and rtd_search_and_fuse */
    rtd_search_counts* counts;                        /* a search adds what it looked at; not on the device; NULL: nobody counts */
    void (*on_progress)(void* context, double share); /* what a seal has done, 0..1 and rising; one call at a time, from any thread of the call; must
                                                         not call this library; NULL: nobody asks */
    rtd_row_figures*
        figures; /* [B] filled in by rtd_search_and_fuse, for which rows of weight 0 are searched, too, and need a temperature; not on the
                                 device; NULL: nobody asks */
} rtd_call_options;

/* ---- back ends ----------------------------------------------------------------------------------------------------------------- */

typedef struct rtd_backend_info {
    const char* name;   /* "serial", "avx2", "avx512", "neon", "cuda" */
    int usable;         /* 1 if an index can be created with it here */
    int is_default;     /* 1 for the one that "auto" takes */
    const char* reason; /* why it is not usable, or what it runs on; never NULL */
} rtd_backend_info;

/* All back ends this build knows, usable or not, fastest first. *list stays valid for the life of the process. Where there is a CUDA binary, this,
 * "auto" and "cuda" try it in a process of its own, once: it may take as long as a driver takes to wake, at most 20 seconds. The binary lies
 * beside this library, or is named by the environment's RTD_CUDA_LIBRARY. It uses the first device that the driver shows, or the one whose number
 * is the environment's RTD_CUDA_DEVICE: the one that has the decoder's logits, where there are several. */
RTD_API rtd_status rtd_backends(const rtd_backend_info** list, size_t* count);

/* ---- transforms of keys --------------------------------------------------------------------------------------------------------- */

typedef enum rtd_transform_kind {
    RTD_TRANSFORM_NONE = 0,  /* keys are searched as they are given */
    RTD_TRANSFORM_SCALE = 1, /* z_i = w_i (x_i - mean_i) */
    RTD_TRANSFORM_MATRIX = 2 /* z = W (x - mean); only with one head */
} rtd_transform_kind;

/* A linear map from keys and queries as they are given to those that are searched. Distances are those of the images. */
typedef struct rtd_transform {
    uint32_t struct_size;
    rtd_transform_kind kind;
    uint32_t input_dim;
    uint32_t output_dim;  /* of a scale: as input_dim */
    const float* mean;    /* [input_dim]; NULL: 0 */
    const float* weights; /* [input_dim], or [output_dim, input_dim] */
} rtd_transform;

typedef enum rtd_fit_method {
    RTD_FIT_STANDARDISE = 0, /* a scale: divides by sqrt(variance + shrinkage x mean variance) */
    RTD_FIT_WHITEN = 1,      /* a square matrix: the same along the keys' principal axes (their order and signs make no difference to distances) */
    RTD_FIT_PROJECT = 2      /* C - 1 rows: Fisher's discriminants of C classes, whitened within the classes with that shrinkage */
} rtd_fit_method;

#define RTD_MAX_FIT_CLASSES 4096u

typedef struct rtd_fit_options {
    uint32_t struct_size;
    rtd_fit_method method;
    float shrinkage; /* 0 and up, in units of the mean variance over dimensions (within classes) */
} rtd_fit_options;

/* Fits a transform to keys [n, dim] of any dtype. classes [n] number the keys' classes from 0 on without gaps; only read to project. mean [dim] and
 * weights are written: [dim] to standardise, [dim, dim] to whiten, [C - 1, dim] to project onto C classes. fitted (may be NULL) describes them with
 * pointers to both. Cost: n dim^2 / 2 products, and to whiten or project dim^3 / 2 more and 12 dim^2 bytes. Errors: RTD_INVALID_ARGUMENT (also where
 * keys do not vary), RTD_NOT_FINITE, RTD_OUT_OF_MEMORY, RTD_CANCELLED. */
RTD_API rtd_status rtd_transform_fit(const rtd_fit_options* options, const rtd_matrix* keys, const int32_t* classes, const rtd_call_options* call,
                                     float* mean, float* weights, rtd_transform* fitted);

/* out [B, output_dim] = the images of rows [B, input_dim], with the bits that every index computes. */
RTD_API rtd_status rtd_transform_apply(const rtd_transform* transform, const rtd_matrix* rows, float* out);

/* ---- an index in memory -------------------------------------------------------------------------------------------------------- */

typedef struct rtd_index rtd_index;

/* Whether rtd_index_seal builds cascades of bounds, which spare searches most of the keys' bytes. Results are the same in every case. */
typedef enum rtd_cascade {
    RTD_CASCADE_AUTO = 0,  /* from 4096 entries on; a search goes back to scanning where that is cheaper */
    RTD_CASCADE_OFF = 1,   /* every search scans */
    RTD_CASCADE_ALWAYS = 2 /* of any entries, and used unless no bound holds (magnitudes of 1e15 and more): to test and to measure */
} rtd_cascade;

typedef struct rtd_index_options {
    uint32_t struct_size;
    uint32_t dim; /* 1..RTD_MAX_DIM, a multiple of heads */
    rtd_metric metric;
    rtd_dtype dtype;     /* how keys are kept; given keys are rounded to it once, to nearest even */
    uint32_t heads;      /* H slices of dim / H that search and vote on their own; 0 means 1 */
    const char* backend; /* NULL or "auto": the environment's RTD_BACKEND, else the fastest. A name that cannot be used here: RTD_UNSUPPORTED */
    uint32_t threads;    /* 0: the environment's RTD_THREADS, else as many as the processors this process may use */
    rtd_cascade cascade; /* RTD_CASCADE_AUTO: the environment's RTD_CASCADE ("auto", "off" or "always"), else as below */
    const rtd_transform* transform; /* copied; its input_dim is dim. Keys are kept transformed. NULL: none */
} rtd_index_options;

typedef struct rtd_index_info {
    uint32_t struct_size;
    uint32_t dim;
    rtd_metric metric;
    rtd_dtype dtype;
    uint32_t heads;
    uint32_t threads;
    const char* backend;   /* the name of the back end that serves; lives as long as the process */
    uint64_t entries;      /* ids given so far, removed ones included: the next id */
    uint64_t live;         /* entries less the removed */
    uint64_t sealed;       /* ids below this are sealed */
    uint64_t bytes;        /* memory and mapped files that hold keys and their values */
    int32_t max_token;     /* the largest token ever added, -1 if none */
    float temperature;     /* the default computed when last sealed, 0 if never */
    uint64_t cascaded;     /* entries that have a cascade; the others are scanned */
    uint32_t searched_dim; /* of keys as they are searched: dim, or what the transform makes of it */
} rtd_index_info;

/* The index starts with one reference, the caller's; the last release frees it. */
RTD_API rtd_status rtd_index_create(const rtd_index_options* options, rtd_index** index);
RTD_API void rtd_index_retain(rtd_index* index);
RTD_API void rtd_index_release(rtd_index* index); /* NULL is allowed */
RTD_API rtd_status rtd_index_get_info(const rtd_index* index, rtd_index_info* info);

/* Adds keys [n, dim] (f32, f16 or bf16) with tokens [n] >= 0 and namespaces [n] (NULL: all 0). All or none are added; entry i gets the id
 * *first_id + i (first_id may be NULL). Errors: RTD_NOT_FINITE, RTD_TOKEN_RANGE, RTD_INVALID_ARGUMENT, RTD_OUT_OF_MEMORY, RTD_READ_ONLY
 * (the index of a store: append to the store). */
RTD_API rtd_status rtd_index_add(rtd_index* index, const rtd_matrix* keys, const int32_t* tokens, const uint32_t* namespaces, uint32_t* first_id);

/* Removes entries: they are never found again and their ids never reused. All or none: RTD_UNKNOWN_ID names the first bad one (also one
 * given twice). */
RTD_API rtd_status rtd_index_remove(rtd_index* index, const uint32_t* ids, size_t count);

/* Builds what makes searching fast over the entries added since the last time, a cascade of bounds that rules most keys out from a small part of
 * their bytes, and computes the default temperature
 * T = 0.4 x median over sampled keys of (d_min(64, N-1) - d_1), the key itself left out (metric's distances; all heads together); where
 * that is 0 the median of the positive differences, else 1. Results of searches do not change by it. */
RTD_API rtd_status rtd_index_seal(rtd_index* index, const rtd_call_options* call);

/* Tokens, namespaces and liveness of entries by id; any output may be NULL. A removed entry is reported with live 0. */
RTD_API rtd_status rtd_index_entries(const rtd_index* index, const uint32_t* ids, size_t count, int32_t* tokens, uint32_t* namespaces, uint8_t* live);

/* The index's transform; its kind is RTD_TRANSFORM_NONE where there is none. Its pointers live as long as the index. */
RTD_API rtd_status rtd_index_transform(const rtd_index* index, rtd_transform* transform);

/* Copies the keys [count, searched_dim] of entries by id, as they are searched, as float32 (exact: every dtype fits). */
RTD_API rtd_status rtd_index_keys(const rtd_index* index, const uint32_t* ids, size_t count, float* keys);

/* ---- search and fusion --------------------------------------------------------------------------------------------------------- */

/* Finds the k nearest live entries of each of the B queries [B, dim] (f32 or f16). rows has row_count options: 1 for all, or B.
 * Any B, also 0. Cost: reads the keys once per 64 queries (per 8192 / heads, if that is less), of those with a cascade a small part. */
RTD_API rtd_status rtd_search(const rtd_index* index, const rtd_matrix* queries, const rtd_row_options* rows, size_t row_count,
                              const rtd_call_options* call, const rtd_hits* hits);

/* Searches and rewrites logits [B, V] (f32 or f16) in place. hits may be NULL, or any of its pointers; statuses [B] may be NULL. With heads,
 * r is the mean of their votes; one without a vote counts as 0. p' is within rounding of the formula above; core/fusion.h has every bit of it.
 * RTD_TOKEN_RANGE if the index's largest token is not below V. Rows of weight 0 are searched only if hits are asked for. */
RTD_API rtd_status rtd_search_and_fuse(const rtd_index* index, const rtd_matrix* queries, const rtd_mutable_matrix* logits,
                                       const rtd_row_options* rows, size_t row_count, const rtd_call_options* call, const rtd_hits* hits,
                                       rtd_row_status* statuses);

/* Rewrites logits [B, V] with hits that came from elsewhere: distances, tokens and counts are read ([B * heads, capacity]), ids are not.
 * Hits count in the order given, the first counts[i] of row i; infinite distances do not vote. k, max_distance and namespaces of rows are
 * ignored; temperature must be given. Errors: RTD_NOT_FINITE (a NaN distance), RTD_TOKEN_RANGE, RTD_NO_TEMPERATURE. */
RTD_API rtd_status rtd_fuse(const rtd_hits* hits, uint32_t heads, const rtd_mutable_matrix* logits, const rtd_row_options* rows, size_t row_count,
                            rtd_row_status* statuses);

/* What rtd_fuse, given the same, would weigh the rows by: figures [B]. Logits are only read. Rows of weight 0 need a temperature, too. */
RTD_API rtd_status rtd_figures(const rtd_hits* hits, uint32_t heads, const rtd_matrix* logits, const rtd_row_options* rows, size_t row_count,
                               rtd_row_figures* figures);

/* log p of some tokens of every row of logits [B, V] (f32 or f16): out [B, tokens_per_row] = logit - LSE(row) in double, from the canonical
 * log-sum-exp. tokens [B, tokens_per_row], each below V. A row that could not be merged (RTD_ROW_UNMERGEABLE) gives NaN. */
RTD_API rtd_status rtd_log_probabilities(const rtd_matrix* logits, const int32_t* tokens, size_t tokens_per_row, double* out);

/* ---- on the device -------------------------------------------------------------------------------------------------------------- *
 *
 * For decoders whose hidden states and logits are on a GPU already: nothing of either is copied. The index is on the back end "cuda".
 *
 *   at once   rtd_search and rtd_search_and_fuse with call.memory = RTD_MEMORY_DEVICE: the data of queries and logits are device pointers; hits
 *             and statuses are the host's, as ever. Whatever writes queries and logits must have finished: synchronise its stream. The call works
 *             on a stream of its own and is done with them when it returns. Rows with a bias or gate are
 *             merged on the host, and RTD_UNSUPPORTED here, as figures are.
 *   a plan    Everything a launch needs, made beforehand for one stream. rtd_plan_enqueue is then one kernel launch on that stream: no copy, no
 *             allocation, no waiting for the device. It may be captured in a CUDA graph.
 *
 * Bits. Results are those of the same call with host pointers on any back end; queries go through the index's transform, where it has one, in the same
 * launch. Device queries are not looked at beforehand: where one, or its image under the transform, holds NaN or infinity, its row of logits stays as
 * it was, its status is RTD_ROW_UNMERGEABLE, and its hits mean nothing.
 * Failures. What is wrong with the arguments is found before anything is launched, and changes nothing. After a failure of the device itself
 * (RTD_INTERNAL; with CUDA the process cannot use that device any more) logits are undefined. */

/* Sets *reaches to 1 if kernels of the index's device may use memory at this address: of that device, of another that it reaches as a peer,
 * managed, or pinned; else to 0. Always 0 on a CPU back end. */
RTD_API rtd_status rtd_index_reaches(const rtd_index* index, const void* pointer, int* reaches);

#define RTD_PLAN_MAX_ROWS 64u /* rows of one launch */

typedef struct rtd_plan rtd_plan;

typedef struct rtd_plan_options {
    uint32_t struct_size;
    uint32_t max_rows;   /* 1..RTD_PLAN_MAX_ROWS queries of one launch */
    uint32_t max_k;      /* 1..RTD_MAX_K hits a row */
    uint32_t vocabulary; /* V of the logits; 0: the plan only searches */
    void* stream;        /* a cudaStream_t of the index's device; NULL: the default stream. cudaStreamPerThread is refused */
} rtd_plan_options;

/* A plan holds a workspace, and the index's entries as they are now: later rtd_index_add and _remove do not disturb its launches, and are seen
 * after rtd_plan_refresh. It retains the index, and allocates all device memory it will need but for what a refresh brings.
 *
 * One launch at a time uses a workspace, which the plan's stream sees to: use a plan for each stream. Any number of threads may call a plan; they
 * wait for one another. Replays of a captured graph are launches too: launch them on the plan's stream, or when it is idle.
 *
 * Errors: RTD_UNSUPPORTED (the index is on a CPU back end), RTD_TOKEN_RANGE, RTD_OUT_OF_MEMORY (names the bytes), RTD_INVALID_ARGUMENT. */
RTD_API rtd_status rtd_plan_create(rtd_index* index, const rtd_plan_options* options, rtd_plan** plan);

/* Waits for the plan's stream, then frees. Release a plan before its stream is destroyed, and not while the stream is captured. NULL is allowed. */
RTD_API void rtd_plan_release(rtd_plan* plan);

/* Options of the rows, without a bias or gate, 1 for all or one each for up to max_rows: those of every launch enqueued afterwards, and of replays, until they are set
 * again (a graph that was captured without seeds goes on without). In the order of the stream, so launches before keep theirs. Needed once before the first launch; not while the stream is captured. A row
 * with weight 0 is searched for its hits; RTD_ROW_SKIP saves that. Errors: RTD_INVALID_ARGUMENT (also k > max_k), RTD_NO_TEMPERATURE,
 * RTD_UNSUPPORTED (a bias or gate). */
RTD_API rtd_status rtd_plan_set_rows(rtd_plan* plan, const rtd_row_options* rows, size_t row_count);

/* Shows the plan the index's entries and default temperature as they are now. Cheap where nothing has changed; otherwise it uploads what is new
 * and waits for the plan's launches. A graph captured before still searches the entries of then, and must not be replayed after: capture again.
 * Not while the stream is captured. Errors: as rtd_plan_create, RTD_NO_TEMPERATURE; the plan is then as it was. */
RTD_API rtd_status rtd_plan_refresh(rtd_plan* plan);

/* Enqueues one launch that searches and rewrites logits, as rtd_search_and_fuse does. queries [B, dim] (f32 or f16) and logits [B, V] (f32 or
 * f16), B up to the rows that options were set for, 0 included; logits NULL: search only. The structs are the host's; every pointer in them, and
 * statuses [B], are memory that rtd_index_reaches. hits and statuses may be NULL, as may any pointer of hits. That memory is used when the
 * stream gets there: keep it until then. Any other memory: RTD_INVALID_ARGUMENT. */
RTD_API rtd_status rtd_plan_enqueue(rtd_plan* plan, const rtd_matrix* queries, const rtd_mutable_matrix* logits, const rtd_hits* hits,
                                    rtd_row_status* statuses);

/* ---- a store on disk ----------------------------------------------------------------------------------------------------------- */

/* A directory: manifest.json, immutable safetensors segments and, once entries were removed, a file of their ids. See store/format.md. */
typedef struct rtd_store rtd_store;

typedef struct rtd_store_options {
    uint32_t struct_size;
    uint32_t dim; /* as in rtd_index_options, with metric, dtype and heads */
    rtd_metric metric;
    rtd_dtype dtype;
    uint32_t heads;
    const char* model;    /* JSON object kept in the manifest as "model": what made the keys; NULL: {} */
    const char* metadata; /* JSON object kept as "metadata": recipe, defaults, whatever the application needs; NULL: {} */
    const char* backend;  /* of the index, as in rtd_index_options */
    uint32_t threads;
    rtd_cascade cascade;
} rtd_store_options;

typedef struct rtd_store_open_options {
    uint32_t struct_size;
    int writable;       /* 1: take the store's lock and allow append, remove, seal */
    int skip_checksums; /* 1: do not read the segments through on opening (they stay mapped; rtd_store_verify checks them later) */
    const char* backend;
    uint32_t threads;
    rtd_cascade cascade; /* RTD_CASCADE_OFF also leaves the cascades on disk alone */
} rtd_store_open_options;

/* Makes an empty store at a path that does not exist yet or is an empty directory, and leaves it open for writing. RTD_EXISTS otherwise. */
RTD_API rtd_status rtd_store_create(const char* path, const rtd_store_options* options, rtd_store** store);

/* Opens a store; options NULL: for reading, checksums verified. Errors: RTD_NOT_FOUND, RTD_LOCKED, RTD_PERMISSION, RTD_BAD_FORMAT,
 * RTD_TRUNCATED, RTD_CHECKSUM, RTD_IO; each names the file. */
RTD_API rtd_status rtd_store_open(const char* path, const rtd_store_open_options* options, rtd_store** store);

/* Drops what was appended and not sealed, gives up the lock; the index lives on for whoever retains it. Any later call but release:
 * RTD_CLOSED. */
RTD_API rtd_status rtd_store_close(rtd_store* store);
RTD_API void rtd_store_retain(rtd_store* store);
RTD_API void rtd_store_release(rtd_store* store); /* the last one closes; NULL is allowed */

/* The index over the store's entries; appended entries are found at once, sealed or not. Borrowed: retain it to keep it beyond the store or
 * beyond rtd_store_set_space. */
RTD_API rtd_status rtd_store_index(rtd_store* store, rtd_index** index);

/* Appends entries: as rtd_index_add, and for each the example it came from and its position there ([n] each, NULL: all 0). Durable after
 * rtd_store_seal. */
RTD_API rtd_status rtd_store_append(rtd_store* store, const rtd_matrix* keys, const int32_t* tokens, const uint32_t* namespaces,
                                    const uint32_t* examples, const uint32_t* positions, size_t count, uint32_t* first_id);

/* Writes pending entries as a new segment and pending removals, then the manifest: after a crash at any moment the store is as it was before
 * or after. Also builds what rtd_index_seal builds. Nothing pending: only that. */
RTD_API rtd_status rtd_store_seal(rtd_store* store, const rtd_call_options* call);

/* Sets how keys are searched from now on: the number of heads (0: as it is) and the transform (NULL, or of kind RTD_TRANSFORM_NONE: none), for every entry and query. Seals
 * what is pending, makes what is derived from the keys anew, and puts another index in the place of the store's: the one before goes on for who
 * retains it, with the entries of now. Appending waits meanwhile. Durable when it returns. Errors: RTD_INVALID_ARGUMENT, RTD_NOT_FINITE (a key
 * whose image overflows the store's dtype), and as rtd_store_seal; the store is then as it was, or sealed. */
RTD_API rtd_status rtd_store_set_space(rtd_store* store, uint32_t heads, const rtd_transform* transform, const rtd_call_options* call);

/* Copies the keys [count, dim] of entries by id, as they were appended (rounded to the store's dtype), as float32. */
RTD_API rtd_status rtd_store_keys(rtd_store* store, const uint32_t* ids, size_t count, float* keys);

/* As rtd_index_remove; durable when it returns for sealed entries. */
RTD_API rtd_status rtd_store_remove(rtd_store* store, const uint32_t* ids, size_t count);

/* Reads every file through and compares lengths, headers and checksums. report is called once per file with RTD_OK or what is wrong (message
 * as rtd_last_error); the first failure is returned. */
RTD_API rtd_status rtd_store_verify(rtd_store* store, void (*report)(void* context, const char* file, rtd_status status, const char* message),
                                    void* context, const rtd_call_options* call);

/* The same for a store that is not open, and perhaps cannot be opened. RTD_NOT_FOUND where no store is; other failures are reported first. */
RTD_API rtd_status rtd_store_verify_path(const char* path, void (*report)(void* context, const char* file, rtd_status status, const char* message),
                                         void* context, const rtd_call_options* call);

/* The manifest as JSON text as it is on disk. *json lives until this store's next call from the same thread. */
RTD_API rtd_status rtd_store_manifest(rtd_store* store, const char** json);

/* Replaces "metadata" (a JSON object); durable when it returns. */
RTD_API rtd_status rtd_store_set_metadata(rtd_store* store, const char* json);

/* Where entries came from: examples and positions [count] by id; either may be NULL. */
RTD_API rtd_status rtd_store_origins(rtd_store* store, const uint32_t* ids, size_t count, uint32_t* examples, uint32_t* positions);

#ifdef __cplusplus
}
#endif

#endif
