// Which back ends there are, which of them run on this machine, and the choice among them.
#pragma once
#include <vector>

#include "cpu/backend.h"
#include "rtd.h"

namespace rtd::cpu {

// All back ends this build knows, fastest first, for the life of the process.
const std::vector<rtd_backend_info>& backends();

// Makes a back end of a binary of its own known, as the last choice. Before the first index is created; it must live as long as the process.
void addBackend(const Backend& backend, const char* runsOn);

// By name; null, "" and "auto" take the environment's RTD_BACKEND, else the fastest. RTD_UNSUPPORTED says why a name cannot be used here. To know
// about CUDA a process is started, once, and only where its binary is there: not for the name of an instruction set.
const Backend& chooseBackend(const char* name);

// As "auto", for work that is always done by this process: no process is started for it unless RTD_BACKEND names cuda.
const Backend& chooseInstructionSet();

}  // namespace rtd::cpu
