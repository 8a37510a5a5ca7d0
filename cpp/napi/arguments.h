// The one place where values from JavaScript are checked. Every failure names the argument, what was expected and what was given.
//
// Memory of JavaScript is read on its own thread only: an asynchronous call takes Access::copied, after which it owns what it works on, and
// results go back through OutArray::writeBack on the JavaScript thread. A synchronous call works in place: no JavaScript runs meanwhile. Shared
// buffers are always copied, since another thread may write to them; resizable ones are refused, they may shrink under any view.
//
// Options are read before arrays: a getter among them may run any code, also one that detaches an array.
#pragma once
#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "napi/failure.h"
#include "rtd.h"

namespace rtd::napi {

enum class Access { inPlace, copied };

// What was given, for messages: `1.5`, `"cosine"`, `a Float64Array of 3`.
std::string describe(const Napi::Value& value);

uint32_t readInteger(const Napi::Value& value, const std::string& name, uint32_t least, uint32_t most);
float readNumber(const Napi::Value& value, const std::string& name);
std::string readString(const Napi::Value& value, const std::string& name);

// A typed array looked at: good until JavaScript runs again.
struct View {
    napi_typedarray_type type = napi_int8_array;
    void* data = nullptr;
    size_t length = 0;
    bool shared = false;

    rtd_dtype halfOrFloat() const { return type == napi_float32_array ? RTD_F32 : RTD_F16; }
};
View viewArray(const Napi::Value& value, const std::string& name, std::initializer_list<napi_typedarray_type> types);

size_t elementSize(napi_typedarray_type type);

// What a call reads.
class InArray {
  public:
    InArray() = default;
    InArray(const View& view, Access access);

    const void* data() const { return data_; }
    template <class T>
    const T* as() const {
        return static_cast<const T*>(data_);
    }
    size_t length() const { return length_; }

  private:
    std::vector<std::byte> copy_;  // moving it keeps data_ valid
    const void* data_ = nullptr;
    size_t length_ = 0;
};

// What a call reads and writes.
class OutArray {
  public:
    OutArray(const Napi::Value& value, const View& view, const std::string& name, Access access);
    OutArray(const OutArray&) = delete;
    OutArray& operator=(const OutArray&) = delete;
    ~OutArray();  // on the JavaScript thread

    void* data() const { return data_; }

    // Copies the result into the caller's array, on the JavaScript thread. The reason why it cannot be, or "": the array was detached,
    // transferred or resized since.
    std::string writeBack() const;

  private:
    napi_env env_;
    std::string name_;
    std::vector<std::byte> copy_;
    void* data_ = nullptr;
    size_t length_ = 0;
    napi_ref array_ = nullptr;  // only of a copied array
};

// Ids, namespaces and the like: a Uint32Array or an array of integers.
std::vector<uint32_t> readList(const Napi::Value& value, const std::string& name);

// An Int32Array, or an array of integers from 0 to 2^31 - 1.
std::vector<int32_t> readTokens(const Napi::Value& value, const std::string& name);

// A Float32Array or an array of numbers.
std::vector<float> readNumbers(const Napi::Value& value, const std::string& name);

// rows x columns from an array's length; a length that is not a multiple is refused.
rtd_matrix matrixOf(const InArray& array, rtd_dtype dtype, size_t columns, const std::string& name, const char* columnsName);

void expectLength(size_t length, size_t expected, const std::string& name, const std::string& why);

}  // namespace rtd::napi
