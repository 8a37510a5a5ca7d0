#include "store/files.h"

namespace rtd::store {
namespace {

using Text = unsigned long long;  // what printf calls a 64-bit number

}  // namespace

void ChecksummedFile::write(const void* data, size_t bytes) {
    constexpr size_t kPiece = 8 << 20;
    for (auto at = static_cast<const char*>(data); bytes;) {
        call_.throwIfStopped();
        const size_t piece = std::min(bytes, kPiece);
        file_.write(at, piece);
        checksum_.update(at, piece);
        at += piece, bytes -= piece, bytes_ += piece;
    }
}

void ChecksummedFile::writeZeros(uint64_t bytes) {
    static constexpr char kZeros[1 << 16] = {};
    while (bytes) {
        const auto piece = static_cast<size_t>(std::min<uint64_t>(bytes, sizeof kZeros));
        write(kZeros, piece);
        bytes -= piece;
    }
}

FileFacts writeDurably(Directory& directory, const std::string& name, const Call& call, const std::function<void(ChecksummedFile&)>& content,
                       bool* visible) {
    const std::string temporary = name + std::string(kTemporarySuffix);
    FileFacts facts{.name = name};
    try {
        const auto file = directory.create(temporary);
        ChecksummedFile checksummed(*file, call);
        content(checksummed);
        file->sync();
        facts.bytes = checksummed.bytes();
        facts.checksum = checksummed.checksum();
        if (visible) *visible = true;
        directory.rename(temporary, name);
    } catch (...) {
        discard(directory, temporary);
        throw;
    }
    directory.sync();
    return facts;
}

NewFiles::~NewFiles() {
    for (const auto& name : names_) discard(directory_, name);
}

void discard(Directory& directory, const std::string& name) noexcept {
    try {
        directory.remove(name);
    } catch (...) {}
}

std::unique_ptr<InputFile> openChecked(Directory& directory, const FileFacts& facts) {
    auto file = directory.open(facts.name);
    if (file->size() < facts.bytes) fail(RTD_TRUNCATED, "%llu bytes, the manifest says %llu", Text{file->size()}, Text{facts.bytes});
    if (file->size() > facts.bytes) fail(RTD_BAD_FORMAT, "%llu bytes, the manifest says %llu", Text{file->size()}, Text{facts.bytes});
    return file;
}

std::string readText(Directory& directory, const std::string& name, uint64_t limit) {
    const auto file = directory.open(name);
    if (file->size() > limit) fail(RTD_BAD_FORMAT, "%llu bytes, at most %llu are allowed", Text{file->size()}, Text{limit});
    std::string text(static_cast<size_t>(file->size()), '\0');
    file->read(0, text.data(), text.size());
    return text;
}

std::string readManifestText(Directory& directory) {
    try {
        return naming(directory, kManifestName, [&] { return readText(directory, kManifestName, kMaxManifestBytes); });
    } catch (const Error& error) {
        if (error.status != RTD_NOT_FOUND) throw;
        throw Error(RTD_NOT_FOUND, directory.path() + ": no store is there (it has no " + kManifestName + ")");
    }
}

Manifest parseManifest(const Directory& directory, const std::string& text) {
    return naming(directory, kManifestName, [&] { return readManifest(text); });
}

}  // namespace rtd::store
