// Option objects of JavaScript: properties by name, absent ones taking a default, and the options of rows made from them.
#pragma once
#include <napi.h>

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "rtd.h"

namespace rtd::napi {

inline constexpr const char* kMetrics[] = {"l2", "l2sq", "dot"};       // by rtd_metric
inline constexpr const char* kDtypes[] = {"f32", "f16", "bf16"};       // by rtd_dtype
inline constexpr const char* kCascades[] = {"auto", "off", "always"};  // by rtd_cascade
inline constexpr uint32_t kDefaultK = 16;
inline constexpr float kDefaultWeight = 0.5f;
inline constexpr uint32_t kMaxThreads = 1024;

class Options {
  public:
    // undefined is an object without properties; `prefix` leads the names in messages, as "rows[3].".
    explicit Options(const Napi::Value& value, const std::string& name = "options", std::string prefix = "");

    Napi::Value get(const char* property) const;  // undefined where absent
    bool has(const char* property) const { return !get(property).IsUndefined(); }
    std::string nameOf(const char* property) const { return prefix_ + property; }

    uint32_t integer(const char* property, uint32_t fallback, uint32_t least, uint32_t most) const;
    float number(const char* property, float fallback) const;
    bool flag(const char* property, bool fallback) const;
    size_t choice(const char* property, size_t fallback, std::span<const char* const> allowed) const;
    std::string text(const char* property, const std::string& fallback) const;

    uint32_t threads() const { return integer("threads", 0, 1, kMaxThreads); }  // 0: as the index has it
    std::string backend() const;                                                // "auto" or a name this build knows
    rtd_metric metric() const { return static_cast<rtd_metric>(choice("metric", RTD_L2, kMetrics)); }
    rtd_cascade cascade() const { return static_cast<rtd_cascade>(choice("cascade", RTD_CASCADE_AUTO, kCascades)); }
    rtd_dtype dtype() const { return static_cast<rtd_dtype>(choice("dtype", RTD_F32, kDtypes)); }

  private:
    Napi::Value object_;
    std::string prefix_;
};

// The options of all rows, or of each of them, and the lists they point to.
class Rows {
  public:
    explicit Rows(const Options& options);
    Rows(Rows&&) = default;  // a copy's rows would point into the original

    void expect(size_t queries) const;  // that there is one for each query, if they were given one by one
    const rtd_row_options* data() const { return rows_.data(); }
    size_t count() const { return rows_.size(); }
    uint32_t largestK() const;  // without a row, the one around them

  private:
    rtd_row_options read(const Options& options, rtd_row_options row);

    std::vector<rtd_row_options> rows_;
    std::vector<std::vector<uint32_t>> namespaces_, seeds_;  // growing it moves the lists, not what they hold
    std::vector<std::vector<int32_t>> biasTokens_;
    std::vector<std::vector<float>> biasValues_;
    std::deque<rtd_gate> gates_;  // which stay where they are
    bool each_ = false;
    uint32_t k_ = kDefaultK;  // of the options around the rows
};

}  // namespace rtd::napi
