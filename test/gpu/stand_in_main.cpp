// The tests of the way to a CUDA binary, on a stand-in with the emulated device in it: "cuda" is that one here.
#include <cstdlib>

#include "../cuda/tested_backend.h"
#include "../harness.h"
#include "choice.h"
#include "folder.h"

const char* testedBackend() { return "cuda"; }

// With a sanitizer an allocation that cannot be had returns null, as it does without.
extern "C" [[gnu::visibility("default")]] const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }

int main(int argc, char** argv) {
    if (answerChoice(argc, argv)) return 0;
    const test::Folder folder;
    folder.link("rtd-cuda-probe", RTD_REAL_PROBE);
    folder.link("module.so", RTD_STAND_IN_MODULE);
    setenv("RTD_CUDA_LIBRARY", folder.path("module.so").c_str(), 1);
    return test::runAll(argc, argv);
}
