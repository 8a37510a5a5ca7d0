// Entries to be added to an index or a store, as JavaScript gives them.
#pragma once
#include <cstring>
#include <optional>

#include "napi/arguments.h"
#include "napi/environment.h"
#include "napi/options.h"

namespace rtd::napi {

inline rtd_index_info infoOf(const IndexRef& index) {
    rtd_index_info info{};
    info.struct_size = sizeof info;
    check(rtd_index_get_info(index.get(), &info));
    return info;
}

// A column of one uint32 for each entry: an array, or one number for all, or absent.
class Column {
  public:
    Column(const Napi::Value& value, const std::string& name, size_t rows) {
        if (value.IsUndefined()) return;
        if (value.IsNumber()) {
            repeated_.assign(rows, readInteger(value, name, 0, UINT32_MAX));
            present_ = true;
            return;
        }
        const View view = viewArray(value, name, {napi_uint32_array});
        expectLength(view.length, rows, name, "one for each key");
        array_ = InArray(view, Access::inPlace);
        present_ = true;
    }
    const uint32_t* data() const { return !present_ ? nullptr : repeated_.empty() ? array_.as<uint32_t>() : repeated_.data(); }

  private:
    bool present_ = false;
    std::vector<uint32_t> repeated_;
    InArray array_;
};

// Used at once, on the JavaScript thread: the library keeps copies.
struct Entries {
    InArray keysArray;
    InArray tokens;
    rtd_matrix keys{};
    std::optional<Column> namespaceColumn;

    // `bits` says what the 16-bit numbers of a Uint16Array are; undefined: the index's own dtype.
    Entries(const rtd_index_info& index, const Napi::Value& keyValue, const Napi::Value& tokenValue, const Options& options,
            const Napi::Value& bits) {
        const Napi::Value namespaceValue = options.get("namespaces");
        const View keyView = viewArray(keyValue, "keys", {napi_float32_array, napi_uint16_array});
        rtd_dtype dtype = RTD_F32;
        if (keyView.type == napi_uint16_array) {
            dtype = bits.IsString() ? RTD_F16 : index.dtype;
            if (dtype == RTD_F32) invalid("keys: a Uint16Array holds numbers in the index's own dtype, and this one's is f32; give a Float32Array");
        }
        keysArray = InArray(keyView, Access::inPlace);
        keys = matrixOf(keysArray, dtype, index.dim, "keys", "dim");
        const View tokenView = viewArray(tokenValue, "tokens", {napi_int32_array});
        expectLength(tokenView.length, keys.rows, "tokens", "one for each key");
        tokens = InArray(tokenView, Access::inPlace);
        namespaceColumn.emplace(namespaceValue, "namespaces", keys.rows);
    }
    const uint32_t* namespaces() const { return namespaceColumn->data(); }
};

}  // namespace rtd::napi
