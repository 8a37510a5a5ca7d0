// How a store writes and reads its files, whatever is in them: durably and all or nothing, with checksums, never believing a length.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/status.h"
#include "index/index.h"
#include "store/checksum.h"
#include "store/file_system.h"
#include "store/manifest.h"

namespace rtd::store {

inline constexpr std::string_view kTemporarySuffix = ".tmp";

// What the content of a new file is written to.
class ChecksummedFile {
  public:
    ChecksummedFile(OutputFile& file, const Call& call) : file_(file), call_(call) {}

    void write(const void* data, size_t bytes);  // RTD_CANCELLED between two pieces
    void writeZeros(uint64_t bytes);
    uint64_t bytes() const { return bytes_; }
    uint64_t checksum() const { return checksum_.digest(); }

  private:
    OutputFile& file_;
    const Call& call_;
    Checksum checksum_;
    uint64_t bytes_ = 0;
};

// Creates or replaces `name` durably and all at once: content under a temporary name, sync, rename, sync of the directory. A failure up to the
// rename leaves nothing behind. *visible (may be null) becomes true when the name may have changed its meaning, whatever fails after that.
// Returns name, bytes and checksum.
FileFacts writeDurably(Directory& directory, const std::string& name, const Call& call, const std::function<void(ChecksummedFile&)>& content,
                       bool* visible = nullptr);

// Files that no manifest names yet. Unless a commit takes them over they are removed again: nobody knows of them, and their room may be what
// is missing.
class NewFiles {
  public:
    explicit NewFiles(Directory& directory) : directory_(directory) {}
    NewFiles(const NewFiles&) = delete;
    NewFiles& operator=(const NewFiles&) = delete;
    ~NewFiles();
    const std::string& add(std::string name) { return names_.emplace_back(std::move(name)); }
    std::vector<std::string> takeOver() { return std::exchange(names_, {}); }

  private:
    Directory& directory_;
    std::vector<std::string> names_;
};

// Removes a file nobody needs; that it cannot be removed is no failure, the next writer's recovery tries again.
void discard(Directory& directory, const std::string& name) noexcept;

// Opens a file the manifest names. RTD_TRUNCATED or RTD_BAD_FORMAT if its length is not what the manifest says.
std::unique_ptr<InputFile> openChecked(Directory& directory, const FileFacts& facts);

// A whole small file; RTD_BAD_FORMAT if it is larger than `limit`.
std::string readText(Directory& directory, const std::string& name, uint64_t limit);

// The manifest of the store in this directory, as text and read. RTD_NOT_FOUND if there is no store.
std::string readManifestText(Directory& directory);
Manifest parseManifest(const Directory& directory, const std::string& text);

// Runs `body`; an error that leaves it names the file.
template <typename Body>
auto naming(const Directory& directory, const std::string& name, const Body& body) {
    try {
        return body();
    } catch (const Error& error) {
        const std::string path = directory.path() + "/" + name;
        if (error.message.starts_with(path)) throw;
        throw Error(error.status, path + ": " + error.message);
    }
}

// Reads a file through once: body(piece, offset, bytes) for each piece, front to back, and the checksum over all of it. Pieces begin at
// multiples of 1 MiB, so they never cut an aligned element. What body throws is thrown only if the checksum is right: damage is to be called
// damage, and not by what it happened to look like.
template <typename Body>
void readThrough(InputFile& file, const FileFacts& facts, const Call& call, const Body& body) {
    constexpr size_t kPiece = 1 << 20;
    std::vector<unsigned char> piece(static_cast<size_t>(std::min<uint64_t>(kPiece, facts.bytes)));
    Checksum checksum;
    std::unique_ptr<Error> objection;
    for (uint64_t offset = 0; offset < facts.bytes; offset += kPiece) {
        call.throwIfStopped();
        const auto bytes = static_cast<size_t>(std::min<uint64_t>(kPiece, facts.bytes - offset));
        file.read(offset, piece.data(), bytes);
        checksum.update(piece.data(), bytes);
        try {
            if (!objection) body(piece.data(), offset, bytes);
        } catch (const Error& error) { objection = std::make_unique<Error>(error); }
    }
    if (checksum.digest() != facts.checksum) {
        fail(RTD_CHECKSUM, "checksum %s, the manifest says %s: the file was changed or damaged", toHex(checksum.digest()).c_str(),
             toHex(facts.checksum).c_str());
    }
    if (objection) throw *objection;
}

}  // namespace rtd::store
