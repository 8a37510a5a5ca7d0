// Redirecting calls of a real shared object: the caller library calls the callee library through a lazy-binding slot.
#include "llama/elf_got.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/status.h"
#include "harness.h"
#include "llama/build.h"

extern "C" int rtdTestCaller();

namespace {

using namespace rtd::llama;

int hook() { return 2; }
int otherHook() { return 3; }

Module caller() {
    for (Module& module : loadedModules())
        if (module.fileName() == "libtest_caller.so") return module;
    return {};
}

std::atomic<void*>* slot() { return findSlot(caller(), "rtdTestCallee"); }

}  // namespace

TEST("elf: a call is redirected and given back") {
    CHECK(slot() != nullptr);
    CHECK_EQUAL(rtdTestCaller(), 1);
    {
        Redirection redirection(slot(), reinterpret_cast<void*>(&hook));
        CHECK_EQUAL(rtdTestCaller(), 1);
        redirection.redirect();
        CHECK(redirection.inPlace());
        CHECK_EQUAL(rtdTestCaller(), 2);
        const Redirection moved(std::move(redirection));
        CHECK_EQUAL(rtdTestCaller(), 2);
    }
    CHECK_EQUAL(rtdTestCaller(), 1);
}

TEST("elf: a slot that somebody else has written to is written again, or left to them") {
    Redirection redirection(slot(), reinterpret_cast<void*>(&hook));
    redirection.redirect();
    void* const original = dlsym(RTLD_DEFAULT, "rtdTestCallee");
    slot()->store(original);  // as a lazy binding that was under way
    CHECK(!redirection.inPlace());
    redirection.redirect();
    CHECK_EQUAL(rtdTestCaller(), 2);
    slot()->store(reinterpret_cast<void*>(&otherHook));
    redirection.restore();
    CHECK_EQUAL(rtdTestCaller(), 3);
    slot()->store(original);
}

TEST("elf: a write-protected slot is written to and protected again") {
    const auto size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    auto* page = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(slot()) & ~(size - 1));
    rtdTestCaller();  // bound, so that nothing else has to be written
    CHECK_EQUAL(mprotect(page, size, PROT_READ), 0);
    {
        Redirection redirection(slot(), reinterpret_cast<void*>(&hook));
        redirection.redirect();
        CHECK_EQUAL(rtdTestCaller(), 2);
        // Still protected: a pipe can be read into writable memory only.
        int ends[2];
        CHECK_EQUAL(pipe(ends), 0);
        CHECK_EQUAL(write(ends[1], "12345678", 8), 8);
        CHECK_EQUAL(read(ends[0], reinterpret_cast<void*>(slot()), 8), -1);
        close(ends[0]);
        close(ends[1]);
    }
    CHECK_EQUAL(rtdTestCaller(), 1);
    CHECK_EQUAL(mprotect(page, size, PROT_READ | PROT_WRITE), 0);
}

TEST("elf: what is not called, or not loaded, has no slot; modules are found by address and say their name") {
    CHECK(findSlot(caller(), "rtdTestNobody") == nullptr);
    const Module found = moduleOf(reinterpret_cast<const void*>(&rtdTestCaller));
    CHECK_EQUAL(sonameOf(caller()), "libtest_caller.so");
    CHECK_EQUAL(found.base, caller().base);
    CHECK(moduleOf(nullptr).dynamic == nullptr);
}

TEST("build: releases are known by the name libllama is linked as") {
    CHECK(releaseOf("libllama.v0.5.0.so") != nullptr);
    CHECK(releaseOf("libllama.cuda.v0.5.0.so") == releaseOf("libllama.v0.5.0.so"));
    for (const char* other : {"libllama.so", "libllama.v0.5.1.so", "libllama.v10.5.0.so", "libllamav0.5.0.so", ""})
        CHECK(releaseOf(other) == nullptr);
}

TEST("build: without a build of node-llama-cpp there is a clear refusal") {
    bool refused = false;
    try {
        Build::of([] {});
    } catch (const rtd::Error& error) { refused = error.status == RTD_UNSUPPORTED && error.message.find("v0.5.0") != std::string::npos; }
    CHECK(refused);
}
