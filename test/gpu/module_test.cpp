// Loading a binary, and its device through the table.
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "../harness.h"
#include "../temporary_directory.h"
#include "core/status.h"
#include "gpu/device_number.h"
#include "gpu/module.h"
#include "gpu/module_device.h"

namespace {

using namespace rtd::gpu;

template <typename Body>
void checkFails(Body body, rtd_status status, const std::string& part) {
    try {
        body();
    } catch (const rtd::Error& error) {
        CHECK_EQUAL(error.status, status);
        if (error.message.find(part) == std::string::npos) throw test::Failure("the message is \"" + error.message + "\" without \"" + part + "\"");
        return;
    }
    throw test::Failure("no error, where there should be one with \"" + part + "\"");
}

TEST("what is no binary of ours and this version is refused") {
    const test::TemporaryDirectory folder;
    test::writeFile(folder / "text", "no library");
    checkFails([&] { loadModule(folder / "absent"); }, RTD_UNSUPPORTED, "cannot be loaded: " + folder / "absent");
    checkFails([&] { loadModule(folder / "text"); }, RTD_UNSUPPORTED, "cannot be loaded: " + folder / "text");
    checkFails([] { loadModule(RTD_NO_FUNCTION); }, RTD_UNSUPPORTED, "it has no function rtd_cuda_module");
    checkFails([] { loadModule(RTD_OTHER_VERSION); }, RTD_UNSUPPORTED, "build both from the same sources");
    checkFails([] { loadModule(RTD_OTHER_LAYOUT); }, RTD_UNSUPPORTED, "build both from the same sources");
}

TEST("a device that cannot be opened says why") {
    setenv("RTD_STAND_IN", "the device is on strike", 1);
    const ModuleTable& module = loadModule(RTD_STAND_IN_MODULE);
    try {
        checkFails([&] { openModuleDevice(module); }, RTD_UNSUPPORTED, "the device is on strike");
    } catch (...) {
        unsetenv("RTD_STAND_IN");
        throw;
    }
    unsetenv("RTD_STAND_IN");
}

TEST("the device's number is the environment's, and the first without") {
    const auto numberOf = [](const char* text) {
        setenv("RTD_CUDA_DEVICE", text, 1);
        struct Unset {
            ~Unset() { unsetenv("RTD_CUDA_DEVICE"); }
        } unset;
        return deviceNumber();
    };
    CHECK_EQUAL(deviceNumber(), 0);
    CHECK_EQUAL(numberOf(""), 0);
    CHECK_EQUAL(numberOf("12"), 12);
    for (const char* wrong : {"-1", "1x", "x", " 1", "99999999999"})
        checkFails([&] { numberOf(wrong); }, RTD_UNSUPPORTED, std::string("RTD_CUDA_DEVICE is \"") + wrong);
}

TEST("memory and copies pass through, and so do errors") {
    const std::unique_ptr<Device> device = openModuleDevice(loadModule(RTD_STAND_IN_MODULE));
    CHECK_EQUAL(std::string(device->name()), "an emulated device");
    CHECK(device->kernels().count > 0);
    CHECK(device->blocks(*device->kernels().entries, 1000) > 0);
    CHECK(device->allocate(0, "nothing") == nullptr);
    checkFails([&] { device->allocate(size_t{1} << 60, "too much"); }, RTD_OUT_OF_MEMORY, "no memory for too much: 1152921504606846976 bytes");

    std::vector<uint8_t> given(1000), got(1000);
    std::iota(given.begin(), given.end(), uint8_t{1});
    Buffer a(*device, "a"), b(*device, "b");
    a.need(1000);
    b.need(1000);
    device->upload(a.data(), given.data(), 1000);
    device->copy(b.data(), a.data(), 1000);
    device->zero(b.data<uint8_t>() + 10, 20);
    device->download(got.data(), b.data(), 1000);
    device->synchronize();
    std::fill(given.begin() + 10, given.begin() + 30, uint8_t{0});
    CHECK_SAME_BITS(got, given);
}

TEST("a message that does not fit is cut") {
    setenv("RTD_STAND_IN", std::string(5000, 'x').c_str(), 1);
    ModuleMessage message;
    ModuleHandle* handle = nullptr;
    const uint32_t status = loadModule(RTD_STAND_IN_MODULE).open(&message, &handle);
    unsetenv("RTD_STAND_IN");
    CHECK_EQUAL(status, static_cast<uint32_t>(RTD_UNSUPPORTED));
    CHECK_EQUAL(std::string(message.text), std::string(sizeof message.text - 1, 'x'));
}

}  // namespace
