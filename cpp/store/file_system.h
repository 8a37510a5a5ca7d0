// What a store asks of a file system, and no more: the tests put a fake in its place that fails, or loses power, at every single step.
//
// All functions throw Error and name the file. They map the system's reasons to RTD_NOT_FOUND, RTD_PERMISSION, RTD_NO_SPACE, RTD_LOCKED,
// RTD_OUT_OF_MEMORY and RTD_BAD_FORMAT (a link, pipe or directory where a file should be); everything else is RTD_IO.
// Names are single components of the directory they are asked of: no name in a hostile manifest can lead out of it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rtd::store {

// A file being written, front to back. Destroying it closes it; nothing is durable but what sync() has returned for.
class OutputFile {
  public:
    virtual ~OutputFile() = default;
    virtual void write(const void* data, size_t bytes) = 0;
    virtual void sync() = 0;
};

// A whole file in memory, read-only, the same for as long as it is held: a store never writes to a file that has its final name.
class Mapping {
  public:
    virtual ~Mapping() = default;
    const unsigned char* data() const { return data_; }
    size_t size() const { return size_; }

  protected:
    const unsigned char* data_ = nullptr;
    size_t size_ = 0;
};

// A regular file being read; never a link.
class InputFile {
  public:
    virtual ~InputFile() = default;
    virtual uint64_t size() const = 0;  // when it was opened
    // Fills `data` from `offset`; RTD_TRUNCATED if the file ends before.
    virtual void read(uint64_t offset, void* data, size_t bytes) = 0;
    // Maps all size() > 0 bytes; the mapping outlives this object.
    virtual std::shared_ptr<const Mapping> map() = 0;
};

// Held while it lives.
class Lock {
  public:
    virtual ~Lock() = default;
};

class Directory {
  public:
    virtual ~Directory() = default;
    virtual const std::string& path() const = 0;  // as given, for messages
    virtual std::vector<std::string> list() = 0;
    virtual std::unique_ptr<InputFile> open(const std::string& name) = 0;
    virtual std::unique_ptr<OutputFile> create(const std::string& name) = 0;  // a new, empty file; one left over there is unlinked first
    virtual void rename(const std::string& from, const std::string& to) = 0;  // replaces `to`
    virtual void remove(const std::string& name) = 0;
    virtual void sync() = 0;  // makes every create, rename and remove so far durable
    // Takes the file `name`, made if missing, for this process alone and without waiting: RTD_LOCKED if another holds it.
    virtual std::unique_ptr<Lock> lock(const std::string& name) = 0;
};

class FileSystem {
  public:
    virtual ~FileSystem() = default;
    virtual std::unique_ptr<Directory> openDirectory(const std::string& path) = 0;
    // Makes the directory durably if it is not there, and opens it. RTD_EXISTS if something else than a directory is there.
    virtual std::unique_ptr<Directory> makeDirectory(const std::string& path) = 0;
};

FileSystem& posixFileSystem();

}  // namespace rtd::store
