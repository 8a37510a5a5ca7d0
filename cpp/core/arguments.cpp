#include "core/arguments.h"

#include <algorithm>

namespace rtd {

Dtype readDtype(const rtd_dtype& dtype, const char* name) {
    const uint32_t number = numberOf(dtype);
    if (number > RTD_BF16) fail(RTD_INVALID_ARGUMENT, "%s: dtype is %u; give RTD_F32, RTD_F16 or RTD_BF16", name, number);
    return static_cast<Dtype>(number);
}

Metric readMetric(const rtd_metric& metric) {
    const uint32_t number = numberOf(metric);
    if (number > RTD_DOT) fail(RTD_INVALID_ARGUMENT, "metric is %u; give RTD_L2, RTD_L2SQ or RTD_DOT", number);
    return static_cast<Metric>(number);
}

CascadeUse readCascade(const rtd_cascade& cascade) {
    const uint32_t number = numberOf(cascade);
    if (number > RTD_CASCADE_ALWAYS) fail(RTD_INVALID_ARGUMENT, "cascade is %u; give RTD_CASCADE_AUTO, _OFF or _ALWAYS", number);
    return static_cast<CascadeUse>(number);
}

void readOptionBytes(const void* given, void* options, size_t size, const char* name) {
    constexpr uint32_t kLargest = 4096;  // of any version to come; more is a field never set
    uint32_t givenSize;
    std::memcpy(&givenSize, given, sizeof givenSize);
    if (givenSize < sizeof givenSize || givenSize > kLargest)
        fail(RTD_INVALID_ARGUMENT, "%s: struct_size is %u; set it to sizeof the struct, here %zu", name, givenSize, size);
    std::memcpy(options, given, std::min<size_t>(givenSize, size));
    for (size_t i = size; i < givenSize; ++i)
        if (static_cast<const unsigned char*>(given)[i])
            fail(RTD_UNSUPPORTED, "%s sets a field that this version of the library does not know", name);
}

MatrixView::MatrixView(const rtd_matrix* matrix, const char* name)
    : name_(name),
      data_(static_cast<const std::byte*>(needPointer(matrix, name)->data)),
      rows_(matrix->rows),
      columns_(matrix->columns),
      dtype_(readDtype(matrix->dtype, name)) {
    check(matrix->row_stride, false);
}

MatrixView::MatrixView(const rtd_mutable_matrix* matrix, const char* name)
    : name_(name),
      data_(static_cast<const std::byte*>(needPointer(matrix, name)->data)),
      rows_(matrix->rows),
      columns_(matrix->columns),
      dtype_(readDtype(matrix->dtype, name)) {
    check(matrix->row_stride, true);
}

void MatrixView::check(size_t stride, bool isMutable) {
    if (stride == 0) stride = columns_;
    if (isMutable && stride < columns_)
        fail(RTD_INVALID_ARGUMENT, "%s: row_stride is %zu, so rows of %zu columns would overlap; give 0 or at least the columns", name_, stride,
             columns_);
    strideBytes_ = checkedProduct(stride, bytesOf(dtype_), name_);
    checkedProduct(rows_, std::max(strideBytes_, checkedProduct(columns_, bytesOf(dtype_), name_)), name_);
    if (rows_ == 0 || columns_ == 0) return;
    if (!data_) fail(RTD_INVALID_ARGUMENT, "%s: data is NULL, but there are %zu rows of %zu", name_, rows_, columns_);
    if (reinterpret_cast<uintptr_t>(data_) % bytesOf(dtype_) != 0)
        fail(RTD_INVALID_ARGUMENT, "%s: data is not aligned to the %u bytes of its %s elements", name_, bytesOf(dtype_), nameOf(dtype_));
}

void MatrixView::needRows(size_t rows) const {
    if (rows_ != rows) fail(RTD_INVALID_ARGUMENT, "%s has %zu rows, not %zu", name_, rows_, rows);
}

void MatrixView::needColumns(size_t columns) const {
    if (columns_ != columns) fail(RTD_INVALID_ARGUMENT, "%s has %zu columns, not the index's dim %zu", name_, columns_, columns);
}

void MatrixView::needDtypeOtherThan(Dtype dtype) const {
    if (dtype_ == dtype) fail(RTD_INVALID_ARGUMENT, "%s cannot be %s", name_, nameOf(dtype));
}

}  // namespace rtd
