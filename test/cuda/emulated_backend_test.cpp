// The back end "cuda-emulated".
#include <string>

#include "../core/case.h"
#include "../harness.h"
#include "emulation/emulated_device.h"
#include "tested_backend.h"

const char* testedBackend() {
    rtd::emulation::registerEmulatedBackend();
    return "cuda-emulated";
}

namespace {

TEST("it is known by its name and is never the default") {
    const std::string name = testedBackend();
    const rtd_backend_info* list;
    size_t count;
    CHECK_OK(rtd_backends(&list, &count));
    bool isFound = false;
    for (size_t i = 0; i < count; ++i)
        if (list[i].name == name) {
            isFound = true;
            CHECK_EQUAL(list[i].usable, 1);
            CHECK_EQUAL(list[i].is_default, 0);
        }
    CHECK(isFound);
}

}  // namespace
