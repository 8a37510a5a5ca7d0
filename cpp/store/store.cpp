#include "store/store.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/dtype.h"
#include "core/status.h"
#include "store/files.h"

namespace rtd::store {
namespace {

constexpr char kLockName[] = "lock";

// A file that a writer of this library makes: by its final or its temporary name.
struct OwnName {
    explicit OwnName(std::string_view name) : temporary(name.ends_with(kTemporarySuffix)) {
        if (temporary) name.remove_suffix(kTemporarySuffix.size());
        manifest = name == kManifestName;
        segment = segmentNumber(name);
        removed = removedNumber(name);
        derived = std::max({derivedNumber(name), transformNumber(name), transformedNumber(name)});
    }
    bool temporary;
    bool manifest;
    uint64_t segment, removed, derived;
    bool isData() const { return segment || removed || derived; }
    bool leftover() const { return temporary && (manifest || isData()); }
};

// Files are removed once a newer manifest stands, so a reader that was overtaken finds one missing; it then begins anew. A writer would have to
// remove entries again within each of these attempts to make it give up.
constexpr int kMaxAttempts = 100;

template <typename Attempt>
void withCurrentManifest(Directory& directory, const Attempt& attempt) {
    for (int i = 1;; ++i) {
        const std::string text = readManifestText(directory);
        try {
            return attempt(text);
        } catch (const Error& error) {
            if (error.status != RTD_NOT_FOUND || i == kMaxAttempts || readManifestText(directory) == text) throw;
        }
    }
}

}  // namespace

std::unique_ptr<Store> Store::create(FileSystem& files, const std::string& path, const IndexConfig& config, const std::string& model,
                                     const std::string& metadata) {
    checkJsonObject(model, "model");
    checkJsonObject(metadata, "metadata");
    const auto index = Index::create(config, Ownership::store);
    Manifest manifest;
    manifest.dim = config.dim;
    manifest.metric = config.metric;
    manifest.dtype = config.dtype;
    manifest.heads = index->config().heads;
    manifest.model = model;
    manifest.metadata = metadata;
    writeManifest(manifest);  // too long? Then nothing is made.

    std::unique_ptr<Store> store(new Store(files.makeDirectory(path)));
    store->index_ = index;
    // Looked at twice: before, to make nothing in a directory of somebody else's; under the lock, to be the only one.
    const auto requireEmpty = [&] {
        const auto names = store->directory_->list();
        if (std::find(names.begin(), names.end(), kManifestName) != names.end())
            fail(RTD_EXISTS, "%s: a store is there already; open it, or give another path", path.c_str());
        for (const auto& name : names) {
            // What an interrupted create leaves behind is no store yet.
            if (name == kLockName || OwnName(name).leftover()) continue;
            fail(RTD_EXISTS, "%s: holds %s; a new store needs an empty directory, or a path where nothing is", path.c_str(), name.c_str());
        }
    };
    requireEmpty();
    store->lock_ = store->directory_->lock(kLockName);
    requireEmpty();
    store->recover();
    NewFiles none(*store->directory_);
    try {
        store->commit(std::move(manifest), none);
    } catch (...) {
        // Where only the last sync failed the manifest is there, and would stand in the way of a second try.
        discard(*store->directory_, kManifestName);
        throw;
    }
    return store;
}

std::unique_ptr<Store> Store::open(FileSystem& files, const std::string& path, const OpenOptions& options) {
    std::unique_ptr<Store> store(new Store(files.openDirectory(path)));
    Directory& directory = *store->directory_;
    if (options.writable) {
        readManifestText(directory);  // no store, no lock file
        store->lock_ = directory.lock(kLockName);
    }
    withCurrentManifest(directory, [&](const std::string& text) { store->load(text, options); });
    if (options.writable) store->recover();
    return store;
}

void Store::load(const std::string& text, const OpenOptions& options) {
    Manifest manifest = parseManifest(*directory_, text);
    // First what can go missing, then the large files.
    std::vector<uint32_t> removed;
    if (manifest.removed) removed = readRemoved(*directory_, *manifest.removed, manifest.entries());
    IndexConfig config = {.metric = manifest.metric,
                          .dtype = manifest.dtype,
                          .heads = manifest.heads,
                          .backend = options.backend,
                          .threads = options.threads,
                          .cascade = options.cascade};
    config.setSpace(manifest.dim, manifest.transform ? openTransform(*directory_, manifest) : nullptr);
    const auto index = Index::create(config, Ownership::store);
    std::vector<Segment> segments;
    uint32_t first = 0;
    for (const auto& facts : manifest.segments) {
        Segment& segment = segments.emplace_back(openSegment(*directory_, facts, {manifest.dim, manifest.dtype}, !options.skipChecksums));
        segment.part.first = first;
        if (manifest.transform) segment.searchThrough(searchedKeysOf(segment, manifest, *index, !options.skipChecksums, text));
        first = index->addPart(segment.part) + segment.part.count;
    }
    index->remove(removed.data(), removed.size());
    index->markSealed(manifest.entries(), manifest.temperature, openCascades(manifest, *index, !options.skipChecksums, text));

    index_ = index;
    text_ = text;
    manifest_ = std::move(manifest);
    segments_ = std::move(segments);
}

// What a writer that did not come to its end left behind: temporary files, and files that the manifest does not name.
void Store::recover() {
    const auto names = directory_->list();
    const std::set<std::string> replaceable = manifest_.replaceableFiles();
    nextSegment_ = manifest_.lastSegment() + 1;
    nextGeneration_ = text_.empty() ? 1 : manifest_.generation + 1;
    std::vector<std::string> leftovers;
    for (const auto& name : names) {
        const OwnName own(name);
        nextSegment_ = std::max(nextSegment_, own.segment + 1);
        nextRemoved_ = std::max(nextRemoved_, own.removed + 1);
        nextDerived_ = std::max(nextDerived_, own.derived + 1);
        const bool isNamed = replaceable.contains(name) || std::any_of(manifest_.segments.begin(), manifest_.segments.end(),
                                                                       [&](const FileFacts& facts) { return facts.name == name; });
        if (own.leftover() || (own.isData() && !isNamed)) leftovers.push_back(name);
    }
    if (leftovers.empty()) return;
    // The manifest we read may have been renamed but not synced: what the one before it names must not go first.
    directory_->sync();
    for (const auto& name : leftovers) discard(*directory_, name);
}

// Makes `next` the manifest.
void Store::commit(Manifest next, NewFiles& newFiles) {
    next.generation = nextGeneration_++;
    std::string text = writeManifest(next);
    bool visible = false;
    try {
        writeDurably(
            *directory_, kManifestName, {}, [&](ChecksummedFile& file) { file.write(text.data(), text.size()); }, &visible);
        const std::set<std::string> kept = next.replaceableFiles();
        for (const std::string& old : manifest_.replaceableFiles())
            if (!kept.contains(old)) garbage_.push_back(old);
    } catch (...) {
        // Whether the new manifest will be there after a crash is not known. For us it is not; what it names stays until another one stands.
        if (visible) {
            for (auto& name : newFiles.takeOver()) garbage_.push_back(std::move(name));
        }
        throw;
    }
    newFiles.takeOver();
    {
        const std::lock_guard state(state_);
        std::swap(manifest_, next);
        std::swap(text_, text);
    }
    for (const auto& name : garbage_) discard(*directory_, name);
    garbage_.clear();
}

void Store::setMetadata(const std::string& json) {
    checkJsonObject(json, "metadata");
    const std::lock_guard writing(writing_);
    requireWritable();
    Manifest next = manifest_;
    next.metadata = json;
    NewFiles none(*directory_);
    commit(std::move(next), none);
}

void Store::close() {
    const std::lock_guard writing(writing_);
    const std::lock_guard appending(appending_);
    const std::lock_guard state(state_);
    closed_ = true;
    lock_.reset();
    index_.reset();
    segments_.clear();
}

void Store::requireOpen() const {
    if (closed_) fail(RTD_CLOSED, "%s: the store is closed", directory_->path().c_str());
}

void Store::requireWritable() const {
    requireOpen();
    if (!lock_) fail(RTD_READ_ONLY, "%s: the store was opened for reading; open it as writable", directory_->path().c_str());
}

std::shared_ptr<Index> Store::index() const {
    const std::lock_guard state(state_);
    requireOpen();
    return index_;
}

std::string Store::manifestText() const {
    const std::lock_guard state(state_);
    requireOpen();
    return text_;
}

void Store::keysOf(const uint32_t* ids, size_t count, float* keys) const {
    const std::lock_guard state(state_);
    requireOpen();
    needGiven(ids, count);
    const size_t dim = manifest_.dim, rowBytes = dim * bytesOf(manifest_.dtype);
    if (!index_->config().transform) return index_->keysOf(ids, count, keys);
    const uint32_t sealed = sealedEntries();
    for (size_t i = 0; i < count; ++i) {
        const void* rows = nullptr;
        uint32_t at = ids[i];
        if (at < sealed) {
            const Segment& segment = *segmentOf(at);
            rows = segment.keys;
            at -= segment.part.first;
        } else {
            at -= sealed;
            auto pending = pendingKeys_.begin();
            while (at >= (*pending)->count) at -= (*pending++)->count;
            rows = (*pending)->rows.data();
        }
        convertToFloat(static_cast<const std::byte*>(rows) + at * rowBytes, manifest_.dtype, dim, keys + i * dim);
    }
}

// RTD_UNKNOWN_ID names the first id that was never given. state_ is held.
void Store::needGiven(const uint32_t* ids, size_t count) const {
    const uint32_t entries = index_->snapshot().entries;
    const auto unknown = std::find_if(ids, ids + count, [&](uint32_t id) { return id >= entries; });
    if (unknown != ids + count) fail(RTD_UNKNOWN_ID, "id %u was never given; ids given so far: %u", *unknown, entries);
}

// Entries of segments. state_ is held: the manifest may be ahead of them for an instant.
uint32_t Store::sealedEntries() const { return segments_.empty() ? 0 : segments_.back().part.first + segments_.back().part.count; }

// The segment of a sealed entry. state_ is held.
std::vector<Segment>::const_iterator Store::segmentOf(uint32_t id) const {
    return std::upper_bound(segments_.begin(), segments_.end(), id, [](uint32_t i, const Segment& after) { return i < after.part.first; }) - 1;
}

void Store::origins(const uint32_t* ids, size_t count, uint32_t* examples, uint32_t* positions) const {
    const std::lock_guard state(state_);
    requireOpen();
    needGiven(ids, count);
    const uint32_t sealed = sealedEntries();
    for (size_t i = 0; i < count; ++i) {
        const bool isPending = ids[i] >= sealed;
        const auto segment = isPending ? segments_.end() : segmentOf(ids[i]);
        const uint32_t at = ids[i] - (isPending ? sealed : segment->part.first);
        if (examples) examples[i] = (isPending ? examples_.data() : segment->examples)[at];
        if (positions) positions[i] = (isPending ? positions_.data() : segment->positions)[at];
    }
}

void Store::verify(const Report& report, const Call& call) const {
    Manifest known;
    {
        const std::lock_guard state(state_);
        requireOpen();
        known = manifest_;
    }
    verifyFiles(*directory_, std::move(known), report, call);
}

}  // namespace rtd::store
