// What callers of the C interface hand in, checked once and turned into what the rest of the library works with.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/dtype.h"
#include "core/status.h"
#include "rtd.h"

namespace rtd {

// The number behind an enumerator, which a C caller may have set to anything.
template <typename Enum>
uint32_t numberOf(const Enum& value) {
    static_assert(sizeof value == sizeof(uint32_t));
    uint32_t number;
    std::memcpy(&number, &value, sizeof number);
    return number;
}

Dtype readDtype(const rtd_dtype& dtype, const char* name);
Metric readMetric(const rtd_metric& metric);
CascadeUse readCascade(const rtd_cascade& cascade);

// An options struct of any version: fields the caller does not know are zero, and fields that we do not know must be. Null: all zero.
void readOptionBytes(const void* given, void* options, size_t size, const char* name);
template <typename Options>
Options readOptions(const Options* given, const char* name) {
    static_assert(std::is_trivially_copyable_v<Options> && offsetof(Options, struct_size) == 0);
    Options options;
    std::memset(&options, 0, sizeof options);
    if (given) readOptionBytes(given, &options, sizeof options, name);
    return options;
}

// A matrix whose shape, stride and alignment are all right. Data may be null only where there are no elements.
class MatrixView {
  public:
    MatrixView(const rtd_matrix* matrix, const char* name);
    MatrixView(const rtd_mutable_matrix* matrix, const char* name);

    // RTD_INVALID_ARGUMENT unless it is so.
    void needRows(size_t rows) const;
    void needColumns(size_t columns) const;
    void needDtypeOtherThan(Dtype dtype) const;

    size_t rows() const { return rows_; }
    size_t columns() const { return columns_; }
    size_t stride() const { return strideBytes_ / bytesOf(dtype_); }  // elements from one row to the next
    Dtype dtype() const { return dtype_; }
    const void* row(size_t r) const { return data_ + r * strideBytes_; }
    void* mutableRow(size_t r) const { return const_cast<std::byte*>(data_) + r * strideBytes_; }  // of a mutable matrix only

  private:
    void check(size_t stride, bool isMutable);

    const char* name_;
    const std::byte* data_;
    size_t rows_, columns_, strideBytes_ = 0;
    Dtype dtype_;
};

// RTD_INVALID_ARGUMENT naming a pointer that must not be null.
template <typename T>
T* needPointer(T* pointer, const char* name) {
    if (!pointer) fail(RTD_INVALID_ARGUMENT, "%s is NULL", name);
    return pointer;
}

}  // namespace rtd
