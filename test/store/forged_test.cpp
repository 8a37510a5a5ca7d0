// Files that were made to deceive: every checksum is right, and still nothing in them is believed.
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "store/fake_file_system.h"
#include "store/fixture.h"

namespace rtd::store {
namespace {

constexpr char kPath[] = "s", kSegment[] = "segment-000001.safetensors", kRemoved[] = "removed-000001.safetensors";
constexpr uint32_t kEntries = 5, kDim = 6;

void makeStore(FakeFileSystem& files, Dtype dtype = Dtype::f16) {
    const auto store = Store::create(files, kPath, smallConfig(kDim, dtype), "{}", "{}");
    Batch(1, kEntries, kDim).appendTo(*store);
    store->seal({});
    const uint32_t ids[] = {1, 3};
    store->remove(ids, 2);
}

// A safetensors file of this header and data.
std::string container(const std::string& header, const std::string& data, uint64_t length) {
    return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}
std::string container(const std::string& header, const std::string& data) { return container(header, data, header.size()); }

std::string headerOf(const std::string& file) { return file.substr(8, *reinterpret_cast<const uint64_t*>(file.data())); }
std::string dataOf(const std::string& file) { return file.substr(8 + *reinterpret_cast<const uint64_t*>(file.data())); }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    if (at == std::string::npos) test::fail(__FILE__, __LINE__, "nothing to replace: " + from);
    return text.replace(at, from.size(), to);
}

// Opening the store with this file in place of the real one fails, with and without checksums, and says why.
void checkRefused(const std::string& name, const std::string& file, const std::string& why, Dtype dtype = Dtype::f16,
                  bool onlyWithChecksums = false) {
    FakeFileSystem files;
    makeStore(files, dtype);
    forgeFile(files, kPath, name, file);
    for (const bool skip : {false, true}) {
        std::string message;
        const rtd_status status = statusOf([&] { contentOf(*Store::open(files, kPath, {.skipChecksums = skip, .threads = 1})); }, &message);
        if (skip && onlyWithChecksums) {
            CHECK_EQUAL(status, RTD_OK);
            continue;
        }
        if (status != RTD_BAD_FORMAT || message.find(name) == std::string::npos || message.find(why) == std::string::npos) {
            test::fail(__FILE__, __LINE__, why + ": " + statusName(status) + ": " + message);
        }
    }
}

std::string originalSegment(Dtype dtype = Dtype::f16) {
    FakeFileSystem files;
    makeStore(files, dtype);
    return files.content(kPath, kSegment);
}

TEST("forged: a header that asks for the moon") {
    const std::string file = originalSegment(), header = headerOf(file), data = dataOf(file);
    for (const uint64_t length :
         {UINT64_MAX, UINT64_MAX - 7, uint64_t{1} << 63, uint64_t{1} << 32, uint64_t{file.size()}, uint64_t{file.size() - 7}, uint64_t{65537}})
        checkRefused(kSegment, container(header, data, length), "asks for a header");
    checkRefused(kSegment, container(header, data, 0), "header");
    checkRefused(kSegment, container(header, data, 100), "header");
    // As long as it may be is fine, one more is not.
    const auto padded = [&](size_t bytes) { return header + std::string(bytes - header.size(), ' '); };
    checkRefused(kSegment, container(padded(65537), data), "asks for a header");
    FakeFileSystem files;
    makeStore(files);
    const std::string content = contentOf(files, kPath);
    forgeFile(files, kPath, kSegment, container(padded(65536), data));
    CHECK_EQUAL(contentOf(files, kPath), content);
}

TEST("forged: headers of segments") {
    const std::string file = originalSegment(), header = headerOf(file), data = dataOf(file);
    // tokens, namespace, example, position of 5 x 4 bytes, keys of 5 x 6 x 2.
    const std::vector<std::array<std::string, 3>> cases = {
        {"\"tokens\":", "\"token\":", "no tensor of this name"},
        {"\"namespace\":", "\"tokens\":", "comes twice"},
        {"\"I32\"", "\"U32\"", "is of type U32, expected I32"},
        {"\"F16\"", "\"BF16\"", "is of type BF16"},
        {"\"F16\"", "\"F16\",\"x\":1", "no such member"},
        {"\"dtype\":\"F16\",", "", "is of type"},
        {"\"shape\":[5,6],", "", "has the shape"},
        {"[5,6]", "[5,7]", "has the shape [5,7], expected [5,6]"},
        {"[5,6]", "[6,5]", "has the shape"},
        {"[5,6]", "[30]", "has the shape"},
        {"[5,6]", "[5,6,1]", "has the shape"},
        {"[5,6]", "[4294967301,6]", "has the shape"},
        {"[5,6]", "[4611686018427387904,8]", "2^53"},
        {"[5,6]", "[18446744073709551621,6]", "2^53"},
        {"[5,6]", "[-5,-6]", "2^53"},
        {"[5,6]", "[5.0,6]", "2^53"},
        {"[5,6]", "[5e0,6]", "2^53"},
        {"[80,140]", "[140,80]", "data_offsets"},
        {"[80,140]", "[80,141]", "data_offsets"},
        {"[80,140]", "[80]", "data_offsets"},
        {"[80,140]", "[80,140,0]", "data_offsets"},
        {"[80,140]", "[81,141]", "ends at byte 141 of 140"},
        {"[80,140]", "[9007199254740932,9007199254740992]", "ends at byte"},
        {"[80,140]", "[70,130]", "overlap or leave gaps"},
        {"[80,140]", "[0,60]", "overlap or leave gaps"},
        {"[60,80]", "[40,60]", "overlap or leave gaps"},
        {"[0,20]", "[20,40]", "overlap or leave gaps"},
        {"{\"tokens\"", "{\"__metadata__\":[],\"tokens\"", "expected an object"},
        {"{\"tokens\"", "[\"tokens\"", "expected an object"},
    };
    for (const auto& [from, to, why] : cases) {
        // The length of the header stays, padded or not, so that nothing else is wrong.
        std::string changed = replaced(header, from, to);
        changed.erase(changed.find_last_not_of(' ') + 1);
        while (changed.size() % 64 != header.size() % 64) changed += ' ';
        checkRefused(kSegment, container(changed, data), why);
    }
    checkRefused(kSegment, container(header + "{}" + std::string(62, ' '), data), "nothing more");
    checkRefused(kSegment, container(header, data + std::string(4, '\0')), "bytes of data");
    checkRefused(kSegment, container(header + "  ", data), "between elements");
    checkRefused(kSegment, "1234567", "too short for a header");
}

TEST("forged: what other programs write is read: any order, metadata") {
    FakeFileSystem files;
    makeStore(files);
    const std::string content = contentOf(files, kPath), data = dataOf(files.content(kPath, kSegment));
    // keys first, as a program that sorts by name might.
    std::string header =
        "{\"__metadata__\":{\"format\":\"np\"},\"keys\":{\"shape\":[5,6],\"dtype\":\"F16\",\"data_offsets\":[0,60]},"
        "\"tokens\":{\"dtype\":\"I32\",\"shape\":[5],\"data_offsets\":[60,80]},\"namespace\":{\"dtype\":\"U32\",\"shape\":[5],\"data_offsets\":[80,"
        "100]},"
        "\"example\":{\"dtype\":\"U32\",\"shape\":[5],\"data_offsets\":[100,120]},\"position\":{\"dtype\":\"U32\",\"shape\":[5],\"data_offsets\":["
        "120,140]}}";
    while (header.size() % 8) header += ' ';
    forgeFile(files, kPath, kSegment, container(header, data.substr(80) + data.substr(0, 80)));
    CHECK_EQUAL(contentOf(files, kPath), content);
}

TEST("forged: values of segments") {
    const auto withWord = [](std::string data, size_t offset, auto word) {
        return data.replace(offset, sizeof word, reinterpret_cast<const char*>(&word), sizeof word);
    };
    {
        const std::string file = originalSegment(), header = headerOf(file), data = dataOf(file);
        checkRefused(kSegment, container(header, withWord(data, 12, int32_t{-1})), "entry 3 of the segment has the token -1");
        checkRefused(kSegment, container(header, withWord(data, 0, std::numeric_limits<int32_t>::min())), "entry 0");
        for (const uint16_t bad : {uint16_t{0x7C00}, uint16_t{0xFC00}, uint16_t{0x7E00}, uint16_t{0x7C01}})
            checkRefused(kSegment, container(header, withWord(data, 80 + 2 * 13, bad)), "the key of entry 2 of the segment is not finite", Dtype::f16,
                         true);
    }
    {
        const std::string file = originalSegment(Dtype::bf16);
        checkRefused(kSegment, container(headerOf(file), withWord(dataOf(file), 138, uint16_t{0x7F80})), "entry 4", Dtype::bf16, true);
    }
    {
        const std::string file = originalSegment(Dtype::f32);
        for (const float bad :
             {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
            checkRefused(kSegment, container(headerOf(file), withWord(dataOf(file), 80, bad)), "entry 0", Dtype::f32, true);
    }
}

TEST("forged: removed ids") {
    FakeFileSystem files;
    makeStore(files);
    const std::string header = headerOf(files.content(kPath, kRemoved));
    const auto ids = [&](uint32_t a, uint32_t b) {
        const uint32_t both[] = {a, b};
        return container(header, std::string(reinterpret_cast<const char*>(both), 8));
    };
    checkRefused(kRemoved, ids(3, 1), "do not ascend");
    checkRefused(kRemoved, ids(3, 3), "do not ascend");
    checkRefused(kRemoved, ids(1, 5), "removes entry 5 of a store of 5");
    checkRefused(kRemoved, ids(1, RTD_NO_ID), "removes entry");
    checkRefused(kRemoved, container(replaced(header, "[2]", "[3]"), std::string(8, '\0')), "has the shape");
}

// The manifest's text changed in one place, its checksum right.
void checkManifestRefused(const std::string& from, const std::string& to, const std::string& why) {
    FakeFileSystem files;
    makeStore(files);
    const std::string text = files.content(kPath, kManifestName);
    const std::string body = replaced(text.substr(0, text.size() - 33), from, to);
    files.setContent(kPath, kManifestName, body + ",\n\"checksum\":\"" + toHex(checksumOf(body)) + "\"}\n");
    std::string message;
    const rtd_status status = statusOf([&] { Store::open(files, kPath, {.threads = 1}); }, &message);
    if (status != RTD_BAD_FORMAT || message.find(why) == std::string::npos || message.find(kPath) == std::string::npos) {
        test::fail(__FILE__, __LINE__, from + " -> " + to + ": " + statusName(status) + ": " + message);
    }
}

TEST("forged: manifests") {
    const std::vector<std::array<std::string, 3>> cases = {
        {"\"node-rtd store\"", "\"something else\"", "not the manifest of a store"},
        {"\"version\":1", "\"version\":2", "format version 2, this library reads version 1"},
        {"\"version\":1", "\"version\":\"1\"", "expected a digit"},
        {"\"generation\":3", "\"generation\":0", "expected 1.."},
        {"\"generation\":3", "\"generation\":9007199254740992", "expected 1.."},
        {"\"dim\":6", "\"dim\":0", "expected 1.."},
        {"\"dim\":6", "\"dim\":65537", "expected 1..65536"},
        {"\"dim\":6", "\"dim\":7", "has the shape [5,6], expected [5,7]"},
        {"\"dim\":6", "\"dim\":6,\"dim\":6", "comes twice"},
        {"\"heads\":1", "\"heads\":0", "expected 1.."},
        {"\"heads\":1", "\"heads\":4", "not a multiple of 4 heads"},
        {"\"l2\"", "\"cosine\"", "no such value: \"cosine\""},
        {"\"f16\"", "\"f64\"", "no such value"},
        {"\"f16\"", "\"f32\"", "is of type F16, expected F32"},
        {"\"temperature\":", "\"temperature\":-", "expected a temperature"},
        {"\"temperature\":", "\"temperature\":0,\"x\":", "expected a temperature"},
        {"\"temperature\":", "\"temperature\":1e-60,\"x\":", "expected a temperature"},
        {"\"temperature\":", "\"temperature\":1e60,\"x\":", "expected a temperature"},
        {"\"temperature\":", "\"temperature\":1e999,\"x\":", "cannot hold"},
        {"\"model\":{}", "\"model\":[]", "expected an object"},
        {"\"metadata\":{}", "\"metadata\":null", "expected an object"},
        {"\"metadata\":{}", "\"metadata\":{},\"extra\":1", "not expected: \"extra\""},
        {"\"metadata\":{},\n", "", "\"metadata\" is missing"},
        {"\"segments\":[", "\"segments\":[{},", "is missing"},
        {"\"segments\":[", "\"segments\":{},\"x\":[", "expected an array"},
        {"segment-000001.safetensors", "../../etc/passwd", "not the name of a segment"},
        {"segment-000001.safetensors", "/etc/passwd", "not the name of a segment"},
        {"segment-000001.safetensors", "manifest.json", "not the name of a segment"},
        {"segment-000001.safetensors", "segment-1.safetensors", "not the name of a segment"},
        {"segment-000001.safetensors", "segment-000000.safetensors", "not the name of a segment"},
        {"segment-000001.safetensors", "segment-0000001.safetensors", "not the name of a segment"},
        {"segment-000001.safetensors", "segment-000001.safetensors/../x", "not the name of a segment"},
        {"segment-000001.safetensors", "segment-000001.safetensors\\u0000", "not the name of a segment"},
        {"segment-000001.safetensors", "segment-99999999999999999999.safetensors", "not the name of a segment"},
        {"segment-000001.safetensors", "removed-000001.safetensors", "not the name of a segment"},
        {"removed-000001.safetensors", "segment-000001.safetensors", "not the name of a file of removed ids"},
        {"removed-000001.safetensors", "", "not the name of a file of removed ids"},
        {"\"entries\":5", "\"entries\":0", "expected 1.."},
        {"\"entries\":5", "\"entries\":4294967296", "expected 1.."},
        {"\"entries\":5", "\"entries\":6", "has the shape"},
        {"\"entries\":2", "\"entries\":6", "more removed entries"},
        {"\"entries\":2", "\"entries\":1", "has the shape"},
        {"\"bytes\":", "\"bytes\":9007199254740993,\"x\":", "2^53"},
        {"\"checksum\":\"", "\"checksum\":\"0", "16 hexadecimal digits"},
        {"{\"format\"", "{\"a\":{\"format\"", "not expected"},
    };
    for (const auto& [from, to, why] : cases) checkManifestRefused(from, to, why);
    // More entries than ids, in segments of which each would do.
    std::string segments = "\"segments\":[";
    for (int i = 1; i <= 3; ++i)
        segments +=
            "{\"file\":\"" + segmentName(static_cast<uint64_t>(i)) + "\",\"entries\":2147483648,\"bytes\":1,\"checksum\":\"0000000000000000\"},";
    checkManifestRefused("\"segments\":[", segments, "do not ascend");
    checkManifestRefused("\"segments\":[\n{\"file\":\"segment-000001", segments + "{\"file\":\"segment-000004", "more than there are ids");
    checkManifestRefused("\"segments\":[", "\"segments\":[" + std::string(100, '['), "expected an object");
    checkManifestRefused("\"metadata\":{}", "\"metadata\":{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}", "nested too deeply");
}

TEST("forged: a manifest that is too large") {
    FakeFileSystem files;
    makeStore(files);
    files.setContent(kPath, kManifestName, std::string(kMaxManifestBytes + 1, ' '));
    CHECK_STATUS(Store::open(files, kPath, {}), RTD_BAD_FORMAT);
}

TEST("forged: temperatures read back as the same float") {
    for (uint32_t bits = 1; bits < 0x7F800000; bits += 99991) {
        Manifest manifest;
        manifest.dim = 1;
        std::memcpy(&manifest.temperature, &bits, 4);
        const float back = readManifest(writeManifest(manifest)).temperature;
        CHECK(std::memcmp(&back, &bits, 4) == 0);
    }
}

}  // namespace
}  // namespace rtd::store
