// The file system of POSIX. Everything is opened relative to the directory's own descriptor, so a store stays itself when its path is renamed.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "core/status.h"
#include "store/file_system.h"

namespace rtd::store {
namespace {

rtd_status statusOf(int error) {
    switch (error) {
        case ENOENT:
            return RTD_NOT_FOUND;
        case EACCES:
        case EPERM:
        case EROFS:
            return RTD_PERMISSION;
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
            return RTD_NO_SPACE;  // EFBIG: the process's own limit on a file's size
        case ENOMEM:
            return RTD_OUT_OF_MEMORY;
        case ELOOP:
        case EISDIR:
        case ENOTDIR:
        case ENXIO:
            return RTD_BAD_FORMAT;
        case ENAMETOOLONG:
            return RTD_INVALID_ARGUMENT;
        default:
            return RTD_IO;
    }
}

[[noreturn]] void failWith(int error, const char* action, const std::string& path) {
    const auto reason = error == ELOOP ? std::string("a symbolic link, which a store never holds") : std::generic_category().message(error);
    fail(statusOf(error), "%s: cannot %s: %s", path.c_str(), action, reason.c_str());
}

class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const { return fd_; }

  private:
    int fd_;
};

// Calls again what a signal interrupted.
template <typename Operation>
auto retry(Operation operation) {
    for (;;) {
        const auto result = operation();
        if (result >= 0 || errno != EINTR) return result;
    }
}

void syncDescriptor(int fd, const std::string& path) {
#ifdef F_FULLFSYNC  // macOS: fsync leaves the data in the drive's cache
    if (retry([&] { return ::fcntl(fd, F_FULLFSYNC); }) >= 0) return;
#endif
    if (retry([&] { return ::fsync(fd); }) < 0) failWith(errno, "make it durable", path);
}

class PosixMapping : public Mapping {
  public:
    PosixMapping(int fd, size_t bytes, const std::string& path) {
        void* const address = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
        if (address == MAP_FAILED) failWith(errno, "map it", path);
        data_ = static_cast<const unsigned char*>(address);
        size_ = bytes;
    }
    PosixMapping(const PosixMapping&) = delete;
    PosixMapping& operator=(const PosixMapping&) = delete;
    ~PosixMapping() override { ::munmap(const_cast<unsigned char*>(data_), size_); }
};

class PosixInputFile : public InputFile {
  public:
    PosixInputFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {
        struct stat status;
        if (::fstat(fd, &status) < 0) failWith(errno, "look at it", path_);
        if (!S_ISREG(status.st_mode)) fail(RTD_BAD_FORMAT, "%s: not a regular file", path_.c_str());
        size_ = static_cast<uint64_t>(status.st_size);
    }
    uint64_t size() const override { return size_; }
    void read(uint64_t offset, void* data, size_t bytes) override {
        for (auto at = static_cast<char*>(data); bytes;) {
            const ssize_t got = retry([&] { return ::pread(fd_.get(), at, bytes, static_cast<off_t>(offset)); });
            if (got < 0) failWith(errno, "read it", path_);
            if (got == 0) fail(RTD_TRUNCATED, "%s: ends at byte %llu, where more should be", path_.c_str(), static_cast<unsigned long long>(offset));
            at += got, offset += static_cast<uint64_t>(got), bytes -= static_cast<size_t>(got);
        }
    }
    std::shared_ptr<const Mapping> map() override {
        if (size_ > SIZE_MAX) fail(RTD_OUT_OF_MEMORY, "%s: %llu bytes cannot be mapped", path_.c_str(), static_cast<unsigned long long>(size_));
        return std::make_shared<PosixMapping>(fd_.get(), static_cast<size_t>(size_), path_);
    }

  private:
    Descriptor fd_;
    std::string path_;
    uint64_t size_ = 0;
};

class PosixOutputFile : public OutputFile {
  public:
    PosixOutputFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
    void write(const void* data, size_t bytes) override {
        for (auto at = static_cast<const char*>(data); bytes;) {
            const ssize_t put = retry([&] { return ::write(fd_.get(), at, bytes); });
            if (put < 0) failWith(errno, "write it", path_);
            at += put, bytes -= static_cast<size_t>(put);
        }
    }
    void sync() override { syncDescriptor(fd_.get(), path_); }

  private:
    Descriptor fd_;
    std::string path_;
};

// flock belongs to the open file, not to the process: a second store in this process is refused too, and a crash frees the lock.
class PosixLock : public Lock {
  public:
    explicit PosixLock(int fd) : fd_(fd) {}
    void take(const std::string& path) {
        if (retry([&] { return ::flock(fd_.get(), LOCK_EX | LOCK_NB); }) == 0) return;
        if (errno == EWOULDBLOCK)
            fail(RTD_LOCKED, "%s: another writer has the store open; close it there, or open the store for reading", path.c_str());
        failWith(errno, "lock it", path);
    }

  private:
    Descriptor fd_;
};

class PosixDirectory : public Directory {
  public:
    PosixDirectory(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

    const std::string& path() const override { return path_; }

    std::vector<std::string> list() override {
        // A descriptor of its own: reading a directory moves its position.
        const int fd = ::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) failWith(errno, "list it", path_);
        const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd), ::closedir);
        if (!stream) {
            const int error = errno;
            ::close(fd);
            failWith(error, "list it", path_);
        }
        std::vector<std::string> names;
        for (errno = 0; const dirent* entry = ::readdir(stream.get()); errno = 0) {
            if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) names.emplace_back(entry->d_name);
        }
        if (errno) failWith(errno, "list it", path_);
        return names;
    }

    std::unique_ptr<InputFile> open(const std::string& name) override {
        // O_NONBLOCK: a pipe with that name must not make us wait for its writer.
        const int fd = retry([&] { return ::openat(fd_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); });
        if (fd < 0) failWith(errno, "open it", full(name));
        return std::make_unique<PosixInputFile>(fd, full(name));
    }

    std::unique_ptr<OutputFile> create(const std::string& name) override {
        const auto make = [&] { return retry([&] { return ::openat(fd_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); }); };
        int fd = make();
        if (fd < 0 && errno == EEXIST) {
            // Unlinked and not truncated: a left-over may be a link to somebody else's file.
            remove(name);
            fd = make();
        }
        if (fd < 0) failWith(errno, "create it", full(name));
        return std::make_unique<PosixOutputFile>(fd, full(name));
    }

    void rename(const std::string& from, const std::string& to) override {
        if (::renameat(fd_.get(), from.c_str(), fd_.get(), to.c_str()) < 0) failWith(errno, ("rename it to " + to).c_str(), full(from));
    }
    void remove(const std::string& name) override {
        if (::unlinkat(fd_.get(), name.c_str(), 0) < 0) failWith(errno, "remove it", full(name));
    }
    void sync() override { syncDescriptor(fd_.get(), path_); }

    std::unique_ptr<Lock> lock(const std::string& name) override {
        const int fd = retry([&] { return ::openat(fd_.get(), name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666); });
        if (fd < 0) failWith(errno, "lock it", full(name));
        auto lock = std::make_unique<PosixLock>(fd);
        lock->take(full(name));
        return lock;
    }

  private:
    std::string full(const std::string& name) const { return path_ + "/" + name; }

    Descriptor fd_;
    std::string path_;
};

class PosixFileSystem : public FileSystem {
  public:
    std::unique_ptr<Directory> openDirectory(const std::string& path) override {
        const int fd = retry([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
        if (fd < 0) failWith(errno, "open it as a store's directory", path);
        return std::make_unique<PosixDirectory>(fd, path);
    }

    std::unique_ptr<Directory> makeDirectory(const std::string& path) override {
        if (::mkdir(path.c_str(), 0777) < 0 && errno != EEXIST) failWith(errno, "make it", path);
        const int fd = retry([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
        if (fd < 0 && errno == ENOTDIR) fail(RTD_EXISTS, "%s: there already, and not a directory", path.c_str());
        if (fd < 0) failWith(errno, "open it as a store's directory", path);
        auto directory = std::make_unique<PosixDirectory>(fd, path);
        // Where the parent may be written but not read there is no way to sync it, and refusing to make a store there would help nobody.
        const Descriptor parent(::openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (parent.get() >= 0) syncDescriptor(parent.get(), path);
        return directory;
    }
};

}  // namespace

FileSystem& posixFileSystem() {
    static PosixFileSystem instance;
    return instance;
}

}  // namespace rtd::store
