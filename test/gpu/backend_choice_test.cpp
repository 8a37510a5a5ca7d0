// What a process makes of a CUDA binary and its probe: each case in a process of its own, as the answer is kept for the life of one.
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "../core/case.h"
#include "../harness.h"
#include "../temporary_directory.h"
#include "choice.h"

namespace {

// The environment of the processes that a case starts.
struct Environment {
    Environment(const std::string& library, const char* backend = nullptr) {
        setenv("RTD_CUDA_LIBRARY", library.c_str(), 1);
        if (backend) setenv("RTD_BACKEND", backend, 1);
    }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;
    ~Environment() {
        setenv("RTD_CUDA_LIBRARY", before.c_str(), 1);
        unsetenv("RTD_BACKEND");
    }
    const std::string before = std::getenv("RTD_CUDA_LIBRARY");
};

std::string ownPath() { return std::filesystem::canonical("/proc/self/exe").string(); }

// What this program prints for a question of choice.h.
std::string ask(const std::string& question) {
    std::FILE* out = popen(("exec '" + ownPath() + "' " + question).c_str(), "r");
    CHECK(out != nullptr);
    std::string text;
    for (int c; (c = std::fgetc(out)) != EOF;) text += static_cast<char>(c);
    CHECK_EQUAL(pclose(out), 0);
    return text;
}

// A folder with the played probe, and a "binary" that tells it what to do.
struct Played {
    explicit Played(const std::string& part) : library(folder / part) {
        std::filesystem::create_symlink(RTD_STAND_IN_PROBE, folder / "rtd-cuda-probe");
        test::writeFile(folder / part, "");
        ran = library + ".ran";
    }
    size_t runs() const { return std::filesystem::exists(ran) ? test::readFile(ran).size() : 0; }
    test::TemporaryDirectory folder;
    std::string library, ran;
};

TEST("a binary that works makes cuda usable and the default") {
    const test::TemporaryDirectory folder;
    std::filesystem::create_symlink(RTD_REAL_PROBE, folder / "rtd-cuda-probe");
    std::filesystem::create_symlink(RTD_STAND_IN_MODULE, folder / "module.so");
    const Environment environment(folder / "module.so");
    CHECK_EQUAL(ask("--cuda"), "usable, default: an emulated device\n");
    CHECK_EQUAL(ask("--create auto"), "cuda\n");
    CHECK_EQUAL(ask("--create cuda"), "cuda\n");
}

TEST("another back end named by the environment is the default all the same") {
    const test::TemporaryDirectory folder;
    std::filesystem::create_symlink(RTD_REAL_PROBE, folder / "rtd-cuda-probe");
    std::filesystem::create_symlink(RTD_STAND_IN_MODULE, folder / "module.so");
    const Environment environment(folder / "module.so", "serial");
    CHECK_EQUAL(ask("--cuda"), "usable: an emulated device\n");
    CHECK_EQUAL(ask("--create auto"), "serial\n");
    CHECK_EQUAL(ask("--create cuda"), "cuda\n");
}

TEST("one that does not is named with its reason, and the CPU serves") {
    for (const auto& [part, reason] : {std::pair("unusable", "a reason"), std::pair("crash", "died of signal 6 (Aborted)")}) {
        const Played played(part);
        const Environment environment(played.library);
        const std::string listed = ask("--cuda"), byName = ask("--create cuda");
        CHECK(listed.starts_with("unusable: "));
        CHECK(listed.find(reason) != std::string::npos);
        CHECK(byName.starts_with("unsupported: back end \"cuda\" cannot be used here: "));
        CHECK(byName.find(reason) != std::string::npos);
        CHECK_EQUAL(ask("--create auto"), std::string(usableBackends()[1]) + "\n");  // [0] is cuda in this process
    }
}

TEST("a probe that is pleased with what cannot be loaded is not believed") {
    const Played played("usable");
    const Environment environment(played.library);
    CHECK(ask("--cuda").starts_with("unusable: the CUDA binary cannot be loaded: " + played.library));
}

TEST("without a binary no process is started") {
    const test::TemporaryDirectory folder;
    std::filesystem::create_symlink(RTD_STAND_IN_PROBE, folder / "rtd-cuda-probe");
    const Environment environment(folder / "unusable");
    CHECK_EQUAL(ask("--cuda"), "unusable: the environment's RTD_CUDA_LIBRARY names " + folder / "unusable" + ", which is no file\n");
    CHECK(!std::filesystem::exists(folder / "unusable.ran"));
}

TEST("a binary is looked for beside this program") {
    const Environment environment("");
    const std::string own = std::filesystem::path(ownPath()).parent_path().string();
    CHECK_EQUAL(ask("--cuda"), "unusable: not part of this build: there is no " + own + "/librtd_cuda.so\n");
}

TEST("the probe runs once, and only for those who want to know") {
    const Played played("unusable");
    {
        const Environment environment(played.library, "serial");
        CHECK_EQUAL(ask("--create auto"), "serial\n");
    }
    const Environment environment(played.library);
    CHECK_EQUAL(ask("--create serial"), "serial\n");
    CHECK_EQUAL(ask("--log-probabilities"), "0\n");
    CHECK_EQUAL(played.runs(), 0);
    ask("--cuda");
    CHECK_EQUAL(played.runs(), 1);
    ask("--create auto");
    CHECK_EQUAL(played.runs(), 2);
}

}  // namespace
