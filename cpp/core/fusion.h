// Canonical fusion: the vote of a row's hits merged into its logits. The same bits on every back end.
//
// For every head, over its hits with a finite distance, in their order (i = 0, 1, ...):
//
//     w_i = expWide((d_min - d_i) / T)             in double; d_min is the smallest of them: the first, where hits are sorted
//     Z   = canonical sum of w_i
//     r_v = (doubling sum of w_i over the hits with token v, in their order) / Z
//
// The doubling sum of s_0..s_{n-1} adds s_{i+1} to s_i for even i, then s_{i+2} for i a multiple of 4, then s_{i+4}, ...: what a segmented scan
// does in parallel. With heads r_v = (sum of the heads' r_v in the order of heads) / H: a head without a vote adds nothing.
//
//     l'_v = float(max(l_v, LSE + logWide(fma(a / (1 - a), r_v, expWide(l_v - LSE)))))     a < 1; r_v = 0 leaves l_v
//     l'_v = float(logWide(r_v)), -infinity where nobody voted                             a = 1
//
// in double until the last rounding; float16 logits take that float rounded once more. l'_v is within 1 ULP of max(|l'_v|, |LSE|, 1) of the true
// value where p'_v >= 1e-300. The maximum says what holds in exact arithmetic, a vote never lowers a logit, also where p and r underflow.
//
// What a row is weighed by, and the weight of a gate with the coefficients c and the largest weight A:
//
//     H(r) = max(0, 0 - canonical sum of r_v * logWide(r_v))       over the tokens with r_v > 0, ascending
//     H(p) = logWide(S) - D / S                                    S and M of the log-sum-exp (core/canonical.h)
//     D    = canonical sum of expWide(m - M) * fma(s, m - M, e)    over the pieces with a finite logit, m and s of each
//     e    = canonical sum of double(expSmall(x) * max(x, -87))    over a piece's x = l - m, in float32
//     z    = fma(c_p, H(p), fma(c_v, max r_v, fma(c_r, H(r), c_0)))
//     a    = A / (1 + t) for z >= 0, else A * t / (1 + t)          t = expWide(-|z|)
//
// With a bias l_v is float(l_v + b_v), in everything above and in what is written. A row that is not merged has no bias either.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/dtype.h"
#include "rtd.h"

namespace rtd {

// Sums over a piece of a row: see cpu/backend.h.
struct LogitPieces {
    void (*lse)(const float* logits, size_t n, float* top, double* sum);
    void (*entropy)(const float* logits, size_t n, float top, double* sum);
};

// What is added to a token's logit.
struct Bias {
    uint32_t token;
    float value;
};
using Biases = std::vector<Bias>;  // tokens ascending, each once

// A row of logits, float32 or float16, read with a bias added.
class LogitsRow {
  public:
    // biases: null for none. Their tokens are below the size.
    LogitsRow(void* data, Dtype dtype, size_t size, const Biases* biases = nullptr) : data_(data), dtype_(dtype), size_(size), biases_(biases) {}

    size_t size() const { return size_; }
    const Biases* biases() const { return biases_; }
    LogitsRow with(const Biases* biases) const { return {data_, dtype_, size_, biases}; }
    float get(size_t v) const;
    void set(size_t v, float value) {
        if (dtype_ == Dtype::f32)
            static_cast<float*>(data_)[v] = value;
        else
            static_cast<F16*>(data_)[v] = toF16(value);
    }
    void fill(float value) {
        for (size_t v = 0; v < size_; ++v) set(v, value);
    }
    // Logits [begin, begin + n) as float32: where they are, or converted into `room` (n floats).
    const float* piece(size_t begin, size_t n, float* room) const;

  private:
    void* data_;
    Dtype dtype_;
    size_t size_;
    const Biases* biases_;
};

// Log-sum-exp of rows of up to `size` logits. Holds the pieces, so that taking one cannot fail.
class LogSumExp {
  public:
    LogSumExp(const LogitPieces& pieces, size_t size);

    // Nothing where the row holds NaN, +infinity or nothing but -infinity.
    std::optional<double> operator()(const LogitsRow& row);
    // The entropy of the softmax, in nats, of the row whose log-sum-exp was taken last.
    double entropy(const LogitsRow& row) const;

  private:
    LogitPieces pieces_;
    std::vector<float> tops_;
    std::vector<double> sums_;
    double top_ = 0, sum_ = 1;
};

// One head's hits, nearest first: distances and tokens [count]. Tokens are below the row's size.
struct HeadHits {
    const float* distances;
    const int32_t* tokens;
    uint32_t count;
};

// Coefficients of a weight by row.
struct Gate {
    float maxWeight, bias, hitEntropy, largestVote, modelEntropy;
};

struct FusionOptions {
    float weight;       // a, 0..1; with a gate the largest
    float temperature;  // T > 0
    bool unmask;
    std::shared_ptr<const Biases> biases = nullptr;  // null: none
    std::optional<Gate> gate = std::nullopt;

    // Whether it is more than a device's launch knows of.
    bool needsHost() const { return biases != nullptr || gate.has_value(); }
};

// Fuses rows, one after another. Holds the scratch, so that fusing allocates nothing and cannot fail.
class Fuser {
  public:
    // For rows of up to `size` logits and up to maxHits hits of each of up to maxHeads heads.
    Fuser(const LogitPieces& pieces, size_t size, size_t maxHits, size_t maxHeads);

    // Weight 0: unchanged, the logits are not even read unless for the figures. Else a row without a log-sum-exp is unmergeable; else one without a
    // finite hit unchanged. The row is read with the options' biases, whatever it comes with. figures may be null.
    rtd_row_status fuse(const LogitsRow& row, const HeadHits* heads, uint32_t headCount, const FusionOptions& options, rtd_row_figures* figures);
    // The figures alone.
    rtd_row_figures figuresOf(const LogitsRow& row, const HeadHits* heads, uint32_t headCount, const FusionOptions& options);

  private:
    struct Weighed {
        rtd_row_status status;
        double lse, weight;  // where it is to be merged
    };
    struct Share {
        uint64_t key;  // token << 32 | head
        double r;
    };
    struct Vote {
        size_t token;
        double r;
    };

    void addShares(const HeadHits& hits, uint32_t head, double temperature);
    void takeVotes(const HeadHits* heads, uint32_t headCount, double temperature);
    Weighed weigh(const LogitsRow& row, const HeadHits* heads, uint32_t headCount, const FusionOptions& options, rtd_row_figures* figures);
    void merge(LogitsRow& row, const Weighed& weighed, bool unmask) const;

    LogSumExp logSumExp_;
    std::vector<double> weights_;  // of one head's hits
    std::vector<uint64_t> ranks_;  // token << 32 | rank, of one head's hits
    std::vector<double> segment_;  // weights of one token's hits
    std::vector<Share> shares_;
    std::vector<Vote> votes_;  // of all heads, tokens ascending
    double nearest_ = 0;       // of all heads
};

// Of a row that is skipped.
rtd_row_figures noFigures();

}  // namespace rtd
