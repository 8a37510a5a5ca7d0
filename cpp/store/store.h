// A store: a directory of immutable files named by a manifest, with an index over them. format.md says what is on disk and what happens at
// every step of a write.
//
// Any number of threads may call; writers (append, seal, remove, setMetadata, close) wait for each other, readers only for one another's
// instants. A call that throws has changed nothing that later calls see; on disk there is the state before it or, where only the last sync
// failed, possibly the one after it, which the next write replaces.
#pragma once
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "index/index.h"
#include "store/file_system.h"
#include "store/files.h"
#include "store/manifest.h"
#include "store/segment.h"
#include "store/transform_file.h"
#include "store/verify.h"

namespace rtd::store {

struct OpenOptions {
    bool writable = false;
    bool skipChecksums = false;
    const char* backend = nullptr;
    uint32_t threads = 0;
    CascadeUse cascade = CascadeUse::automatic;
};

class Store {
  public:
    // Both as rtd_store_create and rtd_store_open; model and metadata are JSON objects.
    static std::unique_ptr<Store> create(FileSystem& files, const std::string& path, const IndexConfig& config, const std::string& model,
                                         const std::string& metadata);
    static std::unique_ptr<Store> open(FileSystem& files, const std::string& path, const OpenOptions& options);

    uint32_t append(const rtd_matrix& keys, const int32_t* tokens, const uint32_t* namespaces, const uint32_t* examples, const uint32_t* positions);
    void seal(const Call& call);
    void remove(const uint32_t* ids, size_t count);
    void setMetadata(const std::string& json);
    void setSpace(uint32_t heads, std::shared_ptr<const Transform> transform, const Call& call);  // as rtd_store_set_space
    void close();

    std::shared_ptr<Index> index() const;
    std::string manifestText() const;                                   // as this store last read or wrote it
    void keysOf(const uint32_t* ids, size_t count, float* keys) const;  // [count, dim] as they were appended
    void origins(const uint32_t* ids, size_t count, uint32_t* examples, uint32_t* positions) const;
    void verify(const Report& report, const Call& call) const;  // verifyFiles of what is on disk now

  private:
    explicit Store(std::shared_ptr<Directory> directory) : directory_(std::move(directory)) {}

    // The keys of some pending entries as they were given, where the index has them transformed.
    struct PendingKeys {
        std::vector<std::byte> rows;
        uint32_t count;
    };
    using Cascades = std::vector<std::shared_ptr<const cascade::Cascade>>;

    void load(const std::string& text, const OpenOptions& options);
    void recover();
    void commit(Manifest next, NewFiles& newFiles);
    void sealPending(const Call& call);  // writing_ is held
    Cascades openCascades(const Manifest& manifest, const Index& index, bool readThrough, const std::string& text) const;
    SearchedKeys searchedKeysOf(const Segment& segment, const Manifest& manifest, const Index& index, bool readThrough, const std::string& text);
    // Writes what is derived from sealed entries and not on disk yet, and names it in `next`. Where there is no room for it memory serves, and the
    // next seal tries again.
    void writeCascades(const Cascades& cascades, const Cascades& known, Manifest& next, NewFiles& newFiles, const Call& call);
    std::vector<Segment> writeTransformedKeys(const std::vector<Segment>& segments, const Index& index, Manifest& next, NewFiles& newFiles,
                                              const Call& call);
    // Those of `cascades` that are not known, as the files' pages, which the system may drop; where mapping fails, memory is as good.
    void mapCascades(Cascades& cascades, const Cascades& known, const Manifest& manifest) const;
    FileFacts writeRemovedBelow(uint32_t end, const std::vector<uint32_t>& more, NewFiles& newFiles);
    void needGiven(const uint32_t* ids, size_t count) const;
    uint32_t sealedEntries() const;
    std::vector<Segment>::const_iterator segmentOf(uint32_t id) const;
    void requireOpen() const;
    void requireWritable() const;

    const std::shared_ptr<Directory> directory_;

    std::mutex writing_;          // held by the one who writes to disk; what follows is its own
    std::unique_ptr<Lock> lock_;  // null: opened for reading; until the store is closed
    uint64_t nextSegment_ = 1;    // numbers and generations are not used twice, also where a write failed and yet may be on disk
    uint64_t nextRemoved_ = 1;
    uint64_t nextDerived_ = 1;  // of everything that is derived, and of transforms
    uint64_t nextGeneration_ = 1;
    std::set<std::string> passedOver_;  // files of transformed keys that could not be used; the next seal writes others
    bool staleTemperature_ = false;     // entries were removed since it was computed
    std::vector<std::string> garbage_;  // files that only an older manifest names, or one that may or may not have become durable

    std::recursive_mutex
        appending_;  // held by the one who appends, and by the writer while entries pass from pending to sealed; taken after writing_

    mutable std::mutex state_;  // taken last and held for instants: by readers, and by who changes what follows
    bool closed_ = false;
    std::shared_ptr<Index> index_;
    Manifest manifest_;
    std::string text_;
    std::vector<Segment> segments_;
    std::vector<uint32_t> examples_, positions_;                   // of the pending entries
    std::vector<std::shared_ptr<const PendingKeys>> pendingKeys_;  // the same; only with a transform
};

}  // namespace rtd::store
