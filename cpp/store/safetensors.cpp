#include "store/safetensors.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/status.h"
#include "store/json.h"

namespace rtd::store {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kAlignment = 64;
// Ours take some 500 bytes; this leaves room for the "__metadata__" of other writers.
constexpr uint64_t kMaxHeaderBytes = 64 << 10;

using Text = unsigned long long;  // what printf calls a 64-bit number

std::vector<uint64_t> shapeOf(const TensorSpec& tensor) {
    return tensor.columns ? std::vector<uint64_t>{tensor.rows, tensor.columns} : std::vector<uint64_t>{tensor.rows};
}

std::string listOf(const std::vector<uint64_t>& numbers) {
    std::string text = "[";
    for (uint64_t number : numbers) text += (text.size() > 1 ? "," : "") + std::to_string(number);
    return text + "]";
}

struct Entry {
    std::string dtype;
    std::vector<uint64_t> shape;
    std::vector<uint64_t> range;
};

std::vector<uint64_t> readNumbers(json::Reader& reader) {
    std::vector<uint64_t> numbers;
    reader.array([&] { numbers.push_back(reader.integer()); });
    return numbers;
}

Entry readEntry(json::Reader& reader) {
    Entry entry;
    reader.object([&](const std::string& key) {
        if (key == "dtype") {
            entry.dtype = reader.string();
        } else if (key == "shape") {
            entry.shape = readNumbers(reader);
        } else if (key == "data_offsets") {
            entry.range = readNumbers(reader);
        } else {
            reader.reject("no such member of a tensor");
        }
    });
    return entry;
}

// Where the tensor begins among `dataBytes` of data.
uint64_t checkedBegin(const TensorSpec& expected, const Entry& entry, uint64_t dataBytes) {
    if (entry.dtype != expected.dtype) {
        fail(RTD_BAD_FORMAT, "tensor %s is of type %s, expected %s", expected.name, entry.dtype.c_str(), expected.dtype);
    }
    if (entry.shape != shapeOf(expected)) {
        fail(RTD_BAD_FORMAT, "tensor %s has the shape %s, expected %s", expected.name, listOf(entry.shape).c_str(),
             listOf(shapeOf(expected)).c_str());
    }
    const auto& range = entry.range;
    if (range.size() != 2 || range[1] < range[0] || range[1] - range[0] != expected.bytes()) {
        fail(RTD_BAD_FORMAT, "tensor %s has the data_offsets %s, expected %llu bytes", expected.name, listOf(range).c_str(), Text{expected.bytes()});
    }
    if (range[1] > dataBytes) {
        fail(RTD_BAD_FORMAT, "tensor %s ends at byte %llu of %llu bytes of data", expected.name, Text{range[1]}, Text{dataBytes});
    }
    return range[0];
}

// Together with the lengths, which are right by now: no overlap, no gap, nothing behind.
void checkCover(const std::vector<TensorSpec>& tensors, const std::vector<uint64_t>& begins, uint64_t dataBytes) {
    std::vector<size_t> order(tensors.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return begins[a] < begins[b]; });
    uint64_t expected = 0;
    for (size_t i : order) {
        if (begins[i] != expected) {
            fail(RTD_BAD_FORMAT, "tensor %s begins at byte %llu of the data, expected %llu: tensors overlap or leave gaps", tensors[i].name,
                 Text{begins[i]}, Text{expected});
        }
        expected += tensors[i].bytes();
    }
    if (expected != dataBytes) fail(RTD_BAD_FORMAT, "%llu bytes of tensors, but %llu bytes of data", Text{expected}, Text{dataBytes});
}

}  // namespace

std::string writeSafetensorsHeader(const std::vector<TensorSpec>& tensors) {
    std::string header = "{";
    uint64_t offset = 0;
    for (const auto& tensor : tensors) {
        if (offset || header.size() > 1) header += ",";
        header += json::quote(tensor.name) + ":{\"dtype\":" + json::quote(tensor.dtype) + ",\"shape\":" + listOf(shapeOf(tensor)) +
                  ",\"data_offsets\":" + listOf({offset, offset + tensor.bytes()}) + "}";
        offset += tensor.bytes();
    }
    header += "}";
    const uint64_t beforeLast = offset - tensors.back().bytes();
    while ((kLengthBytes + header.size() + beforeLast) % kAlignment) header += ' ';

    std::string length(kLengthBytes, '\0');
    const uint64_t bytes = header.size();
    std::memcpy(length.data(), &bytes, kLengthBytes);
    return length + header;
}

std::vector<uint64_t> readSafetensorsHeader(InputFile& file, const std::vector<TensorSpec>& tensors) {
    if (file.size() < kLengthBytes) fail(RTD_BAD_FORMAT, "%llu bytes, too short for a header", Text{file.size()});
    uint64_t headerBytes;
    file.read(0, &headerBytes, kLengthBytes);
    if (headerBytes > kMaxHeaderBytes || headerBytes > file.size() - kLengthBytes) {
        fail(RTD_BAD_FORMAT, "asks for a header of %llu bytes; the file has %llu, and a header at most %llu", Text{headerBytes}, Text{file.size()},
             Text{kMaxHeaderBytes});
    }
    std::string header(static_cast<size_t>(headerBytes), '\0');
    file.read(kLengthBytes, header.data(), header.size());
    const uint64_t dataStart = kLengthBytes + headerBytes, dataBytes = file.size() - dataStart;

    constexpr uint64_t kMissing = UINT64_MAX;
    std::vector<uint64_t> begins(tensors.size(), kMissing);
    try {
        json::Reader reader(header);
        reader.object([&](const std::string& name) {
            if (name == "__metadata__") return static_cast<void>(reader.rawObject());
            const auto known = std::find_if(tensors.begin(), tensors.end(), [&](const TensorSpec& tensor) { return name == tensor.name; });
            if (known == tensors.end()) reader.reject("no tensor of this name is expected: " + json::quote(name));
            begins[static_cast<size_t>(known - tensors.begin())] = checkedBegin(*known, readEntry(reader), dataBytes);
        });
        reader.end();
    } catch (const json::SyntaxError& error) { fail(RTD_BAD_FORMAT, "header: %s", error.what()); }
    for (size_t i = 0; i < tensors.size(); ++i) {
        if (begins[i] == kMissing) fail(RTD_BAD_FORMAT, "tensor %s is missing", tensors[i].name);
    }
    checkCover(tensors, begins, dataBytes);
    for (size_t i = 0; i < tensors.size(); ++i) {
        begins[i] += dataStart;
        if (begins[i] % tensors[i].elementBytes)
            fail(RTD_BAD_FORMAT, "tensor %s begins at byte %llu, between elements", tensors[i].name, Text{begins[i]});
    }
    return begins;
}

}  // namespace rtd::store
