// A file system in memory that fails, or loses power, at any operation one names.
//
// What is modelled of a real one: data that was not synced may be lost, kept or torn at a crash; a name that was created, replaced or removed
// since the directory was last synced may have its old or its new meaning afterwards, each name on its own; locks die with their process.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/status.h"
#include "store/file_system.h"

namespace rtd::store {

// What goes wrong at the operation number `at`, counted from 1 since the fault was set. 0: nothing.
struct Fault {
    enum Kind {
        once,   // that operation fails with `status`
        full,   // from then on everything that takes room fails with `status`
        crash,  // neither it nor anything after it happens, until restart()
    };
    uint64_t at = 0;
    Kind kind = once;
    rtd_status status = RTD_IO;
};

// What a crash leaves of what was not synced.
struct CrashLuck {
    enum Kind { lose, keep, random };
    Kind kind = lose;
    uint64_t seed = 0;
};

class FakeFileSystem : public FileSystem {
  public:
    FakeFileSystem();
    FakeFileSystem(const FakeFileSystem& other);  // a disk of its own with the same content
    FakeFileSystem& operator=(const FakeFileSystem&) = delete;
    ~FakeFileSystem() override;

    std::unique_ptr<Directory> openDirectory(const std::string& path) override;
    std::unique_ptr<Directory> makeDirectory(const std::string& path) override;

    void setFault(Fault fault);
    // Operations since the last setFault, by name: "write segment-000001.safetensors.tmp", "sync directory", ...
    const std::vector<std::string>& operations() const;
    // Called before a file is opened, with its name: what another process does just then.
    void beforeOpening(std::function<void(const std::string& name)> hook);
    // The process dies, the machine goes on: what was written is there, and may still be lost at a later restart().
    void kill();
    // After a crash, or as if there had been one: what is not durable is subject to luck.
    void restart(CrashLuck luck);

    // Past all rules, for tests that damage files.
    std::vector<std::string> names(const std::string& path) const;
    std::string content(const std::string& path, const std::string& name) const;
    void setContent(const std::string& path, const std::string& name, std::string content);
    void erase(const std::string& path, const std::string& name);

    struct Disk;

  private:
    std::shared_ptr<Disk> disk_;
};

}  // namespace rtd::store
