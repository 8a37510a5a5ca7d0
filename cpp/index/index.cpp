#include "index/index.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cascade/build.h"
#include "core/arguments.h"
#include "core/status.h"
#include "cpu/dispatch.h"
#include "index/search.h"
#include "index/temperature.h"
#include "index/workers.h"

namespace rtd {
namespace {

constexpr size_t kFirstChunkBytes = size_t{64} << 10, kLargestChunkBytes = size_t{64} << 20;

[[noreturn]] void failUnknownId(uint32_t id, const char* why, uint32_t entries) {
    fail(RTD_UNKNOWN_ID, "id %u %s; ids given so far: %u", id, why, entries);
}

// Given keys as an index keeps them: transformed, where it has a transform, and rounded to its dtype. Rows are asked for in order.
class KeyRows {
  public:
    KeyRows(const MatrixView& keys, const IndexConfig& config, const cpu::Backend& backend)
        : keys_(keys), config_(config), backend_(backend), rows_((config.transform ? kTransformRows : 1) * config.dim) {}

    void write(size_t r, std::byte* to) {
        const float* row = config_.transform ? transformed(r) : given(r);
        if (const size_t at = firstNotFinite(row, config_.dim, config_.dtype); at < config_.dim)
            fail(RTD_NOT_FINITE, "key %zu holds %g at dimension %zu%s; keys must be finite as %s", r, static_cast<double>(row[at]), at,
                 config_.transform ? " under the transform" : "", nameOf(config_.dtype));
        if (!config_.transform && keys_.dtype() == config_.dtype)
            std::memcpy(to, keys_.row(r), config_.rowBytes());
        else
            convertFromFloat(row, config_.dim, config_.dtype, to);
    }

  private:
    const float* given(size_t r) {
        convertToFloat(keys_.row(r), keys_.dtype(), config_.dim, rows_.data());
        return rows_.data();
    }
    const float* transformed(size_t r) {
        const size_t place = r % kTransformRows;
        if (place == 0) config_.transform->apply(backend_, keys_, r, std::min(kTransformRows, keys_.rows() - r), rows_.data());
        return rows_.data() + place * config_.dim;
    }

    const MatrixView& keys_;
    const IndexConfig& config_;
    const cpu::Backend& backend_;
    std::vector<float> rows_;
};

// The largest of n tokens, -1 if there are none. RTD_TOKEN_RANGE names a negative one.
int32_t largestToken(const int32_t* tokens, size_t n) {
    int32_t largest = -1;
    for (size_t i = 0; i < n; ++i) {
        if (tokens[i] < 0) fail(RTD_TOKEN_RANGE, "token %zu is %d; tokens are at least 0", i, tokens[i]);
        largest = std::max(largest, tokens[i]);
    }
    return largest;
}

// From RTD_CASCADE.
CascadeUse defaultCascade() {
    const char* text = std::getenv("RTD_CASCADE");
    if (!text || !*text || !std::strcmp(text, "auto")) return CascadeUse::automatic;
    if (!std::strcmp(text, "off")) return CascadeUse::off;
    if (!std::strcmp(text, "always")) return CascadeUse::always;
    fail(RTD_INVALID_ARGUMENT, "the environment's RTD_CASCADE is \"%s\"; give auto, off or always", text);
}

void checkRoom(uint32_t entries, size_t n) {
    if (n > RTD_NO_ID - entries) fail(RTD_INVALID_ARGUMENT, "%zu entries do not fit: the index has %u and holds at most %u", n, entries, RTD_NO_ID);
}

// The parts, the last of them cut to what is filled, and one more.
std::shared_ptr<const std::vector<Part>> withPart(const Snapshot& snapshot, Part part) {
    auto parts = std::make_shared<std::vector<Part>>(*snapshot.parts);
    if (!parts->empty()) parts->back().count = snapshot.filled(parts->back());
    part.first = snapshot.entries;
    parts->push_back(std::move(part));
    return parts;
}

}  // namespace

void IndexConfig::setSpace(uint32_t givenDim, std::shared_ptr<const Transform> through) {
    if (through && through->inputDim() != givenDim)
        fail(RTD_INVALID_ARGUMENT, "the transform takes keys of %u dimensions, and these have %u; fit it to keys like these", through->inputDim(),
             givenDim);
    transform = std::move(through);
    dim = transform ? transform->outputDim() : givenDim;
}

void Call::throwIfStopped() const {
    if (stopped()) fail(RTD_CANCELLED, "cancelled by should_stop");
}

std::shared_ptr<Index> Index::create(const IndexConfig& config, Ownership ownership) { return std::shared_ptr<Index>(new Index(config, ownership)); }

Index::Index(const IndexConfig& config, Ownership ownership) : config_(config), ownership_(ownership) {
    if (config.dim < 1 || config.dim > RTD_MAX_DIM) fail(RTD_INVALID_ARGUMENT, "dim is %u; give 1..%u", config.dim, RTD_MAX_DIM);
    if (config.heads == 0) config_.heads = 1;
    if (config.dim % config_.heads != 0)
        fail(RTD_INVALID_ARGUMENT, "dim is %u and heads is %u; give a dim that is a multiple of heads", config.dim, config.heads);
    if (config_.heads > 1 && config.transform && config.transform->isMatrix())
        fail(RTD_INVALID_ARGUMENT, "heads is %u and the transform a matrix, which mixes what heads keep apart; give one head, or a scale",
             config.heads);
    if (config.threads > WorkerPool::kMaxThreads) fail(RTD_INVALID_ARGUMENT, "threads is %u; give 0..%u", config.threads, WorkerPool::kMaxThreads);
    if (config.threads == 0) config_.threads = WorkerPool::defaultThreads();
    if (config.cascade == CascadeUse::automatic) config_.cascade = defaultCascade();
    backend_ = &cpu::chooseBackend(config.backend);
    config_.backend = backend_->name;
    workers_ = std::make_unique<WorkerPool>();
    if (backend_->open) offloaded_ = backend_->open(config_);
    current_.parts = std::make_shared<const std::vector<Part>>();
}

Index::~Index() = default;

Snapshot Index::snapshot() const {
    const std::lock_guard lock(reading_);
    return current_;
}

uint64_t Index::bytes() const {
    const Snapshot now = snapshot();
    uint64_t bytes = 0;
    for (const Part& part : *now.parts) bytes += part.count * (config_.rowBytes() + sizeof *part.tokens + sizeof *part.namespaces);
    for (const auto& cascade : now.cascades) bytes += cascade->bytes();
    return bytes;
}

void Index::publish(Snapshot next) {
    const std::lock_guard lock(reading_);
    std::swap(current_, next);  // what is dropped is freed after the lock: parameters outlive the body's locals
}

uint32_t Index::add(const rtd_matrix& keys, const int32_t* tokens, const uint32_t* namespaces) {
    const MatrixView view(&keys, "keys");
    view.needColumns(config_.givenDim());
    const std::lock_guard lock(writing_);
    Snapshot next = current_;
    const uint32_t first = next.entries;
    checkRoom(first, keys.rows);
    if (keys.rows == 0) return first;
    next.maxToken = std::max(next.maxToken, largestToken(needPointer(tokens, "tokens"), keys.rows));

    // Rows are written where no snapshot looks yet: first the room of the last chunk, then a new one. Nothing is seen before publish().
    WritablePart tail = tail_;
    KeyRows rows(view, config_, *backend_);
    for (size_t r = 0; r < keys.rows; ++r) {
        if (!tail.keys || next.entries == next.parts->back().first + tail.part.count) {
            const size_t room = std::clamp(next.entries * config_.rowBytes() / 2, kFirstChunkBytes, kLargestChunkBytes) / config_.rowBytes();
            tail = allocatePart(static_cast<uint32_t>(std::min<size_t>(std::max({room, keys.rows - r, size_t{1}}), RTD_NO_ID - next.entries)),
                                config_.rowBytes());
            next.parts = withPart(next, tail.part);
        }
        const uint32_t at = next.entries - next.parts->back().first;
        rows.write(r, tail.keys + at * config_.rowBytes());
        tail.tokens[at] = tokens[r];
        tail.namespaces[at] = namespaces ? namespaces[r] : 0;
        ++next.entries;
        ++next.live;
    }
    tail_ = std::move(tail);
    publish(std::move(next));
    return first;
}

uint32_t Index::addPart(Part part) {
    const std::lock_guard lock(writing_);
    Snapshot next = current_;
    const uint32_t first = next.entries;
    checkRoom(first, part.count);
    if (part.count == 0) return first;
    next.maxToken = std::max(next.maxToken, largestToken(part.tokens, part.count));
    next.entries += part.count;
    next.live += part.count;
    next.parts = withPart(current_, std::move(part));
    tail_ = {};
    publish(std::move(next));
    return first;
}

Snapshot Index::endPart() {
    const std::lock_guard lock(writing_);
    tail_ = {};
    return current_;
}

void Index::replaceParts(Part part) {
    const std::lock_guard lock(writing_);
    Snapshot next = current_;
    const auto& parts = *next.parts;
    const uint64_t end = uint64_t{part.first} + part.count;
    const auto isBefore = [](const Part& p, uint64_t id) { return p.first < id; };
    const auto from = std::lower_bound(parts.begin(), parts.end(), part.first, isBefore), to = std::lower_bound(from, parts.end(), end, isBefore);
    if (from == to || from->first != part.first || std::prev(to)->first + next.filled(*std::prev(to)) != end)
        fail(RTD_INTERNAL, "a part of %u entries cannot replace those from %u: no parts of the index's %u entries begin and end there", part.count,
             part.first, next.entries);
    auto replaced = std::make_shared<std::vector<Part>>(parts.begin(), from);
    replaced->push_back(std::move(part));
    replaced->insert(replaced->end(), to, parts.end());
    if (to == parts.end()) tail_ = {};
    next.parts = std::move(replaced);
    publish(std::move(next));
}

std::shared_ptr<const Tombstones> Index::withRemoved(const Snapshot& snapshot, const uint32_t* ids, size_t count) const {
    auto removed = snapshot.removed ? std::make_shared<Tombstones>(*snapshot.removed) : std::make_shared<Tombstones>();
    for (size_t i = 0; i < count; ++i) {
        if (ids[i] >= snapshot.entries) failUnknownId(ids[i], "was never given", snapshot.entries);
        if (removed->has(ids[i])) failUnknownId(ids[i], snapshot.isLive(ids[i]) ? "comes twice" : "is removed already", snapshot.entries);
        removed->set(ids[i]);
    }
    return removed;
}

void Index::checkRemovable(const uint32_t* ids, size_t count) const { withRemoved(snapshot(), ids, count); }

void Index::remove(const uint32_t* ids, size_t count) {
    if (count == 0) return;
    const std::lock_guard lock(writing_);
    Snapshot next = current_;
    next.removed = withRemoved(current_, ids, count);
    next.live -= static_cast<uint32_t>(count);
    changedSinceSeal_ = true;
    publish(std::move(next));
}

std::vector<std::shared_ptr<const cascade::Cascade>> Index::buildCascades(const Snapshot& snapshot, uint32_t end, const Call& call) const {
    // Those without a gap before them; behind one, where a file was damaged, they are built anew.
    std::vector<std::shared_ptr<const cascade::Cascade>> cascades;
    uint32_t covered = 0;
    for (const auto& cascade : snapshot.cascades) {
        if (cascade->first != covered) break;
        cascades.push_back(cascade);
        covered += cascade->count;
    }
    const uint32_t fewest = config_.cascade == CascadeUse::always ? 1 : cascade::kSmallestCascade;
    if (!usesCascades() || end - covered < fewest) return snapshot.cascades;
    // As long as the last one is not larger than what follows, both become one: each entry is taken up a logarithmic number of times.
    uint32_t first = covered;
    while (!cascades.empty() && cascades.back()->count <= end - first) {
        first = cascades.back()->first;
        cascades.pop_back();
    }
    auto made = std::make_shared<cascade::Cascade>();
    made->first = first;
    made->count = end - first;
    const uint32_t dims = config_.dim / config_.heads;
    made->shape = cascade::LevelShape::of(dims, config_.metric);
    std::optional<uint32_t> rowBytes2b;  // the first head's: all have one shape
    for (uint32_t head = 0; head < config_.heads; ++head) {
        const auto read = [&](uint32_t begin, uint32_t count, float* to, size_t stride) {
            for (uint32_t i = 0; i < count; ++i) {
                const uint32_t id = first + begin + i;
                const Part& part = snapshot.partOf(id);
                const auto* key = static_cast<const std::byte*>(part.keys) + (id - part.first) * config_.rowBytes();
                convertToFloat(key + size_t{head} * dims * bytesOf(config_.dtype), config_.dtype, dims, to + i * stride);
            }
        };
        const cascade::BuildOptions options = {config_.metric, dims, made->count, rowBytes2b};
        const auto& levels = made->heads.emplace_back().levels =
            cascade::buildLevels(options, read, *backend_, *workers_, threadsOf(*this, call),
                                 call.part(head / static_cast<double>(config_.heads), (head + 1) / static_cast<double>(config_.heads)));
        if (!levels) continue;
        made->shape = levels->shape;
        rowBytes2b = levels->shape.rowBytes2b;
    }
    cascades.push_back(std::move(made));
    return cascades;
}

float Index::computeTemperature(const Snapshot& snapshot, const Call& call) const { return defaultTemperature(*this, snapshot, call); }

void Index::markSealed(uint32_t end, float temperature, std::vector<std::shared_ptr<const cascade::Cascade>> cascades) {
    const std::lock_guard lock(writing_);
    Snapshot next = current_;
    next.cascades = std::move(cascades);
    next.sealed = end;
    next.temperature = temperature;
    publish(std::move(next));
}

void Index::seal(const Call& call) {
    const std::lock_guard sealing(sealing_);
    Snapshot sealed;
    {
        const std::lock_guard lock(writing_);
        if (current_.sealed == current_.entries && !changedSinceSeal_) return;
        sealed = current_;
    }
    sealed.cascades = buildCascades(sealed, sealed.entries, call.part(0, 0.95));
    const float temperature = defaultTemperature(*this, sealed, call);
    call.progress.report(1);
    const std::lock_guard lock(writing_);
    Snapshot next = current_;
    next.cascades = std::move(sealed.cascades);
    next.temperature = temperature;
    next.sealed = sealed.entries;
    changedSinceSeal_ = next.removed != sealed.removed;
    publish(std::move(next));
}

void Index::entriesOf(const uint32_t* ids, size_t count, int32_t* tokens, uint32_t* namespaces, uint8_t* live) const {
    const Snapshot now = snapshot();
    for (size_t i = 0; i < count; ++i)
        if (ids[i] >= now.entries) failUnknownId(ids[i], "was never given", now.entries);
    for (size_t i = 0; i < count; ++i) {
        const Part& part = now.partOf(ids[i]);
        const uint32_t at = ids[i] - part.first;
        if (tokens) tokens[i] = part.tokens[at];
        if (namespaces) namespaces[i] = part.namespaces ? part.namespaces[at] : 0;
        if (live) live[i] = now.isLive(ids[i]);
    }
}

void Index::keysOf(const uint32_t* ids, size_t count, float* keys) const {
    const Snapshot now = snapshot();
    for (size_t i = 0; i < count; ++i)
        if (ids[i] >= now.entries) failUnknownId(ids[i], "was never given", now.entries);
    for (size_t i = 0; i < count; ++i) {
        const Part& part = now.partOf(ids[i]);
        const auto* row = static_cast<const std::byte*>(part.keys) + (ids[i] - part.first) * config_.rowBytes();
        convertToFloat(row, config_.dtype, config_.dim, keys + i * config_.dim);
    }
}

}  // namespace rtd
