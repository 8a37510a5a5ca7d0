// A device of a binary that was loaded: calls its table, and turns what that returns into errors again.
#pragma once
#include <memory>
#include <string>

#include "gpu/device.h"

namespace rtd::gpu {

struct ModuleTable;

// Loads a binary for the life of the process. RTD_UNSUPPORTED: it cannot be loaded, or is none of this version.
const ModuleTable& loadModule(const std::string& path);

// RTD_UNSUPPORTED: its device cannot be used.
std::unique_ptr<Device> openModuleDevice(const ModuleTable& module);

}  // namespace rtd::gpu
