// Search-and-fuse cases: data of many kinds, run through the C interface and through the oracle.
#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "oracle.h"
#include "rtd.h"

// An index of the C interface that is released.
class TestIndex {
  public:
    explicit TestIndex(const rtd_index_options& options);
    TestIndex(const TestIndex&) = delete;
    TestIndex& operator=(const TestIndex&) = delete;
    ~TestIndex() { rtd_index_release(index_); }
    operator rtd_index*() const { return index_; }

  private:
    rtd_index* index_ = nullptr;
};

// Fails the test with rtd_last_error() unless the status is RTD_OK.
void checkOk(rtd_status status, const char* what);
#define CHECK_OK(call) checkOk((call), #call)

// Options with struct_size and everything else zero.
rtd_index_options indexOptions(uint32_t dim, rtd_metric metric = RTD_L2, rtd_dtype dtype = RTD_F32, uint32_t heads = 1, const char* backend = nullptr,
                               uint32_t threads = 0);
rtd_row_options rowOptions(uint32_t k, float weight = 0, float temperature = 0);
rtd_matrix matrixOf(const std::vector<float>& values, size_t columns);
rtd_mutable_matrix mutableMatrixOf(std::vector<float>& values, size_t columns);

// What numbers look like; each kind provokes something.
enum class Kind { normal, ties, equal, descending, duplicates, spiky, tiny, huge, overflowing, zeros };
constexpr Kind kKinds[] = {Kind::normal, Kind::ties, Kind::equal, Kind::descending,  Kind::duplicates,
                           Kind::spiky,  Kind::tiny, Kind::huge,  Kind::overflowing, Kind::zeros};

struct Shape {
    uint32_t entries = 100, dim = 16, batch = 3, k = 8, vocabulary = 50, heads = 1;
    rtd_metric metric = RTD_L2;
    rtd_dtype dtype = RTD_F32;
    Kind kind = Kind::normal;
    std::string text() const;
};

// Everything one call needs, and what it should give.
struct Case {
    Shape shape;
    oracle::Data data;
    std::vector<float> given;                              // keys as added, before rounding
    std::vector<float> queries;                            // [batch, dim]
    std::vector<float> logits;                             // [batch, vocabulary], numbers that float16 holds too
    std::vector<rtd_row_options> rows;                     // [batch]
    std::vector<std::vector<uint32_t>> namespaces, seeds;  // what rows point to
    std::vector<std::vector<int32_t>> biasTokens;
    std::vector<std::vector<float>> biasValues;
    std::vector<rtd_gate> gates;
};

// Deterministic in shape and seed. plain: rows all alike, nothing removed, no gates: what the sweeps over sizes use.
Case makeCase(const Shape& shape, uint64_t seed, bool isPlain);
// Gives rows biases, or none: of one token, some, all.
void giveBiases(Case& c, uint64_t seed);
// Gives most rows a gate.
void giveGates(Case& c, uint64_t seed);
Shape randomShape(std::mt19937_64& random);

struct Answer {
    std::vector<uint32_t> ids, counts;
    std::vector<float> distances, logits;
    std::vector<int32_t> tokens;
    std::vector<rtd_row_status> statuses;
    std::vector<rtd_row_figures> figures;  // empty where they were not asked for
};

struct Way {
    const char* backend;
    uint32_t threads = 1;
    rtd_dtype logitsDtype = RTD_F32;
    bool isPadded = false;  // rows of all matrices lie apart
    bool figures = false;
};

// The index of a case: keys added in pieces of varied size, removals done.
void fillIndex(rtd_index* index, const Case& c);
Answer run(const rtd_index* index, const Case& c, const Way& way);
Answer expected(const Case& c, rtd_dtype logitsDtype);
void checkSame(const Answer& got, const Answer& want);
// Every usable back end, and each with more than one number of threads, gives the oracle's bits.
void checkEverywhere(const Case& c);

// Names of the back ends that can be used here.
std::vector<const char*> usableBackends();

// Hits that come from elsewhere; of one row.
struct ForeignHits {
    std::vector<float> distances;
    std::vector<int32_t> tokens;
    std::vector<uint32_t> counts = {static_cast<uint32_t>(distances.size())};  // of each head

    uint32_t heads() const { return static_cast<uint32_t>(counts.size()); }
    rtd_hits view() { return {nullptr, distances.data(), tokens.data(), counts.data(), static_cast<uint32_t>(distances.size() / counts.size())}; }
};

// A search's hits, given to rtd_fuse as foreign ones, give what searching and fusing at once does.
void checkForeignHits(const Case& c);

// The largest distance seen between fused logits and their exact values, in ULP of max(|l'|, |LSE|, 1).
double worstUlp(const Case& c);
