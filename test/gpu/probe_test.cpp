// The probe, real and played, and what is made of all it may do.
#include "gpu/probe.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "../harness.h"
#include "../temporary_directory.h"

namespace {

using rtd::gpu::ProbeResult;
using rtd::gpu::runProbe;
using namespace std::chrono_literals;

ProbeResult play(const std::string& part, std::chrono::milliseconds limit = 10s) {
    const test::TemporaryDirectory folder;
    return runProbe(RTD_STAND_IN_PROBE, folder / part, limit);
}

void checkUnusable(const ProbeResult& result, const std::string& reason) {
    CHECK(!result.isUsable);
    if (result.text.find(reason) == std::string::npos) throw test::Failure("the reason is \"" + result.text + "\" without \"" + reason + "\"");
}

// Nothing that was started is left, dead or alive. Where the probe's own child is to be killed, it is ours to wait for, once the probe is gone.
void checkNoChildren(int orphans = 0) {
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    while (orphans > 0 && std::chrono::steady_clock::now() < deadline)
        if (waitpid(-1, nullptr, WNOHANG) > 0) --orphans;
    CHECK_EQUAL(orphans, 0);
    CHECK_EQUAL(waitpid(-1, nullptr, WNOHANG), -1);
    CHECK_EQUAL(errno, ECHILD);
}

size_t openFiles() {
    size_t count = 0;
    for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
}

TEST("a verdict is taken over") {
    const ProbeResult usable = play("usable"), unusable = play("unusable");
    CHECK(usable.isUsable);
    CHECK_EQUAL(usable.text, "a device");
    CHECK(!unusable.isUsable);
    CHECK_EQUAL(unusable.text, "a reason");
}

TEST("every way to end without a verdict has its reason") {
    constexpr const char* kReasons[][2] = {
        {"crash", "died of signal 6 (Aborted)"},
        {"kill", "died of signal 9 (Killed)"},
        {"exit-3", "ended with exit code 3"},
        {"usable-but-exit-1", "ended with exit code 1"},
        {"garbage", "gave no verdict, but \"? what??\""},
        {"nothing", "gave no verdict, but \"\""},
        {"two-lines", "gave no verdict, but \"rtd-cuda-probe: usable: a device?more?\""},
        {"half-a-line", "gave no verdict, but \"rtd-cuda-probe: usable: a dev\""},
        {"usable-nothing", "gave no verdict, but \"rtd-cuda-probe: usable: ?\""},
        {"flood", "wrote too much, beginning with \"more and more "},
    };
    for (const auto& [part, reason] : kReasons) checkUnusable(play(part), reason);
    checkNoChildren();
}

TEST("one that hangs is killed in time, with all it started") {
    CHECK_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (const char* part : {"hang", "hang-at-exit", "leave-a-child"}) {
        const auto begin = std::chrono::steady_clock::now();
        checkUnusable(play(part, 300ms), "did not end within 300 ms: the driver hangs");
        const auto took = std::chrono::steady_clock::now() - begin;
        CHECK(took >= 300ms);
        CHECK(took < 2s);
        checkNoChildren(part == std::string("leave-a-child") ? 1 : 0);
    }
    CHECK_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

TEST("one that is not there, or no program, is said to be so") {
    const test::TemporaryDirectory folder;
    test::writeFile(folder / "text", "no program");
    checkUnusable(runProbe(folder / "absent", "x", 1s), "cannot be run: No such file or directory");
    checkUnusable(runProbe(folder / "text", "x", 1s), "cannot be run: Permission denied");
}

TEST("a host that ignores or blocks signals changes nothing") {
    const auto before = signal(SIGCHLD, SIG_IGN);
    sigset_t all, blocked;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &blocked);
    const ProbeResult usable = play("usable"), hangs = play("hang", 200ms);
    sigprocmask(SIG_SETMASK, &blocked, nullptr);
    signal(SIGCHLD, before);
    CHECK(usable.isUsable);
    checkUnusable(hangs, "did not end within 200 ms");
}

TEST("no file stays open") {
    const size_t before = openFiles();
    for (const char* part : {"usable", "crash", "flood"}) play(part);
    runProbe("/absent", "x", 1s);
    CHECK_EQUAL(openFiles(), before);
}

TEST("the real one searches on the binary's device") {
    const ProbeResult result = runProbe(RTD_REAL_PROBE, RTD_STAND_IN_MODULE, 60s);
    CHECK_EQUAL(result.text, "an emulated device");
    CHECK(result.isUsable);
}

TEST("the real one says why a binary cannot be used") {
    const test::TemporaryDirectory folder;
    test::writeFile(folder / "text", "no library");
    checkUnusable(runProbe(RTD_REAL_PROBE, folder / "absent", 60s), "the CUDA binary cannot be loaded: " + folder / "absent");
    checkUnusable(runProbe(RTD_REAL_PROBE, folder / "text", 60s), "the CUDA binary cannot be loaded: " + folder / "text");
    setenv("RTD_STAND_IN", "the device is on strike", 1);
    const ProbeResult result = runProbe(RTD_REAL_PROBE, RTD_STAND_IN_MODULE, 60s);
    unsetenv("RTD_STAND_IN");
    CHECK(!result.isUsable);
    CHECK_EQUAL(result.text, "the device is on strike");
}

}  // namespace
