// A probe that does what the last part of its argument says, and leaves a mark, "<argument>.ran", of a byte for each time it ran.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "gpu/probe.h"

namespace {

void hang() {
    alarm(60);  // in case the test that was to kill it is gone
    for (;;) pause();
}

int act(const std::string& part) {
    if (part == "crash") std::abort();
    if (part == "kill") raise(SIGKILL);
    if (part == "hang") hang();
    if (part == "hang-at-exit") std::fclose(stdout), hang();
    if (part == "leave-a-child" && fork() == 0) hang();
    if (part == "exit-3") return 3;
    if (part == "usable-but-exit-1") {
        std::printf("%sa device\n", rtd::gpu::kProbeUsable);
        return 1;
    }
    if (part == "garbage") std::printf("\x01 what?\n");
    if (part == "two-lines") std::printf("%sa device\nmore\n", rtd::gpu::kProbeUsable);
    if (part == "half-a-line") std::printf("%sa dev", rtd::gpu::kProbeUsable);
    if (part == "usable-nothing") std::printf("%s\n", rtd::gpu::kProbeUsable);
    if (part == "flood")
        for (;;) std::printf("more and more ");
    if (part == "usable") std::printf("%sa device\n", rtd::gpu::kProbeUsable);
    if (part == "unusable") std::printf("%sa reason\n", rtd::gpu::kProbeUnusable);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const std::string argument = argv[1];
    if (std::FILE* mark = std::fopen((argument + ".ran").c_str(), "a")) {
        std::fputc('x', mark);
        std::fclose(mark);
    }
    return act(argument.substr(argument.rfind('/') + 1));
}
