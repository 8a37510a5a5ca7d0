#include "store/manifest.h"

#include <charconv>
#include <cmath>
#include <set>

#include "core/status.h"
#include "store/checksum.h"
#include "store/json.h"

namespace rtd::store {
namespace {

constexpr char kFormat[] = "node-rtd store";
constexpr uint64_t kVersion = 1;
constexpr std::string_view kMetrics[] = {"l2", "l2sq", "dot"};
constexpr std::string_view kDtypes[] = {"f32", "f16", "bf16"};

// The text ends in kTailBegin, 16 hexadecimal digits and kTailEnd; the digits are the checksum of all that stands before kTailBegin.
constexpr std::string_view kTailBegin = ",\n\"checksum\":\"", kTailEnd = "\"}\n";
constexpr size_t kTailBytes = kTailBegin.size() + 16 + kTailEnd.size();

constexpr std::string_view kSuffix = ".safetensors";

std::string numbered(std::string_view prefix, uint64_t number) {
    const std::string digits = std::to_string(number);
    return std::string(prefix) + std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits + std::string(kSuffix);
}

// Accepts what numbered() makes and nothing else.
uint64_t numberIn(std::string_view name, std::string_view prefix) {
    if (name.size() <= prefix.size() + kSuffix.size() || name.size() > prefix.size() + kSuffix.size() + 12) return 0;
    const auto digits = name.substr(prefix.size(), name.size() - prefix.size() - kSuffix.size());
    uint64_t number = 0;
    if (std::from_chars(digits.data(), digits.data() + digits.size(), number).ptr != digits.data() + digits.size()) return 0;
    return numbered(prefix, number) == name ? number : 0;
}

std::string textOf(const FileFacts& facts) {
    return "{\"file\":" + json::quote(facts.name) + ",\"entries\":" + std::to_string(facts.entries) + ",\"bytes\":" + std::to_string(facts.bytes) +
           ",\"checksum\":\"" + toHex(facts.checksum) + "\"}";
}

// The same with one more member.
std::string withMember(const std::string& member, const std::string& object) { return "{" + member + "," + object.substr(1); }

std::string textOfCascade(const DerivedFacts& facts) {
    return withMember("\"first\":" + std::to_string(facts.first), withMember("\"level2b\":" + std::to_string(facts.rowBytes2b), textOf(facts)));
}

std::string textOfTransformed(const DerivedFacts& facts) { return withMember("\"first\":" + std::to_string(facts.first), textOf(facts)); }

std::string textOfTransform(const TransformFacts& facts) {
    return withMember(std::string("\"kind\":\"") + (facts.isMatrix ? "matrix" : "scale") + '"', textOf(facts));
}

// The shortest text that reads back as the same float.
std::string textOf(float number) {
    char text[32];
    return std::string(text, std::to_chars(text, text + sizeof text, number).ptr);
}

// The keys of an object: some must be there, some may, others not.
class Members {
  public:
    Members(json::Reader& reader, std::set<std::string> expected, std::set<std::string> optional = {})
        : reader_(reader), missing_(std::move(expected)), optional_(std::move(optional)) {}
    void seen(const std::string& key) {
        if (!missing_.erase(key) && !optional_.erase(key)) reader_.reject("a member of this name is not expected: " + json::quote(key));
    }
    void done() const {
        if (!missing_.empty()) reader_.reject("the member " + json::quote(*missing_.begin()) + " is missing");
    }

  private:
    json::Reader& reader_;
    std::set<std::string> missing_, optional_;
};

uint64_t readChecksum(json::Reader& reader) {
    uint64_t digest;
    if (!fromHex(reader.string(), &digest)) reader.reject("expected 16 hexadecimal digits");
    return digest;
}

uint64_t readInteger(json::Reader& reader, uint64_t least, uint64_t most) {
    const uint64_t number = reader.integer();
    if (number < least || number > most) reader.reject("expected " + std::to_string(least) + ".." + std::to_string(most));
    return number;
}

template <typename Enum, size_t n>
Enum readName(json::Reader& reader, const std::string_view (&names)[n]) {
    const auto name = reader.string();
    for (size_t i = 0; i < n; ++i) {
        if (name == names[i]) return static_cast<Enum>(i);
    }
    reader.reject("no such value: " + json::quote(name));
}

// A file's members, and those that files of its kind have besides: readMember(key) reads one of them.
template <typename ReadMember>
void readFacts(json::Reader& reader, FileFacts& facts, std::set<std::string> expected, std::set<std::string> optional, const ReadMember& readMember) {
    expected.insert({"file", "entries", "bytes", "checksum"});
    Members members(reader, std::move(expected), std::move(optional));
    reader.object([&](const std::string& key) {
        members.seen(key);
        readMember(key);
        if (key == "file") facts.name = reader.string();
        if (key == "entries") facts.entries = readInteger(reader, 1, RTD_NO_ID);
        if (key == "bytes") facts.bytes = reader.integer();
        if (key == "checksum") facts.checksum = readChecksum(reader);
    });
    members.done();
}

FileFacts readFile(json::Reader& reader) {
    FileFacts facts;
    readFacts(reader, facts, {}, {}, [](const std::string&) {});
    return facts;
}

// Of a cascade's file also what its tensors' sizes do not follow from otherwise.
DerivedFacts readDerived(json::Reader& reader, bool isCascade) {
    DerivedFacts facts;
    readFacts(reader, facts, {"first"}, isCascade ? std::set<std::string>{"level2b"} : std::set<std::string>{}, [&](const std::string& key) {
        if (key == "first") facts.first = readInteger(reader, 0, RTD_NO_ID);
        if (key == "level2b") facts.rowBytes2b = static_cast<uint32_t>(readInteger(reader, 0, RTD_MAX_DIM));
    });
    return facts;
}

constexpr std::string_view kTransformKinds[] = {"scale", "matrix"};

TransformFacts readTransform(json::Reader& reader) {
    TransformFacts facts;
    enum class Kind { scale, matrix };
    readFacts(reader, facts, {"kind"}, {}, [&](const std::string& key) {
        if (key == "kind") facts.isMatrix = readName<Kind>(reader, kTransformKinds) == Kind::matrix;
    });
    return facts;
}

float readTemperature(json::Reader& reader) {
    if (reader.null()) return 0;
    const auto value = static_cast<float>(reader.number());
    if (!(value > 0) || !std::isfinite(value)) reader.reject("expected a temperature over 0, or null");
    return value;
}

void checkTransform(const Manifest& manifest) {
    if (!manifest.transform) {
        if (!manifest.transformed.empty()) fail(RTD_BAD_FORMAT, "transformed keys without a transform");
        return;
    }
    const TransformFacts& transform = *manifest.transform;
    if (transformNumber(transform.name) == 0) fail(RTD_BAD_FORMAT, "not the name of a transform: %s", json::quote(transform.name).c_str());
    if (transform.entries > RTD_MAX_DIM || (!transform.isMatrix && transform.entries != manifest.dim) || (transform.isMatrix && manifest.heads > 1))
        fail(RTD_BAD_FORMAT, "%s makes %llu dimensions of %u, for %u heads", transform.name.c_str(),
             static_cast<unsigned long long>(transform.entries), manifest.dim, manifest.heads);
    auto segment = manifest.segments.begin();
    uint64_t first = 0;
    for (const auto& file : manifest.transformed) {
        if (transformedNumber(file.name) == 0) fail(RTD_BAD_FORMAT, "not the name of a file of transformed keys: %s", json::quote(file.name).c_str());
        while (segment != manifest.segments.end() && first < file.first) first += segment++->entries;
        if (segment == manifest.segments.end() || first != file.first || segment->entries != file.entries)
            fail(RTD_BAD_FORMAT, "%s is not of one segment, in their order", file.name.c_str());
        first += segment++->entries;
    }
}

// Cascades begin and end where segments do, one after another.
void checkDerived(const Manifest& manifest) {
    std::set<uint64_t> ends = {0};
    for (uint64_t end = 0; const auto& segment : manifest.segments) ends.insert(end += segment.entries);
    uint64_t last = 0;
    for (const auto& derived : manifest.derived) {
        if (derivedNumber(derived.name) == 0) fail(RTD_BAD_FORMAT, "not the name of a derived file: %s", json::quote(derived.name).c_str());
        if (derived.first < last || !ends.contains(derived.first) || !ends.contains(derived.first + derived.entries))
            fail(RTD_BAD_FORMAT, "%s is not of whole segments, each in one derived file", derived.name.c_str());
        last = derived.first + derived.entries;
    }
}

// What the members cannot know of each other.
void checkWhole(const Manifest& manifest) {
    if (manifest.dim % manifest.heads) fail(RTD_BAD_FORMAT, "dim %u is not a multiple of %u heads", manifest.dim, manifest.heads);
    uint64_t last = 0, entries = 0;
    for (const auto& segment : manifest.segments) {
        const uint64_t number = segmentNumber(segment.name);
        if (number == 0) fail(RTD_BAD_FORMAT, "not the name of a segment: %s", json::quote(segment.name).c_str());
        if (number <= last) fail(RTD_BAD_FORMAT, "the numbers of the segments do not ascend: %s", segment.name.c_str());
        last = number;
        entries += segment.entries;  // at most 2^23 segments of 2^32: no overflow
    }
    if (entries > RTD_NO_ID) fail(RTD_BAD_FORMAT, "%llu entries, more than there are ids", static_cast<unsigned long long>(entries));
    checkDerived(manifest);
    checkTransform(manifest);
    if (!manifest.removed) return;
    if (removedNumber(manifest.removed->name) == 0) {
        fail(RTD_BAD_FORMAT, "not the name of a file of removed ids: %s", json::quote(manifest.removed->name).c_str());
    }
    if (manifest.removed->entries > entries) fail(RTD_BAD_FORMAT, "more removed entries than entries");
}

Manifest parse(std::string_view text) {
    Manifest manifest;
    json::Reader reader(text);
    Members members(
        reader,
        {"format", "version", "generation", "dim", "metric", "dtype", "heads", "temperature", "model", "metadata", "segments", "removed", "checksum"},
        {"derived", "transform", "transformed"});
    reader.object([&](const std::string& key) {
        members.seen(key);
        if (key == "format" && reader.string() != kFormat) reader.reject("not the manifest of a store");
        if (key == "version") {
            const uint64_t version = reader.integer();
            if (version != kVersion) {
                reader.reject("format version " + std::to_string(version) + ", this library reads version " + std::to_string(kVersion));
            }
        }
        if (key == "generation") manifest.generation = readInteger(reader, 1, json::kMaxInteger - 1);
        if (key == "dim") manifest.dim = static_cast<uint32_t>(readInteger(reader, 1, RTD_MAX_DIM));
        if (key == "metric") manifest.metric = readName<Metric>(reader, kMetrics);
        if (key == "dtype") manifest.dtype = readName<Dtype>(reader, kDtypes);
        if (key == "heads") manifest.heads = static_cast<uint32_t>(readInteger(reader, 1, RTD_MAX_DIM));
        if (key == "temperature") manifest.temperature = readTemperature(reader);
        if (key == "model") manifest.model = reader.rawObject();
        if (key == "metadata") manifest.metadata = reader.rawObject();
        if (key == "segments") reader.array([&] { manifest.segments.push_back(readFile(reader)); });
        if (key == "removed" && !reader.null()) manifest.removed = readFile(reader);
        if (key == "derived") reader.array([&] { manifest.derived.push_back(readDerived(reader, true)); });
        if (key == "transform") manifest.transform = readTransform(reader);
        if (key == "transformed") reader.array([&] { manifest.transformed.push_back(readDerived(reader, false)); });
        if (key == "checksum") readChecksum(reader);  // compared before
    });
    members.done();
    reader.end();
    checkWhole(manifest);
    return manifest;
}

}  // namespace

uint32_t Manifest::entries() const {
    uint64_t sum = 0;
    for (const auto& segment : segments) sum += segment.entries;
    return static_cast<uint32_t>(sum);
}

std::set<std::string> Manifest::replaceableFiles() const {
    std::set<std::string> names;
    if (removed) names.insert(removed->name);
    if (transform) names.insert(transform->name);
    for (const auto* files : {&derived, &transformed})
        for (const FileFacts& facts : *files) names.insert(facts.name);
    return names;
}

uint64_t Manifest::lastSegment() const { return segments.empty() ? 0 : segmentNumber(segments.back().name); }

std::string writeManifest(const Manifest& manifest) {
    std::string text = "{\"format\":" + json::quote(kFormat) + ",\n\"version\":" + std::to_string(kVersion) +
                       ",\n\"generation\":" + std::to_string(manifest.generation) + ",\n\"dim\":" + std::to_string(manifest.dim) +
                       ",\n\"metric\":" + json::quote(kMetrics[static_cast<size_t>(manifest.metric)]) +
                       ",\n\"dtype\":" + json::quote(kDtypes[static_cast<size_t>(manifest.dtype)]) +
                       ",\n\"heads\":" + std::to_string(manifest.heads) +
                       ",\n\"temperature\":" + (manifest.temperature > 0 ? textOf(manifest.temperature) : "null") + ",\n\"model\":" + manifest.model +
                       ",\n\"metadata\":" + manifest.metadata + ",\n\"segments\":[";
    for (size_t i = 0; i < manifest.segments.size(); ++i) text += (i ? ",\n" : "\n") + textOf(manifest.segments[i]);
    text += "],\n\"removed\":" + (manifest.removed ? textOf(*manifest.removed) : "null") + ",\n\"derived\":[";
    for (size_t i = 0; i < manifest.derived.size(); ++i) text += (i ? ",\n" : "\n") + textOfCascade(manifest.derived[i]);
    text += "]";
    if (manifest.transform) {
        text += ",\n\"transform\":" + textOfTransform(*manifest.transform) + ",\n\"transformed\":[";
        for (size_t i = 0; i < manifest.transformed.size(); ++i) text += (i ? ",\n" : "\n") + textOfTransformed(manifest.transformed[i]);
        text += "]";
    }
    const uint64_t digest = checksumOf(text);
    text.append(kTailBegin).append(toHex(digest)).append(kTailEnd);
    if (text.size() > kMaxManifestBytes) {
        fail(RTD_INVALID_ARGUMENT,
             "the manifest would take %zu bytes, at most %llu are allowed: keep the model and metadata small, and seal less often", text.size(),
             static_cast<unsigned long long>(kMaxManifestBytes));
    }
    return text;
}

Manifest readManifest(std::string_view text) {
    if (text.size() < kTailBytes || !text.ends_with(kTailEnd)) fail(RTD_TRUNCATED, "%zu bytes that do not end as a manifest does", text.size());
    const auto body = text.substr(0, text.size() - kTailBytes), tail = text.substr(body.size());
    uint64_t digest;
    if (!tail.starts_with(kTailBegin) || !fromHex(tail.substr(kTailBegin.size(), 16), &digest)) fail(RTD_BAD_FORMAT, "no checksum at its end");
    if (const uint64_t found = checksumOf(body); found != digest) {
        fail(RTD_CHECKSUM, "checksum %s, but the content gives %s: the file was changed or damaged", toHex(digest).c_str(), toHex(found).c_str());
    }
    try {
        return parse(text);
    } catch (const json::SyntaxError& error) { fail(RTD_BAD_FORMAT, "%s", error.what()); }
}

std::string segmentName(uint64_t number) { return numbered("segment-", number); }
std::string removedName(uint64_t number) { return numbered("removed-", number); }
std::string derivedName(uint64_t number) { return numbered("derived-", number); }
std::string transformName(uint64_t number) { return numbered("transform-", number); }
std::string transformedName(uint64_t number) { return numbered("transformed-", number); }
uint64_t segmentNumber(std::string_view name) { return name.starts_with("segment-") ? numberIn(name, "segment-") : 0; }
uint64_t removedNumber(std::string_view name) { return name.starts_with("removed-") ? numberIn(name, "removed-") : 0; }
uint64_t derivedNumber(std::string_view name) { return name.starts_with("derived-") ? numberIn(name, "derived-") : 0; }
uint64_t transformNumber(std::string_view name) { return name.starts_with("transform-") ? numberIn(name, "transform-") : 0; }
uint64_t transformedNumber(std::string_view name) { return name.starts_with("transformed-") ? numberIn(name, "transformed-") : 0; }

void checkJsonObject(std::string_view text, const char* what) {
    try {
        json::Reader reader(text);
        reader.rawObject();
        reader.end();
    } catch (const json::SyntaxError& error) { fail(RTD_INVALID_ARGUMENT, "%s is not a JSON object: %s", what, error.what()); }
}

}  // namespace rtd::store
