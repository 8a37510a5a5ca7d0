// The two kinds of data files: segments (keys and what belongs to them) and the file of removed ids. format.md describes both.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "index/index.h"
#include "store/file_system.h"
#include "store/manifest.h"

namespace rtd::store {

// The shape of a store's keys.
struct KeyShape {
    uint32_t dim;
    Dtype dtype;
};

// Keys as they are searched, where a transform makes them from those of a segment.
struct SearchedKeys {
    const void* keys = nullptr;
    std::shared_ptr<const void> owner;
};

// A segment as it is mapped.
struct Segment {
    Part part;                            // as it is searched: with the keys of the file, or transformed ones
    const void* keys = nullptr;           // [part.count, dim] of the file
    std::shared_ptr<const void> file;     // keeps its columns
    const uint32_t* examples = nullptr;   // [part.count]
    const uint32_t* positions = nullptr;  // [part.count]

    // From now on it is searched by other keys than the file's.
    void searchThrough(const SearchedKeys& searched);
};

// Keys in one piece of memory, in the store's dtype.
struct KeyRun {
    const void* keys;
    size_t count;
};

// What a new segment is to hold: the entries of `snapshot` from id `first` on, their keys as they were given, and where they came from.
struct NewSegment {
    const Snapshot& snapshot;
    uint32_t first;
    const std::vector<KeyRun>& keys;
    const std::vector<uint32_t>& examples;   // [snapshot.entries - first]
    const std::vector<uint32_t>& positions;  // [snapshot.entries - first]
};

FileFacts writeSegment(Directory& directory, const std::string& name, KeyShape shape, const NewSegment& segment, const Call& call);

// Maps a segment whose length, header and tokens are good, and with `readThrough` also its checksum and keys.
Segment openSegment(Directory& directory, const FileFacts& facts, KeyShape shape, bool readThrough);

// Checks all of a segment without mapping it: a file that shrinks meanwhile, or a bad sector, is an error and not a signal.
void verifySegment(Directory& directory, const FileFacts& facts, KeyShape shape, const Call& call);

FileFacts writeRemoved(Directory& directory, const std::string& name, const std::vector<uint32_t>& ids);

// The ids of a removed file, checked in full: ascending and below `entries`.
std::vector<uint32_t> readRemoved(Directory& directory, const FileFacts& facts, uint32_t entries);

}  // namespace rtd::store
