#include "store/fake_file_system.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <set>

namespace rtd::store {
namespace {

struct Inode {
    std::string current;
    std::string durable;
};

using Names = std::map<std::string, std::shared_ptr<Inode>>;

struct Folder {
    Names current;
    Names durable;
    std::set<std::string> locked;
};

}  // namespace

struct FakeFileSystem::Disk {
    std::mutex mutex;  // of everything; operations are atomic
    std::map<std::string, Folder> folders;
    uint64_t life = 0;  // objects of an earlier life are dead
    Fault fault;
    std::vector<std::string> operations;
    std::function<void(const std::string&)> hook;

    Folder& folder(const std::string& path) {
        const auto found = folders.find(path);
        if (found == folders.end()) fail(RTD_NOT_FOUND, "%s: no such directory", path.c_str());
        return found->second;
    }

    std::shared_ptr<Inode>& file(const std::string& path, const std::string& name) {
        auto& names = folder(path).current;
        const auto found = names.find(name);
        if (found == names.end()) fail(RTD_NOT_FOUND, "%s/%s: no such file", path.c_str(), name.c_str());
        return found->second;
    }

    // Counts an operation and fails it if it is its turn.
    void enter(uint64_t itsLife, const std::string& name, bool takesRoom = false) {
        if (itsLife != life) fail(RTD_IO, "%s: the process is dead", name.c_str());
        operations.push_back(name);
        const uint64_t number = operations.size();
        if (!fault.at || number < fault.at) return;
        if (fault.kind == Fault::once && number != fault.at) return;
        if (fault.kind == Fault::full && !takesRoom) return;
        fail(fault.kind == Fault::crash ? RTD_IO : fault.status, "%s: fault %llu", name.c_str(), static_cast<unsigned long long>(number));
    }
};

namespace {

using Disk = FakeFileSystem::Disk;

class FakeMapping : public Mapping {
  public:
    explicit FakeMapping(std::string content) : content_(std::move(content)) {
        data_ = reinterpret_cast<const unsigned char*>(content_.data());
        size_ = content_.size();
    }

  private:
    std::string content_;
};

class FakeInputFile : public InputFile {
  public:
    FakeInputFile(std::shared_ptr<Disk> disk, std::shared_ptr<Inode> inode, std::string name)
        : disk_(std::move(disk)), life_(disk_->life), inode_(std::move(inode)), name_(std::move(name)), size_(inode_->current.size()) {}

    uint64_t size() const override { return size_; }
    void read(uint64_t offset, void* data, size_t bytes) override {
        const std::lock_guard lock(disk_->mutex);
        disk_->enter(life_, "read " + name_);
        const std::string& content = inode_->current;
        if (offset > content.size() || bytes > content.size() - offset) fail(RTD_TRUNCATED, "%s: too short", name_.c_str());
        std::memcpy(data, content.data() + offset, bytes);
    }
    std::shared_ptr<const Mapping> map() override {
        const std::lock_guard lock(disk_->mutex);
        disk_->enter(life_, "map " + name_);
        return std::make_shared<FakeMapping>(inode_->current);
    }

  private:
    std::shared_ptr<Disk> disk_;
    uint64_t life_;
    std::shared_ptr<Inode> inode_;
    std::string name_;
    uint64_t size_;
};

class FakeOutputFile : public OutputFile {
  public:
    FakeOutputFile(std::shared_ptr<Disk> disk, std::shared_ptr<Inode> inode, std::string name)
        : disk_(std::move(disk)), life_(disk_->life), inode_(std::move(inode)), name_(std::move(name)) {}

    void write(const void* data, size_t bytes) override {
        const std::lock_guard lock(disk_->mutex);
        const std::string_view text(static_cast<const char*>(data), bytes);
        try {
            disk_->enter(life_, "write " + name_, true);
        } catch (...) {
            if (life_ == disk_->life) inode_->current.append(text.substr(0, bytes / 2));
            throw;
        }
        inode_->current.append(text);
    }
    void sync() override {
        const std::lock_guard lock(disk_->mutex);
        disk_->enter(life_, "sync " + name_, true);
        inode_->durable = inode_->current;
    }

  private:
    std::shared_ptr<Disk> disk_;
    uint64_t life_;
    std::shared_ptr<Inode> inode_;
    std::string name_;
};

class FakeLock : public Lock {
  public:
    FakeLock(std::shared_ptr<Disk> disk, std::string path, std::string name)
        : disk_(std::move(disk)), life_(disk_->life), path_(std::move(path)), name_(std::move(name)) {}
    ~FakeLock() override {
        const std::lock_guard lock(disk_->mutex);
        if (life_ == disk_->life) disk_->folders[path_].locked.erase(name_);
    }

  private:
    std::shared_ptr<Disk> disk_;
    uint64_t life_;
    std::string path_, name_;
};

class FakeDirectory : public Directory {
  public:
    FakeDirectory(std::shared_ptr<Disk> disk, std::string path) : disk_(std::move(disk)), life_(disk_->life), path_(std::move(path)) {}

    const std::string& path() const override { return path_; }
    std::vector<std::string> list() override {
        const std::lock_guard lock(disk_->mutex);
        disk_->enter(life_, "list directory");
        std::vector<std::string> names;
        for (const auto& [name, inode] : disk_->folder(path_).current) names.push_back(name);
        return names;
    }
    std::unique_ptr<InputFile> open(const std::string& name) override {
        if (disk_->hook) disk_->hook(name);
        const std::lock_guard lock(disk_->mutex);
        disk_->enter(life_, "open " + name);
        return std::make_unique<FakeInputFile>(disk_, disk_->file(path_, name), name);
    }
    std::unique_ptr<OutputFile> create(const std::string& name) override {
        const std::lock_guard lock(disk_->mutex);
        disk_->enter(life_, "create " + name, true);
        auto& inode = disk_->folder(path_).current[name];
        inode = std::make_shared<Inode>();
        return std::make_unique<FakeOutputFile>(disk_, inode, name);
    }
    void rename(const std::string& from, const std::string& to) override {
        const std::lock_guard lock(disk_->mutex);
        disk_->enter(life_, "rename to " + to, true);
        const auto inode = disk_->file(path_, from);
        disk_->folder(path_).current.erase(from);
        disk_->folder(path_).current[to] = inode;
    }
    void remove(const std::string& name) override {
        const std::lock_guard lock(disk_->mutex);
        disk_->enter(life_, "remove " + name);
        disk_->file(path_, name);
        disk_->folder(path_).current.erase(name);
    }
    void sync() override {
        const std::lock_guard lock(disk_->mutex);
        disk_->enter(life_, "sync directory", true);
        disk_->folder(path_).durable = disk_->folder(path_).current;
    }
    std::unique_ptr<Lock> lock(const std::string& name) override {
        const std::lock_guard guard(disk_->mutex);
        disk_->enter(life_, "lock " + name);
        Folder& folder = disk_->folder(path_);
        if (!folder.locked.insert(name).second) fail(RTD_LOCKED, "%s/%s: locked", path_.c_str(), name.c_str());
        if (!folder.current[name]) folder.current[name] = std::make_shared<Inode>();
        return std::make_unique<FakeLock>(disk_, path_, name);
    }

  private:
    std::shared_ptr<Disk> disk_;
    uint64_t life_;
    std::string path_;
};

}  // namespace

FakeFileSystem::FakeFileSystem() : disk_(std::make_shared<Disk>()) {}
FakeFileSystem::~FakeFileSystem() = default;

FakeFileSystem::FakeFileSystem(const FakeFileSystem& other) : FakeFileSystem() {
    std::map<const Inode*, std::shared_ptr<Inode>> copies;  // a file with two names stays one file
    for (const auto& [path, folder] : other.disk_->folders) {
        Folder& copy = disk_->folders[path];
        for (const auto& [from, to] : {std::pair(&folder.current, &copy.current), std::pair(&folder.durable, &copy.durable)}) {
            for (const auto& [name, inode] : *from) {
                auto& file = copies[inode.get()];
                if (!file) file = std::make_shared<Inode>(*inode);
                to->emplace(name, file);
            }
        }
    }
}

std::unique_ptr<Directory> FakeFileSystem::openDirectory(const std::string& path) {
    const std::lock_guard lock(disk_->mutex);
    disk_->enter(disk_->life, "open directory");
    disk_->folder(path);
    return std::make_unique<FakeDirectory>(disk_, path);
}

std::unique_ptr<Directory> FakeFileSystem::makeDirectory(const std::string& path) {
    const std::lock_guard lock(disk_->mutex);
    disk_->enter(disk_->life, "make directory", true);
    disk_->folders[path];
    return std::make_unique<FakeDirectory>(disk_, path);
}

void FakeFileSystem::setFault(Fault fault) {
    const std::lock_guard lock(disk_->mutex);
    disk_->fault = fault;
    disk_->operations.clear();
}

const std::vector<std::string>& FakeFileSystem::operations() const { return disk_->operations; }

void FakeFileSystem::beforeOpening(std::function<void(const std::string&)> hook) { disk_->hook = std::move(hook); }

void FakeFileSystem::kill() {
    const std::lock_guard lock(disk_->mutex);
    for (auto& [path, folder] : disk_->folders) folder.locked.clear();
    ++disk_->life;
    disk_->fault = {};
    disk_->operations.clear();
}

void FakeFileSystem::restart(CrashLuck luck) {
    const std::lock_guard lock(disk_->mutex);
    std::mt19937_64 random(luck.seed);
    const auto keeps = [&] { return luck.kind == CrashLuck::keep || (luck.kind == CrashLuck::random && random() % 2); };
    const auto settle = [&](Inode& inode) {
        if (inode.current != inode.durable && !keeps()) {
            std::string torn = inode.durable;
            // A part of what was written arrived, and before it a block that was allocated but never filled.
            if (luck.kind == CrashLuck::random && random() % 2) {
                torn = inode.current.substr(0, random() % (inode.current.size() + 1));
                if (!torn.empty() && random() % 2) torn[random() % torn.size()] = '\0';
            }
            inode.current = torn;
        }
        inode.durable = inode.current;
    };
    for (auto& [path, folder] : disk_->folders) {
        std::set<std::string> all;
        for (const auto& [name, inode] : folder.current) all.insert(name);
        for (const auto& [name, inode] : folder.durable) all.insert(name);
        Names names;
        for (const auto& name : all) {
            const Names& from = keeps() ? folder.current : folder.durable;
            if (const auto found = from.find(name); found != from.end()) names.insert(*found);
        }
        for (auto& [name, inode] : names) settle(*inode);
        folder = {names, names, {}};
    }
    ++disk_->life;
    disk_->fault = {};
    disk_->operations.clear();
}

std::vector<std::string> FakeFileSystem::names(const std::string& path) const {
    std::vector<std::string> names;
    for (const auto& [name, inode] : disk_->folder(path).current) names.push_back(name);
    return names;
}

std::string FakeFileSystem::content(const std::string& path, const std::string& name) const { return disk_->file(path, name)->current; }

void FakeFileSystem::setContent(const std::string& path, const std::string& name, std::string content) {
    auto inode = std::make_shared<Inode>();
    inode->current = inode->durable = std::move(content);
    disk_->folder(path).current[name] = disk_->folder(path).durable[name] = inode;
}

void FakeFileSystem::erase(const std::string& path, const std::string& name) {
    disk_->folder(path).current.erase(name);
    disk_->folder(path).durable.erase(name);
}

}  // namespace rtd::store
