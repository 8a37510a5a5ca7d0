// The two kinds of files of a store with a transform: its numbers, and the keys of a segment as they are searched. format.md describes both.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "index/index.h"
#include "store/file_system.h"
#include "store/manifest.h"
#include "store/segment.h"
#include "transform/transform.h"

namespace rtd::store {

TransformFacts writeTransform(Directory& directory, const std::string& name, const Transform& transform);

// Reads all of it: a store cannot do without. RTD_BAD_FORMAT and the like name the file.
std::shared_ptr<const Transform> openTransform(Directory& directory, const Manifest& manifest);

// Keys as they are searched, in the index's dtype, from keys [count, givenDim] in it: those of the entries from id `first` on. RTD_NOT_FINITE names
// an entry whose image overflows.
DerivedFacts writeTransformed(Directory& directory, const std::string& name, const Index& index, const void* keys, uint64_t first, uint32_t count,
                              const Call& call);
SearchedKeys transformInMemory(const Index& index, const void* keys, uint64_t first, uint32_t count, const Call& call);

// Maps such a file; with `readThrough` its checksum and keys are checked.
SearchedKeys openTransformed(Directory& directory, const DerivedFacts& facts, const Manifest& manifest, bool readThrough);

// Checks all of such a file without mapping it.
void verifyTransformed(Directory& directory, const DerivedFacts& facts, const Manifest& manifest, const Call& call);

}  // namespace rtd::store
