// Reading a whole store through, to say which of its files are damaged.
#pragma once
#include <functional>
#include <string>

#include "index/index.h"
#include "store/file_system.h"
#include "store/manifest.h"

namespace rtd::store {

// Called for every file: RTD_OK, or what is wrong with it.
using Report = std::function<void(const std::string& file, rtd_status status, const std::string& message)>;

// Checks the manifest that is on disk and every file it names, as opening does, without mapping or keeping anything. Where that manifest is
// bad, the files of `known` are checked. Throws the first failure once all files are reported. Costs one read of every file.
void verifyFiles(Directory& directory, Manifest known, const Report& report, const Call& call);

}  // namespace rtd::store
