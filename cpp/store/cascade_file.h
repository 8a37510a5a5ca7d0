// The file of a cascade (format.md: derived). What it holds follows from segments, so a store without it, or with a damaged one, is whole: its
// entries are scanned until a seal makes it anew.
#pragma once
#include <memory>
#include <string>

#include "cascade/cascade.h"
#include "store/file_system.h"
#include "store/manifest.h"

namespace rtd::store {

// Returns name, entries, bytes and checksum.
DerivedFacts writeCascade(Directory& directory, const std::string& name, const cascade::Cascade& cascade, const Call& call);

// Maps a cascade whose length and header are good, and with `readThrough` also its checksum.
std::shared_ptr<const cascade::Cascade> openCascade(Directory& directory, const DerivedFacts& facts, const Manifest& manifest, bool readThrough);

// Checks all of the file without mapping it.
void verifyCascade(Directory& directory, const DerivedFacts& facts, const Manifest& manifest, const Call& call);

}  // namespace rtd::store
