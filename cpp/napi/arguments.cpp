#include "napi/arguments.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace rtd::napi {
namespace {

struct ArrayKind {
    napi_typedarray_type type;
    const char* name;
    size_t bytes;
};
constexpr ArrayKind kKinds[] = {
    {napi_int8_array, "Int8Array", 1},         {napi_uint8_array, "Uint8Array", 1},        {napi_uint8_clamped_array, "Uint8ClampedArray", 1},
    {napi_int16_array, "Int16Array", 2},       {napi_uint16_array, "Uint16Array", 2},      {napi_int32_array, "Int32Array", 4},
    {napi_uint32_array, "Uint32Array", 4},     {napi_float32_array, "Float32Array", 4},    {napi_float64_array, "Float64Array", 8},
    {napi_bigint64_array, "BigInt64Array", 8}, {napi_biguint64_array, "BigUint64Array", 8}};

const ArrayKind* kindOf(napi_typedarray_type type) {
    const auto found = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const ArrayKind& kind) { return kind.type == type; });
    return found == std::end(kKinds) ? nullptr : found;
}

struct ArrayInfo {
    napi_typedarray_type type = static_cast<napi_typedarray_type>(15);  // none; stays so for kinds that the runtime knows and Node-API 8 does not
    size_t length = 0;
    void* data = nullptr;
    napi_value buffer = nullptr;
};

bool inspect(napi_env env, napi_value array, ArrayInfo& info) {
    size_t offset = 0;
    return napi_get_typedarray_info(env, array, &info.type, &info.length, &info.data, &info.buffer, &offset) == napi_ok;
}

std::string withArticle(const char* what) { return (std::strchr("AEIOaeio", what[0]) ? "an " : "a ") + std::string(what); }

std::string quantity(const char* what, size_t count) { return withArticle(what) + " of " + std::to_string(count); }

std::string listOf(std::initializer_list<napi_typedarray_type> types) {
    std::string list;
    for (const auto type : types) list += (list.empty() ? "" : " or ") + withArticle(kindOf(type)->name);
    return list;
}

bool isTrue(const Napi::Object& object, const char* property) {
    const Napi::Value value = object.Get(property);
    return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

}  // namespace

std::string describe(const Napi::Value& value) {
    switch (value.Type()) {
        case napi_undefined:
            return "undefined";
        case napi_null:
            return "null";
        case napi_boolean:
        case napi_number:
            return value.ToString().Utf8Value();
        case napi_bigint:
            return "the BigInt " + value.ToString().Utf8Value() + "n";
        case napi_string: {
            const std::string text = value.As<Napi::String>().Utf8Value();
            return text.size() > 40 ? "a string of " + std::to_string(text.size()) + " bytes" : '"' + text + '"';
        }
        case napi_symbol:
            return "a symbol";
        case napi_function:
            return "a function";
        default:
            break;
    }
    if (value.IsArray()) return quantity("array", value.As<Napi::Array>().Length());
    ArrayInfo info;
    if (value.IsTypedArray() && inspect(value.Env(), value, info)) {
        const ArrayKind* kind = kindOf(info.type);
        return quantity(kind ? kind->name : "typed array", info.length);
    }
    return value.IsArrayBuffer() ? "an ArrayBuffer: make a typed array over it" : "an object";
}

uint32_t readInteger(const Napi::Value& value, const std::string& name, uint32_t least, uint32_t most) {
    const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
    if (!(number >= least && number <= most) || number != std::floor(number)) {
        invalid(name + ": expected an integer from " + std::to_string(least) + " to " + std::to_string(most) + ", got " + describe(value));
    }
    return static_cast<uint32_t>(number);
}

float readNumber(const Napi::Value& value, const std::string& name) {
    const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
    if (std::isnan(number)) invalid(name + ": expected a number, got " + describe(value));
    return static_cast<float>(number);
}

std::string readString(const Napi::Value& value, const std::string& name) {
    if (!value.IsString()) invalid(name + ": expected a string, got " + describe(value));
    std::string text = value.As<Napi::String>().Utf8Value();
    if (text.find('\0') != std::string::npos) invalid(name + ": a string may not hold a NUL character");
    return text;
}

View viewArray(const Napi::Value& value, const std::string& name, std::initializer_list<napi_typedarray_type> types) {
    const napi_env env = value.Env();
    ArrayInfo info;
    if (!value.IsTypedArray() || !inspect(env, value, info) || std::find(types.begin(), types.end(), info.type) == types.end()) {
        invalid(name + ": expected " + listOf(types) + ", got " + describe(value));
    }
    const Napi::Object buffer(env, info.buffer);
    if (isTrue(buffer, "resizable") || isTrue(buffer, "growable")) {
        invalid(name + ": its buffer is resizable, which is not safe to work on; pass a copy, " + name + ".slice()");
    }
    const bool shared = !buffer.IsArrayBuffer();
    if (!shared && buffer.As<Napi::ArrayBuffer>().IsDetached()) invalid(name + ": its buffer was detached (transferred or posted to another thread)");
    return {info.type, info.data, info.length, shared};
}

size_t elementSize(napi_typedarray_type type) { return kindOf(type)->bytes; }

InArray::InArray(const View& view, Access access) : data_(view.data), length_(view.length) {
    if (access == Access::inPlace && !view.shared) return;
    const auto* bytes = static_cast<const std::byte*>(view.data);
    if (view.length) copy_.assign(bytes, bytes + view.length * elementSize(view.type));
    data_ = copy_.data();
}

OutArray::OutArray(const Napi::Value& value, const View& view, const std::string& name, Access access)
    : env_(value.Env()), name_(name), data_(view.data), length_(view.length) {
    if (access == Access::inPlace && !view.shared) return;
    const auto* bytes = static_cast<const std::byte*>(view.data);
    if (view.length) copy_.assign(bytes, bytes + view.length * elementSize(view.type));
    data_ = copy_.data();
    if (napi_create_reference(env_, value, 1, &array_) != napi_ok) throw Failure(RTD_INTERNAL, name + ": napi_create_reference failed");
}

std::string OutArray::writeBack() const {
    if (!array_) return "";
    napi_value array = nullptr;
    ArrayInfo info;
    if (napi_get_reference_value(env_, array_, &array) != napi_ok || !array || !inspect(env_, array, info)) return name_ + ": the array is gone";
    if (info.length != length_) {
        return name_ +
               ": the array was detached, transferred or resized while the call was running, so the result could not be written; leave it alone "
               "until the promise settles";
    }
    if (!copy_.empty()) std::memcpy(info.data, copy_.data(), copy_.size());
    return "";
}

OutArray::~OutArray() {
    if (array_) napi_delete_reference(env_, array_);
}

namespace {

// A typed array's elements as they are, or those of a plain array, each read by `read`.
template <class T, class Read>
std::vector<T> readElements(const Napi::Value& value, const std::string& name, napi_typedarray_type type, const char* expected, Read read) {
    if (value.IsArray()) {
        const auto array = value.As<Napi::Array>();
        std::vector<T> list(array.Length());
        for (uint32_t i = 0; i < list.size(); ++i) {
            const Napi::Value element = array.Get(i);
            list[i] = read(element, name + "[" + std::to_string(i) + "]");
        }
        return list;
    }
    if (!value.IsTypedArray()) invalid(name + ": expected " + expected + ", got " + describe(value));
    const View view = viewArray(value, name, {type});
    const auto* elements = static_cast<const T*>(view.data);
    return view.length ? std::vector<T>(elements, elements + view.length) : std::vector<T>();
}

}  // namespace

std::vector<uint32_t> readList(const Napi::Value& value, const std::string& name) {
    return readElements<uint32_t>(value, name, napi_uint32_array, "a Uint32Array or an array of integers",
                                  [](const Napi::Value& element, const std::string& of) { return readInteger(element, of, 0, UINT32_MAX); });
}

std::vector<int32_t> readTokens(const Napi::Value& value, const std::string& name) {
    return readElements<int32_t>(
        value, name, napi_int32_array, "an Int32Array or an array of integers",
        [](const Napi::Value& element, const std::string& of) { return static_cast<int32_t>(readInteger(element, of, 0, INT32_MAX)); });
}

std::vector<float> readNumbers(const Napi::Value& value, const std::string& name) {
    return readElements<float>(value, name, napi_float32_array, "a Float32Array or an array of numbers", readNumber);
}

rtd_matrix matrixOf(const InArray& array, rtd_dtype dtype, size_t columns, const std::string& name, const char* columnsName) {
    if (columns == 0 ? array.length() != 0 : array.length() % columns != 0) {
        invalid(name + ": expected a whole number of rows of " + columnsName + " = " + std::to_string(columns) + " numbers, got " +
                std::to_string(array.length()) + " numbers");
    }
    return {array.data(), columns ? array.length() / columns : 0, columns, 0, dtype};
}

void expectLength(size_t length, size_t expected, const std::string& name, const std::string& why) {
    if (length == expected) return;
    invalid(name + ": expected " + std::to_string(expected) + " elements, " + why + ", got " + std::to_string(length));
}

}  // namespace rtd::napi
