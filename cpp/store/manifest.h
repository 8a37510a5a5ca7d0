// manifest.json: what a store holds. A store is what its manifest says; every other file is only there once a manifest names it.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"

namespace rtd::store {

inline constexpr char kManifestName[] = "manifest.json";
inline constexpr uint64_t kMaxManifestBytes = 8 << 20;  // some 70,000 segments; a hostile one must not fill the memory

// A file that the manifest names, and what must be found in it.
struct FileFacts {
    std::string name;
    uint64_t entries = 0;   // of a segment, or ids in the removed file
    uint64_t bytes = 0;     // of the whole file
    uint64_t checksum = 0;  // XXH64 of the whole file
};

// The file of a transform's numbers; `entries` is its outputDim.
struct TransformFacts : FileFacts {
    bool isMatrix = false;
};

// A file derived from entries, those from id `first` on: a cascade over whole segments, or the transformed keys of one.
struct DerivedFacts : FileFacts {
    uint64_t first = 0;
    uint32_t rowBytes2b = 0;  // of a cascade's level 2b; 0: it has none
};

struct Manifest {
    uint64_t generation = 1;  // one more at every write
    uint32_t dim = 0;
    Metric metric = Metric::l2;
    Dtype dtype = Dtype::f32;
    uint32_t heads = 1;
    float temperature = 0;     // the index's default, 0 where there is none
    std::string model = "{}";  // JSON objects, kept as they were given
    std::string metadata = "{}";
    std::vector<FileFacts> segments;    // ids run through them in this order; numbers of the names ascend
    std::optional<FileFacts> removed;   // once something was removed
    std::vector<DerivedFacts> derived;  // cascades, ascending, of whole segments; the store is whole without them
    std::optional<TransformFacts> transform;
    std::vector<DerivedFacts> transformed;  // keys as they are searched, ascending, each of one segment; the store is whole without them

    uint32_t searchedDim() const { return transform ? static_cast<uint32_t>(transform->entries) : dim; }
    uint32_t entries() const;
    std::set<std::string> replaceableFiles() const;  // those it names and a later one may not: all but the segments
    uint64_t lastSegment() const;                    // number of the last segment's name, 0 without one
};

// RTD_INVALID_ARGUMENT where the text would be longer than a manifest may be.
std::string writeManifest(const Manifest& manifest);

// Checks everything that can be checked without the other files. RTD_TRUNCATED, RTD_CHECKSUM or RTD_BAD_FORMAT, without the file's name.
Manifest readManifest(std::string_view text);

// Names of the files of a store: "segment-000001.safetensors", "removed-000001.safetensors".
std::string segmentName(uint64_t number);
std::string removedName(uint64_t number);
std::string derivedName(uint64_t number);      // "derived-000001.safetensors"
std::string transformName(uint64_t number);    // "transform-000001.safetensors"
std::string transformedName(uint64_t number);  // "transformed-000001.safetensors"
// The number in such a name, 0 if it is not one.
uint64_t segmentNumber(std::string_view name);
uint64_t removedNumber(std::string_view name);
uint64_t derivedNumber(std::string_view name);
uint64_t transformNumber(std::string_view name);
uint64_t transformedNumber(std::string_view name);

// RTD_INVALID_ARGUMENT unless the text is one JSON object; `what` names it.
void checkJsonObject(std::string_view text, const char* what);

}  // namespace rtd::store
