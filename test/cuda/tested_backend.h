// The back end that backend_test.cpp and device_pointers_test.cpp test; each program that links them has its own.
#pragma once
#include <memory>

#include "gpu/device.h"

const char* testedBackend();                       // known by this name once it has returned
std::unique_ptr<rtd::gpu::Device> testedDevice();  // whose memory that back end's calls can use
