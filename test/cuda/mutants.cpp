// Shows that the net catches faults: every barrier is left out, every half of an atomic's order, and every fault of faults.h put in, in turn, by its
// source line, and some case must fail. What survives is either not needed or not tested.
//
//     test_cuda_mutants [cases for each] [part of a line]
//
// Each mutant runs in a process of its own, as it may write anywhere or never end.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>

#include "../harness.h"
#include "emulation/device.h"
#include "faults.h"
#include "kernel_run.h"

namespace {

using rtd::emulation::Order;

struct Mutant {
    std::string file;
    uint32_t line;
    std::string text, name;
    Order left = Order::relaxed;  // of an atomic's order
    uint32_t fault = 0;           // of kFaults, from 1
};

bool has(const std::string& text, std::initializer_list<const char*> calls) {
    return std::any_of(calls.begin(), calls.end(), [&](const char* call) { return text.find(call) != std::string::npos; });
}

// All of one file. The lines of faults that are not there any more go to `lost`.
void findMutants(const std::string& file, std::vector<Mutant>& mutants, std::vector<const Fault*>& lost) {
    std::ifstream in(std::string(RTD_CUDA_SOURCES "/") + file);
    std::vector<int> found(std::size(kFaults));
    std::string text;
    for (uint32_t line = 1; std::getline(in, text); ++line) {
        const std::string code = text.substr(std::min(text.size(), text.find_first_not_of(' ')));
        if (has(text, {"syncBlock();", "syncWarp();", "addAcquire(", "addRelease(", "addAcquireRelease(", "loadAcquire(", "storeRelease("}))
            mutants.push_back({file, line, code, "left out"});
        if (has(text, {"addAcquireRelease("})) {
            mutants.push_back({file, line, code, "acquire only", Order::acquire});
            mutants.push_back({file, line, code, "release only", Order::release});
        }
        for (uint32_t i = 0; i < std::size(kFaults); ++i) {
            const size_t at = file == kFaults[i].file ? text.find(kFaults[i].where) : std::string::npos;
            if (at == std::string::npos || text.find(kFaults[i].right, at) == std::string::npos) continue;
            ++found[i];
            mutants.push_back({file, line, code, kFaults[i].name, Order::relaxed, i + 1});
        }
    }
    for (size_t i = 0; i < std::size(kFaults); ++i)
        if (file == kFaults[i].file && found[i] != 1) lost.push_back(&kFaults[i]);
}

Shape mutantShape(std::mt19937_64& random) {
    Shape shape = randomShape(random);
    if (shape.entries > 1000) shape.entries = 300;
    if (shape.batch > 8) shape.batch = 5;
    if (random() % 3 == 0) shape.vocabulary = 2500;
    if (random() % 3 == 0) {  // one cut after another
        shape.kind = random() % 2 ? Kind::descending : Kind::equal;
        shape.entries = 700;
        shape.dim = 3 * shape.heads;
        shape.k = 1 + static_cast<uint32_t>(random() % 8);
    }
    if (random() % 3 == 0) shape.dim = shape.heads * (random() % 2 ? 256 : 140);  // whole pieces of keys of every type; levels of a cascade
    return shape;
}

// The first case that fails; `cases` if none does.
int firstCaught(const Mutant& mutant, int cases) {
    rtd::emulation::device.fault = mutant.fault;
    rtd::emulation::device.dropFile = mutant.file;
    rtd::emulation::device.dropLine = mutant.fault ? 0 : mutant.line;
    rtd::emulation::device.dropTo = mutant.left;
    for (int i = 0; i < cases; ++i) {
        std::mt19937_64 random(static_cast<uint64_t>(i) + 1000);
        const Shape shape = mutantShape(random);
        Case c = makeCase(shape, static_cast<uint64_t>(i), false);
        KernelWay way;
        ThroughCase through;
        std::mt19937_64 transforms(static_cast<uint64_t>(i) + 2000);
        if (i % 3 == 0) {
            through = makeThroughCase(shape, randomInputs(transforms, shape), static_cast<uint64_t>(i), false);
            c = through.searched;
            way.through = &through;
        }
        const bool isBroken = way.through && i % 2 && shape.batch > 0;  // one query
        const auto broken = static_cast<uint32_t>(isBroken ? transforms() % shape.batch : 0);
        if (isBroken)
            through.given.queries[broken * through.through.inputs + transforms() % through.through.inputs] = transforms() % 2 ? NAN : INFINITY;
        if (random() % 16 == 0)
            for (rtd_row_options& row : c.rows) row.flags |= RTD_ROW_SKIP;
        way.config = static_cast<uint32_t>(random() % kKernelConfigCount);
        way.seed = random();
        way.grid = 1 + static_cast<uint32_t>(random() % 8);
        way.resident = 1 + static_cast<uint32_t>(random() % way.grid);
        way.smallestPool = random() % 4 ? 64 : 256;
        way.seeds = static_cast<Seeds>(random() % 3);
        way.mergeParts = 1 + static_cast<uint32_t>(random() % 4);
        way.tilesPerTicket = 1 + static_cast<uint32_t>(random() % 3);
        way.isPadded = random() % 3 == 0;
        way.launches = 2;
        if (random() % 2) {
            way.sifting = random() % 2 ? Sifting::levels : Sifting::tensors;
            way.shareKeys = 32 << random() % 3;
            way.giveUpPercent = random() % 3 ? 1000 : 20;
        }
        try {
            const Answer got = runKernel(c, way), want = expected(c, RTD_F32);
            if (isBroken)
                checkSameButBroken(got, want, c, broken);
            else
                checkSame(got, want);
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
    const std::string part = argc > 2 ? argv[2] : "";
    int caught = 0, survived = 0;
    std::vector<Mutant> mutants;
    std::vector<const Fault*> lost;
    for (const char* file : {"search_fuse.cuh", "seeds.cuh", "scan.cuh", "pool.cuh", "select.cuh", "logits.cuh", "merge.cuh", "prepare.cuh",
                             "levels.cuh", "tensor.cuh", "sift.cuh", "transform.cuh"})
        findMutants(file, mutants, lost);
    for (const Mutant& mutant : mutants) {
        const std::string text = mutant.file + ":" + std::to_string(mutant.line) + ": " + mutant.text + "  [" + mutant.name + "]";
        if (text.find(part) == std::string::npos) continue;
        const bool isNoticed = isCaught(mutant, cases);
        ++(isNoticed ? caught : survived);
        std::printf("%-9s %s\n", isNoticed ? "caught" : "SURVIVES", text.c_str());
    }
    for (const Fault* fault : lost) std::printf("LOST      %s: the text of a fault is not there, or not once: %s\n", fault->file, fault->name);
    survived += static_cast<int>(lost.size());
    std::printf("%d passed, %d failed\n", caught, survived);
    return survived == 0 && caught > 0 ? 0 : 1;
}
