// Shows that the net catches faults: every barrier is left out, and every half of an atomic's order, in turn, by its source line, and some case must
// fail. What survives is either not needed or not tested.
//
//     test_cuda_mutants [cases for each] [part of a line]
//
// Each mutant runs in a process of its own, as it may write anywhere or never end.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>

#include "../harness.h"
#include "emulation/device.h"
#include "kernel_run.h"

namespace {

using rtd::emulation::Order;

struct Mutant {
    std::string file;
    uint32_t line;
    std::string text;
    Order left = Order::relaxed;  // of an atomic's order
};

bool has(const std::string& text, std::initializer_list<const char*> calls) {
    return std::any_of(calls.begin(), calls.end(), [&](const char* call) { return text.find(call) != std::string::npos; });
}

std::vector<Mutant> findMutants(const std::string& part) {
    std::vector<Mutant> mutants;
    for (const char* file : {"search_fuse.cuh", "seeds.cuh", "scan.cuh", "pool.cuh", "select.cuh", "logits.cuh", "merge.cuh"}) {
        std::ifstream in(std::string(RTD_CUDA_SOURCES "/") + file);
        std::string text;
        for (uint32_t line = 1; std::getline(in, text); ++line) {
            if ((file + (":" + std::to_string(line)) + text).find(part) == std::string::npos) continue;
            const Mutant mutant = {file, line, text.substr(std::min(text.size(), text.find_first_not_of(' ')))};
            if (has(text, {"syncBlock();", "syncWarp();", "addAcquire(", "addRelease(", "addAcquireRelease(", "loadAcquire(", "storeRelease("}))
                mutants.push_back(mutant);
            if (has(text, {"addAcquireRelease("}))
                for (const Order left : {Order::acquire, Order::release}) mutants.push_back({mutant.file, line, mutant.text, left});
        }
    }
    return mutants;
}

Shape mutantShape(std::mt19937_64& random) {
    Shape shape = randomShape(random);
    if (shape.entries > 1000) shape.entries = 300;
    if (shape.batch > 8) shape.batch = 5;
    if (random() % 3 == 0) shape.vocabulary = 2500;
    if (random() % 3 == 0) {  // one cut after another
        shape.kind = Kind::descending;
        shape.entries = 700;
        shape.dim = 3 * shape.heads;
        shape.k = 1 + static_cast<uint32_t>(random() % 8);
    }
    return shape;
}

// The first case that fails; `cases` if none does.
int firstCaught(const Mutant& mutant, int cases) {
    rtd::emulation::device.dropFile = mutant.file;
    rtd::emulation::device.dropLine = mutant.line;
    rtd::emulation::device.dropTo = mutant.left;
    for (int i = 0; i < cases; ++i) {
        std::mt19937_64 random(static_cast<uint64_t>(i) + 1000);
        const Case c = makeCase(mutantShape(random), static_cast<uint64_t>(i), false);
        KernelWay way;
        way.config = static_cast<uint32_t>(random() % 4);
        way.seed = random();
        way.grid = 1 + static_cast<uint32_t>(random() % 8);
        way.resident = 1 + static_cast<uint32_t>(random() % way.grid);
        way.smallestPool = random() % 4 ? 64 : 256;
        way.seeds = static_cast<Seeds>(random() % 3);
        way.mergeParts = 1 + static_cast<uint32_t>(random() % 4);
        way.launches = 2;
        try {
            checkSame(runKernel(c, way), expected(c, RTD_F32));
        } catch (const std::exception&) { return i; }
    }
    return cases;
}

// True if a test noticed, be it by a crash or by not coming to an end.
bool isCaught(const Mutant& mutant, int cases) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child < 0) throw test::Failure("fork failed");
    if (child == 0) {
        alarm(300);
        _exit(firstCaught(mutant, cases) < cases ? 1 : 0);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child) throw test::Failure("waitpid failed");
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace

int main(int argc, char** argv) {
    const int cases = argc > 1 ? std::atoi(argv[1]) : 1000;
    int caught = 0, survived = 0;
    const std::vector<Mutant> mutants = findMutants(argc > 2 ? argv[2] : "");
    if (mutants.empty()) {
        std::printf("no mutants found in %s\n0 passed, 1 failed\n", RTD_CUDA_SOURCES);
        return 1;
    }
    for (const Mutant& mutant : mutants) {
        const bool isNoticed = isCaught(mutant, cases);
        ++(isNoticed ? caught : survived);
        std::printf("%-9s %s:%u: %s%s\n", isNoticed ? "caught" : "SURVIVES", mutant.file.c_str(), mutant.line, mutant.text.c_str(),
                    mutant.left == Order::acquire   ? "  [acquire only]"
                    : mutant.left == Order::release ? "  [release only]"
                                                    : "");
    }
    std::printf("%d passed, %d failed\n", caught, survived);
    return survived == 0 ? 0 : 1;
}
