#include "store/segment.h"

#include <algorithm>

#include "core/status.h"
#include "store/files.h"
#include "store/safetensors.h"
#include "store/tensor_values.h"

namespace rtd::store {
namespace {

using Text = unsigned long long;  // what printf calls a 64-bit number

// Four-byte columns before keys: so all are aligned to their elements and the keys to 64 bytes, whatever the number of entries.
enum Column { kTokens, kNamespaces, kExamples, kPositions, kKeys };

std::vector<TensorSpec> segmentTensors(uint64_t entries, KeyShape shape) {
    return {{"tokens", "I32", 4, entries, 0},
            {"namespace", "U32", 4, entries, 0},
            {"example", "U32", 4, entries, 0},
            {"position", "U32", 4, entries, 0},
            {"keys", kDtypeNames[static_cast<size_t>(shape.dtype)], bytesOf(shape.dtype), entries, shape.dim}};
}

std::vector<TensorSpec> removedTensors(uint64_t ids) { return {{"removed", "U32", 4, ids, 0}}; }

void checkTokens(const int32_t* tokens, size_t count, uint64_t firstEntry) {
    int32_t signs = 0;
    for (size_t i = 0; i < count; ++i) signs |= tokens[i];
    if (signs >= 0) return;
    const auto bad = static_cast<size_t>(std::find_if(tokens, tokens + count, [](int32_t token) { return token < 0; }) - tokens);
    fail(RTD_BAD_FORMAT, "entry %llu of the segment has the token %d", Text{firstEntry + bad}, tokens[bad]);
}

// Checksum and values of a segment whose header is known to be good.
void readValues(InputFile& file, const FileFacts& facts, KeyShape shape, const std::vector<uint64_t>& offsets, const Call& call) {
    const auto tensors = segmentTensors(facts.entries, shape);
    readThrough(file, facts, call, [&](Bytes piece, uint64_t offset, size_t bytes) {
        forElementsIn(piece, offset, bytes, tensors[kTokens], offsets[kTokens],
                      [](Bytes data, size_t count, uint64_t first) { checkTokens(reinterpret_cast<const int32_t*>(data), count, first); });
        forElementsIn(piece, offset, bytes, tensors[kKeys], offsets[kKeys],
                      [&](Bytes data, size_t count, uint64_t first) { checkKeys(data, count, first, shape.dim, shape.dtype); });
    });
}

}  // namespace

void Segment::searchThrough(const SearchedKeys& searched) {
    part.keys = searched.keys;
    using Owners = std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>;
    part.owner = std::make_shared<const Owners>(file, searched.owner);
}

FileFacts writeSegment(Directory& directory, const std::string& name, KeyShape shape, const NewSegment& segment, const Call& call) {
    const Snapshot& snapshot = segment.snapshot;
    const uint32_t count = snapshot.entries - segment.first;
    const size_t rowBytes = size_t{shape.dim} * bytesOf(shape.dtype);
    // Calls write(part, begin, count) for each piece of the index's memory that holds some of the entries; begin counts within the part.
    const auto forEachPiece = [&](const auto& write) {
        for (const Part& part : *snapshot.parts) {
            const uint32_t filled = snapshot.filled(part), begin = segment.first > part.first ? segment.first - part.first : 0;
            if (begin < filled) write(part, begin, filled - begin);
        }
    };
    auto facts = writeDurably(directory, name, call, [&](ChecksummedFile& file) {
        const std::string header = writeSafetensorsHeader(segmentTensors(count, shape));
        file.write(header.data(), header.size());
        forEachPiece([&](const Part& part, uint32_t begin, size_t n) { file.write(part.tokens + begin, 4 * n); });
        forEachPiece([&](const Part& part, uint32_t begin, size_t n) {
            if (part.namespaces) {
                file.write(part.namespaces + begin, 4 * n);
            } else {
                file.writeZeros(4 * n);
            }
        });
        file.write(segment.examples.data(), size_t{4} * count);
        file.write(segment.positions.data(), size_t{4} * count);
        for (const KeyRun& run : segment.keys) file.write(run.keys, run.count * rowBytes);
    });
    facts.entries = count;
    return facts;
}

Segment openSegment(Directory& directory, const FileFacts& facts, KeyShape shape, bool readThrough) {
    return naming(directory, facts.name, [&] {
        const auto file = openChecked(directory, facts);
        const auto offsets = readSafetensorsHeader(*file, segmentTensors(facts.entries, shape));
        if (readThrough) readValues(*file, facts, shape, offsets, {});

        const auto mapping = file->map();
        const auto column = [&](Column which) { return mapping->data() + offsets[which]; };
        const auto words = [&](Column which) { return reinterpret_cast<const uint32_t*>(column(which)); };
        // Tokens are places in the caller's logits: a copy, so that what is checked here stays what is used, whatever becomes of the file.
        const auto* tokens = reinterpret_cast<const int32_t*>(column(kTokens));
        struct Owner {
            std::shared_ptr<const Mapping> mapping;
            std::vector<int32_t> tokens;
        };
        const auto owner = std::make_shared<Owner>(Owner{mapping, {tokens, tokens + facts.entries}});
        Segment segment;
        segment.keys = segment.part.keys = column(kKeys);
        segment.part.tokens = owner->tokens.data();
        segment.part.namespaces = words(kNamespaces);
        segment.part.count = static_cast<uint32_t>(facts.entries);
        segment.part.owner = segment.file = owner;
        segment.examples = words(kExamples);
        segment.positions = words(kPositions);
        checkTokens(segment.part.tokens, segment.part.count, 0);
        return segment;
    });
}

void verifySegment(Directory& directory, const FileFacts& facts, KeyShape shape, const Call& call) {
    naming(directory, facts.name, [&] {
        const auto file = openChecked(directory, facts);
        readValues(*file, facts, shape, readSafetensorsHeader(*file, segmentTensors(facts.entries, shape)), call);
    });
}

FileFacts writeRemoved(Directory& directory, const std::string& name, const std::vector<uint32_t>& ids) {
    auto facts = writeDurably(directory, name, {}, [&](ChecksummedFile& file) {
        const std::string header = writeSafetensorsHeader(removedTensors(ids.size()));
        file.write(header.data(), header.size());
        file.write(ids.data(), 4 * ids.size());
    });
    facts.entries = ids.size();
    return facts;
}

std::vector<uint32_t> readRemoved(Directory& directory, const FileFacts& facts, uint32_t entries) {
    return naming(directory, facts.name, [&] {
        const auto file = openChecked(directory, facts);
        const auto tensors = removedTensors(facts.entries);
        const auto offsets = readSafetensorsHeader(*file, tensors);
        std::vector<uint32_t> ids;
        ids.reserve(static_cast<size_t>(facts.entries));
        readThrough(*file, facts, {}, [&](Bytes piece, uint64_t offset, size_t bytes) {
            forElementsIn(piece, offset, bytes, tensors[0], offsets[0], [&](Bytes data, size_t count, uint64_t) {
                const auto found = reinterpret_cast<const uint32_t*>(data);
                ids.insert(ids.end(), found, found + count);
            });
        });
        for (size_t i = 0; i < ids.size(); ++i) {
            if (ids[i] >= entries) fail(RTD_BAD_FORMAT, "removes entry %u of a store of %u entries", ids[i], entries);
            if (i && ids[i] <= ids[i - 1]) fail(RTD_BAD_FORMAT, "its ids do not ascend: %u follows %u", ids[i], ids[i - 1]);
        }
        return ids;
    });
}

}  // namespace rtd::store
