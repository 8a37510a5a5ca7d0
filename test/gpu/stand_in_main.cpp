// The tests of the way to a CUDA binary, on a stand-in with the emulated device in it: "cuda" is that one here.
#include <cstdlib>

#include "../cuda/tested_backend.h"
#include "../harness.h"
#include "choice.h"
#include "folder.h"

const char* testedBackend() { return "cuda"; }

int main(int argc, char** argv) {
    if (answerChoice(argc, argv)) return 0;
    const test::Folder folder;
    folder.link("rtd-cuda-probe", RTD_REAL_PROBE);
    folder.link("module.so", RTD_STAND_IN_MODULE);
    setenv("RTD_CUDA_LIBRARY", folder.path("module.so").c_str(), 1);
    return test::runAll(argc, argv);
}
