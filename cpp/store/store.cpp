#include "store/store.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <optional>
#include <utility>

#include "core/arguments.h"
#include "core/status.h"
#include "store/cascade_file.h"
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
        derived = derivedNumber(name);
    }
    bool temporary;
    bool manifest;
    uint64_t segment, removed, derived;
    bool leftover() const { return temporary && (manifest || segment || removed || derived); }
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

// `count` values at the end, zeros where there are none to copy.
void extend(std::vector<uint32_t>& column, const uint32_t* values, size_t count) {
    if (values) {
        column.insert(column.end(), values, values + count);
    } else {
        column.resize(column.size() + count);
    }
}

}  // namespace

// Files that no manifest names yet. Unless a commit takes them over they are removed again: nobody knows of them, and their room may be what
// is missing.
class Store::NewFiles {
  public:
    explicit NewFiles(Directory& directory) : directory_(directory) {}
    NewFiles(const NewFiles&) = delete;
    NewFiles& operator=(const NewFiles&) = delete;
    ~NewFiles() {
        for (const auto& name : names_) discard(directory_, name);
    }
    const std::string& add(std::string name) { return names_.emplace_back(std::move(name)); }
    std::vector<std::string> takeOver() { return std::exchange(names_, {}); }

  private:
    Directory& directory_;
    std::vector<std::string> names_;
};

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
    const auto index = Index::create({.dim = manifest.dim,
                                      .metric = manifest.metric,
                                      .dtype = manifest.dtype,
                                      .heads = manifest.heads,
                                      .backend = options.backend,
                                      .threads = options.threads,
                                      .cascade = options.cascade},
                                     Ownership::store);
    std::vector<Segment> segments;
    for (const auto& facts : manifest.segments) {
        segments.push_back(openSegment(*directory_, facts, {manifest.dim, manifest.dtype}, !options.skipChecksums));
        segments.back().part.first = index->addPart(segments.back().part);
    }
    index->remove(removed.data(), removed.size());
    index->markSealed(manifest.entries(), manifest.temperature, openCascades(manifest, *index, !options.skipChecksums, text));

    index_ = index;
    text_ = text;
    manifest_ = std::move(manifest);
    segments_ = std::move(segments);
}

// The cascades there are. One that is missing or damaged is passed over: its entries are scanned, and the next seal makes it anew.
std::vector<std::shared_ptr<const cascade::Cascade>> Store::openCascades(const Manifest& manifest, const Index& index, bool readThrough,
                                                                         const std::string& text) const {
    std::vector<std::shared_ptr<const cascade::Cascade>> cascades;
    if (!index.usesCascades()) return cascades;
    for (const DerivedFacts& facts : manifest.derived) {
        try {
            cascades.push_back(openCascade(*directory_, facts, manifest, readThrough));
        } catch (const Error& error) {
            if (error.status == RTD_NOT_FOUND && readManifestText(*directory_) != text) throw;  // a writer has replaced it: begin anew
        }
    }
    return cascades;
}

// What a writer that did not come to its end left behind: temporary files, and files that the manifest does not name.
void Store::recover() {
    const auto names = directory_->list();
    nextSegment_ = manifest_.lastSegment() + 1;
    nextGeneration_ = text_.empty() ? 1 : manifest_.generation + 1;
    std::vector<std::string> leftovers;
    for (const auto& name : names) {
        const OwnName own(name);
        nextSegment_ = std::max(nextSegment_, own.segment + 1);
        nextRemoved_ = std::max(nextRemoved_, own.removed + 1);
        nextDerived_ = std::max(nextDerived_, own.derived + 1);
        const bool named =
            (manifest_.removed && name == manifest_.removed->name) ||
            std::any_of(manifest_.segments.begin(), manifest_.segments.end(), [&](const FileFacts& facts) { return facts.name == name; }) ||
            std::any_of(manifest_.derived.begin(), manifest_.derived.end(), [&](const FileFacts& facts) { return facts.name == name; });
        if (own.leftover() || ((own.segment || own.removed || own.derived) && !named)) leftovers.push_back(name);
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
        if (manifest_.removed && next.removed->name != manifest_.removed->name) garbage_.push_back(manifest_.removed->name);
        for (const DerivedFacts& old : manifest_.derived)
            if (std::none_of(next.derived.begin(), next.derived.end(), [&](const FileFacts& facts) { return facts.name == old.name; }))
                garbage_.push_back(old.name);
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

uint32_t Store::append(const rtd_matrix& keys, const int32_t* tokens, const uint32_t* namespaces, const uint32_t* examples,
                       const uint32_t* positions) {
    const std::lock_guard appending(appending_);
    requireWritable();
    // What the index would refuse must not first grow two columns.
    MatrixView(&keys, "keys").needColumns(index_->config().dim);
    if (const uint32_t entries = index_->snapshot().entries; keys.rows > RTD_NO_ID - entries) {
        fail(RTD_INVALID_ARGUMENT, "%zu entries do not fit: the store has %u and holds at most %u", keys.rows, entries, RTD_NO_ID);
    }
    const size_t pending = examples_.size();
    // The origins come first, so that whoever finds a new entry also finds where it came from.
    try {
        {
            const std::lock_guard state(state_);
            extend(examples_, examples, keys.rows);
            extend(positions_, positions, keys.rows);
        }
        return index_->add(keys, tokens, namespaces);
    } catch (...) {
        const std::lock_guard state(state_);
        examples_.resize(pending);
        positions_.resize(pending);
        throw;
    }
}

void Store::seal(const Call& call) {
    const std::lock_guard writing(writing_);
    requireWritable();
    Snapshot snapshot;
    std::vector<uint32_t> examples, positions;
    {
        const std::lock_guard appending(appending_);
        snapshot = index_->endPart();
        examples = examples_;
        positions = positions_;
    }
    const uint32_t first = manifest_.entries(), end = snapshot.entries;
    const auto known = std::exchange(snapshot.cascades, index_->buildCascades(snapshot, end, call.part(0, 0.6)));
    if (first == end && !staleTemperature_ && snapshot.cascades == known) return;

    const KeyShape shape{manifest_.dim, manifest_.dtype};
    Manifest next = manifest_;
    next.temperature = index_->computeTemperature(snapshot, call);
    call.progress.report(0.65);
    NewFiles newFiles(*directory_);
    std::optional<Segment> segment;
    if (first < end) {
        const std::string& name = newFiles.add(segmentName(nextSegment_++));
        next.segments.push_back(writeSegment(*directory_, name, shape, {snapshot, first, examples, positions}, call));
        segment = openSegment(*directory_, next.segments.back(), shape, false);
        segment->part.first = first;
        bool removed = false;
        for (uint32_t id = first; id < end; ++id) removed |= !snapshot.isLive(id);
        if (removed) next.removed = writeRemovedBelow(end, {}, newFiles);
        const std::lock_guard state(state_);
        segments_.reserve(segments_.size() + 1);
    }
    call.progress.report(0.85);
    if (index_->usesCascades()) next.derived.clear();
    for (const auto& cascade : snapshot.cascades) {
        const auto isOf = [&](const DerivedFacts& facts) { return facts.first == cascade->first && facts.entries == cascade->count; };
        const auto written = std::find_if(manifest_.derived.begin(), manifest_.derived.end(), isOf);
        const bool isKnown = std::find(known.begin(), known.end(), cascade) != known.end();
        if (isKnown && written != manifest_.derived.end()) {
            next.derived.push_back(*written);
            continue;
        }
        try {
            next.derived.push_back(writeCascade(*directory_, newFiles.add(derivedName(nextDerived_++)), *cascade, call));
        } catch (const Error& error) {
            // The entries matter more: where there is room for them alone, the cascade serves from memory, and the next seal tries again.
            if (error.status != RTD_NO_SPACE && error.status != RTD_IO) throw;
        }
    }
    const float temperature = next.temperature;
    const Manifest sealed = next;
    commit(std::move(next), newFiles);

    // Durable; nothing may fail from here on.
    staleTemperature_ = false;
    if (segment) {
        {
            const std::lock_guard appending(appending_);
            const std::lock_guard state(state_);
            segments_.push_back(*segment);
            examples_.erase(examples_.begin(), examples_.begin() + segment->part.count);
            positions_.erase(positions_.begin(), positions_.begin() + segment->part.count);
        }
        try {
            index_->replaceParts(segment->part);
        } catch (const std::bad_alloc&) {  // the entries stay in memory, which is as good
        }
    }
    // From now on they are the files' pages, which the system may drop; where mapping fails, memory is as good.
    for (auto& cascade : snapshot.cascades) {
        if (std::find(known.begin(), known.end(), cascade) != known.end()) continue;
        const auto facts =
            std::find_if(sealed.derived.begin(), sealed.derived.end(), [&](const DerivedFacts& f) { return f.first == cascade->first; });
        if (facts == sealed.derived.end()) continue;
        try {
            cascade = openCascade(*directory_, *facts, sealed, false);
        } catch (const Error&) {}
    }
    index_->markSealed(end, temperature, std::move(snapshot.cascades));
    call.progress.report(1);
}

void Store::remove(const uint32_t* ids, size_t count) {
    const std::lock_guard writing(writing_);
    requireWritable();
    index_->checkRemovable(ids, count);
    const uint32_t sealed = manifest_.entries();
    std::vector<uint32_t> durable;
    std::copy_if(ids, ids + count, std::back_inserter(durable), [&](uint32_t id) { return id < sealed; });
    if (!durable.empty()) {
        NewFiles newFiles(*directory_);
        Manifest next = manifest_;
        next.removed = writeRemovedBelow(sealed, durable, newFiles);
        commit(std::move(next), newFiles);
    }
    index_->remove(ids, count);
    staleTemperature_ |= count != 0;
}

// A new file of the removed ids below `end`, with some more that are to be removed.
FileFacts Store::writeRemovedBelow(uint32_t end, const std::vector<uint32_t>& more, NewFiles& newFiles) {
    const Snapshot snapshot = index_->snapshot();
    std::vector<uint32_t> ids = more;
    for (uint32_t id = 0; id < end; ++id) {
        if (!snapshot.isLive(id)) ids.push_back(id);
    }
    std::sort(ids.begin(), ids.end());
    return writeRemoved(*directory_, newFiles.add(removedName(nextRemoved_++)), ids);
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

void Store::origins(const uint32_t* ids, size_t count, uint32_t* examples, uint32_t* positions) const {
    const std::lock_guard state(state_);
    requireOpen();
    const uint32_t entries = index_->snapshot().entries;
    const auto unknown = std::find_if(ids, ids + count, [&](uint32_t id) { return id >= entries; });
    if (unknown != ids + count) fail(RTD_UNKNOWN_ID, "id %u was never given; ids given so far: %u", *unknown, entries);
    const uint32_t sealed = segments_.empty() ? 0 : segments_.back().part.first + segments_.back().part.count;
    for (size_t i = 0; i < count; ++i) {
        const bool pending = ids[i] >= sealed;
        const auto after =
            std::upper_bound(segments_.begin(), segments_.end(), ids[i], [](uint32_t id, const Segment& b) { return id < b.part.first; });
        const uint32_t at = ids[i] - (pending ? sealed : (after - 1)->part.first);
        if (examples) examples[i] = (pending ? examples_.data() : (after - 1)->examples)[at];
        if (positions) positions[i] = (pending ? positions_.data() : (after - 1)->positions)[at];
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
