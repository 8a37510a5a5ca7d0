#include "gpu/probe.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

extern char** environ;

namespace rtd::gpu {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kMaxOutput = 4096;
constexpr auto kKillGrace = std::chrono::seconds(2);  // a process that waits for a driver in the kernel may outlive even SIGKILL

std::string reasonOf(int error) { return std::strerror(error); }

class Pipe {
  public:
    Pipe() : isOpen_(pipe2(ends_, O_CLOEXEC) == 0) {}
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        if (!isOpen_) return;
        close(ends_[0]);
        closeWriteEnd();
    }
    bool isOpen() const { return isOpen_; }
    int readEnd() const { return ends_[0]; }
    int writeEnd() const { return ends_[1]; }
    void closeWriteEnd() {
        if (ends_[1] >= 0) close(ends_[1]);
        ends_[1] = -1;
    }

  private:
    int ends_[2] = {-1, -1};
    bool isOpen_;
};

// By posix_spawn: a plain fork would copy this process as it is, with threads gone and a CUDA context that does not survive it. In a process group
// of its own, so that all it started can be ended, with no signal blocked or ignored. 0, or what errno says.
int spawn(const std::string& program, const std::string& module, int output, pid_t& pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (const int error = posix_spawn_file_actions_init(&actions)) return error;
    if (const int error = posix_spawnattr_init(&attributes)) {
        posix_spawn_file_actions_destroy(&actions);
        return error;
    }
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    int error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (!error) error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    std::string arguments[] = {program, module};
    char* argv[] = {arguments[0].data(), arguments[1].data(), nullptr};
    if (!error) error = posix_spawn(&pid, program.c_str(), &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

enum class Reading { ended, late, tooMuch };

// Appends what comes until the other end is closed, or the time or the room runs out.
Reading readAll(int fd, Clock::time_point deadline, std::string& output) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) return Reading::late;
        pollfd waiting = {fd, POLLIN, 0};
        if (poll(&waiting, 1, static_cast<int>(left)) <= 0) continue;
        char bytes[512];
        const ssize_t n = read(fd, bytes, sizeof bytes);
        if (n == 0) return Reading::ended;
        if (n < 0) continue;  // a signal came between
        if (output.size() + static_cast<size_t>(n) > kMaxOutput) return Reading::tooMuch;
        output.append(bytes, static_cast<size_t>(n));
    }
}

// False where it still runs at the deadline. Where the host has taken the status itself (SIGCHLD ignored), what was written must do.
bool waitFor(pid_t pid, Clock::time_point deadline, int& status) {
    for (;;) {
        const pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) return true;
        if (ended < 0 && errno == ECHILD) {
            status = 0;
            return true;
        }
        if (Clock::now() >= deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

// As much of what was written as fits a message, on one line.
std::string quoted(const std::string& output) {
    std::string text = output.substr(0, 80);
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return "\"" + text + (output.size() > 80 ? "...\"" : "\"");
}

// The verdict, if that is all there is and on one line.
bool parse(const std::string& output, ProbeResult& result) {
    if (output.empty() || output.find('\n') != output.size() - 1) return false;
    for (const char* beginning : {kProbeUsable, kProbeUnusable}) {
        const size_t length = std::strlen(beginning);
        if (output.compare(0, length, beginning) != 0 || output.size() <= length + 1) continue;
        result = {beginning == kProbeUsable, output.substr(length, output.size() - length - 1)};
        return true;
    }
    return false;
}

}  // namespace

ProbeResult runProbe(const std::string& program, const std::string& module, std::chrono::milliseconds limit) {
    const auto unusable = [&](const std::string& why) { return ProbeResult{false, "the probe " + program + " " + why}; };
    Pipe pipe;
    if (!pipe.isOpen()) return unusable("cannot be run: no pipe: " + reasonOf(errno));
    pid_t pid;
    if (const int error = spawn(program, module, pipe.writeEnd(), pid)) return unusable("cannot be run: " + reasonOf(error));
    pipe.closeWriteEnd();

    const Clock::time_point deadline = Clock::now() + limit;
    std::string output;
    int status = 0;
    const Reading reading = readAll(pipe.readEnd(), deadline, output);
    if (reading != Reading::ended || !waitFor(pid, deadline, status)) {
        kill(-pid, SIGKILL);
        const bool isDead = waitFor(pid, Clock::now() + kKillGrace, status);
        if (reading == Reading::tooMuch) return unusable("wrote too much, beginning with " + quoted(output));
        return unusable("did not end within " + std::to_string(limit.count()) + " ms" + (isDead ? "" : ", and cannot be killed") +
                        ": the driver hangs");
    }
    if (WIFSIGNALED(status)) return unusable("died of signal " + std::to_string(WTERMSIG(status)) + " (" + strsignal(WTERMSIG(status)) + ")");
    if (WEXITSTATUS(status) != 0) return unusable("ended with exit code " + std::to_string(WEXITSTATUS(status)));
    ProbeResult result;
    if (!parse(output, result)) return unusable("gave no verdict, but " + quoted(output));
    return result;
}

}  // namespace rtd::gpu
