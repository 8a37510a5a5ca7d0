#include "kernel_run.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "../harness.h"
#include "cascade/build.h"
#include "core/dtype.h"
#include "cpu/dispatch.h"
#include "gpu/cascade_mirror.h"
#include "index/workers.h"
#include "search_fuse.cuh"

namespace {

using namespace rtd::cuda;
using rtd::emulation::device;

// Memory that is exactly as long as it must be, so that AddressSanitizer sees an overrun, and aligned as cudaMalloc aligns.
class DeviceMemory {
  public:
    explicit DeviceMemory(size_t bytes, int fill = 0)
        : bytes_(bytes), memory_(static_cast<char*>(std::aligned_alloc(256, (bytes + 255) / 256 * 256))) {
        std::memset(memory_, fill, bytes);
    }
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;
    ~DeviceMemory() { std::free(memory_); }
    char* data() { return memory_; }
    size_t size() const { return bytes_; }

  private:
    size_t bytes_;
    char* memory_;
};

template <typename Key>
Key keyOf(float v) {
    if constexpr (std::is_same_v<Key, float>)
        return v;
    else if constexpr (std::is_same_v<Key, rtd::F16>)
        return rtd::toF16(v);
    else
        return rtd::toBf16(v);
}

template <typename Key>
void packKeys(const Case& c, const KeyLayout& layout, char* to) {
    const uint32_t headDim = c.shape.dim / c.shape.heads;
    for (uint32_t id = 0; id < c.shape.entries; ++id)
        for (uint32_t j = 0; j < c.shape.dim; ++j) {
            const Key key = keyOf<Key>(c.data.keys[size_t{id} * c.shape.dim + j]);
            std::memcpy(to + layout.offset(id, j / headDim, j % headDim * sizeof(Key)), &key, sizeof key);
        }
}

// A matrix on the device: rows of `columns`, apart and off boundaries where padded, in float32 or float16.
struct Matrix {
    Matrix(const std::vector<float>& values, size_t begin, size_t rows, size_t columns_, bool isHalf_, bool isPadded)
        : columns(columns_),
          stride(columns_ + (isPadded ? 3 : 0)),
          isHalf(isHalf_),
          offset(isPadded ? 1 : 0),
          memory(((rows ? (rows - 1) * stride : 0) + columns + offset) * 4, 0x7f) {
        for (size_t r = 0; r < rows; ++r)
            for (size_t i = 0; i < columns; ++i) {
                const float v = values[(begin + r) * columns + i];
                if (isHalf)
                    halves()[r * stride + i] = rtd::toF16(v);
                else
                    floats()[r * stride + i] = v;
            }
    }
    float* floats() { return reinterpret_cast<float*>(memory.data()) + offset; }
    rtd::F16* halves() { return reinterpret_cast<rtd::F16*>(memory.data()) + offset; }
    void* data() { return isHalf ? static_cast<void*>(halves()) : floats(); }
    float at(size_t r, size_t i) { return isHalf ? rtd::toFloat(halves()[r * stride + i]) : floats()[r * stride + i]; }

    size_t columns, stride;
    bool isHalf;
    size_t offset;
    DeviceMemory memory;
};

// A transform as the kernel takes it.
class PaddedTransform {
  public:
    explicit PaddedTransform(const ThroughCase* given)
        : inputs_(given ? given->through.inputs : 0), isMatrix_(given && given->through.kind == RTD_TRANSFORM_MATRIX) {
        if (!given) return;
        mean_ = padded(given->through.mean);
        weights_ = padded(given->through.weights);
    }
    // The queries that were set go through it.
    void setTransform(SearchFuseArgs& a, uint32_t imageStride) const {
        a.transform = {mean_.data(), weights_.data(), inputs_, isMatrix_};
        a.given = a.queries;
        a.givenStride = a.queryStride;
        a.givenAreHalf = a.queriesAreHalf;
        a.queries = a.workspace.images;
        a.queryStride = imageStride;
        a.queriesAreHalf = 0;
        a.queriesAreAligned = a.headDim % 4 == 0;
    }

  private:
    std::vector<float> padded(const std::vector<float>& rows) const {
        const uint32_t stride = alignedStride(inputs_);
        std::vector<float> apart(rows.size() / inputs_ * stride);
        for (size_t r = 0; r < rows.size() / inputs_; ++r) std::copy_n(&rows[r * inputs_], inputs_, &apart[r * stride]);
        return apart;
    }
    uint32_t inputs_;
    bool isMatrix_;
    std::vector<float> mean_, weights_;
};

struct Options {
    std::vector<RowOptions> rows;
    std::vector<uint32_t> namespaces, seeds;
};

Options optionsOf(const Case& c, size_t begin, size_t n) {
    Options o;
    o.namespaces.assign(n * kMaxNamespaces, 0);
    for (size_t b = 0; b < n; ++b) {
        const rtd_row_options& given = c.rows[begin + b];
        const bool isSkipped = given.flags & RTD_ROW_SKIP;
        RowOptions row = {given.k,
                          given.flags & RTD_ROW_MAX_DISTANCE ? given.max_distance : INFINITY,
                          given.reference_weight,
                          given.temperature,
                          (given.flags & RTD_ROW_UNMASK) != 0,
                          given.namespaces ? given.namespace_count : kAnyNamespace,
                          0};
        if (isSkipped) row.k = 0, row.weight = 0;
        if (given.namespaces) {
            std::copy_n(given.namespaces, given.namespace_count, &o.namespaces[b * kMaxNamespaces]);
            std::sort(&o.namespaces[b * kMaxNamespaces], &o.namespaces[b * kMaxNamespaces] + given.namespace_count);
        }
        o.rows.push_back(row);
    }
    return o;
}

// Up to `room` a row.
void addSeeds(Options& o, const Case& c, Seeds seeds, size_t begin, uint32_t room) {
    std::mt19937_64 random(begin + c.shape.entries);
    const Answer want = seeds == Seeds::near ? expected(c, RTD_F32) : Answer{};
    o.seeds.assign(o.rows.size() * room, RTD_NO_ID);
    for (size_t b = 0; b < o.rows.size(); ++b) {
        std::set<uint32_t> ids;
        const size_t rows = size_t{c.shape.heads} * c.shape.k;
        if (seeds == Seeds::near)
            for (size_t i = (begin + b) * rows; i < (begin + b + 1) * rows; ++i) ids.insert({want.ids[i], want.ids[i] + 1});
        else
            for (uint32_t i = 0; i < room; ++i) ids.insert(static_cast<uint32_t>(random() % (c.shape.entries + 3)));
        for (const uint32_t id : ids)
            if (o.rows[b].seeds < room) o.seeds[b * room + o.rows[b].seeds++] = id;
    }
}

void checkZero(DeviceMemory& workspace, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i)
        if (workspace.data()[i] != 0) throw test::Failure("byte " + std::to_string(i) + " of the workspace's state is not zero after a launch");
}

// The host's memory as a device that only keeps things.
class HostDevice : public rtd::gpu::Device {
  public:
    std::unique_ptr<rtd::gpu::Device> onStream(void*) const override { return std::make_unique<HostDevice>(); }
    const char* name() const override { return "the host's memory"; }
    KernelTable kernels() const override { return {nullptr, 0}; }
    void* allocate(size_t bytes, const char*) override { return std::aligned_alloc(256, (bytes + 255) / 256 * 256); }
    void release(void* memory) noexcept override { std::free(memory); }
    bool reaches(const void*) const override { return true; }
    void zero(void* to, size_t bytes) override { std::memset(to, 0, bytes); }
    void upload(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
    void download(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
    void copy(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
    unsigned blocks(const KernelEntry&, size_t) override { return 1; }
    void launch(const KernelEntry&, unsigned, size_t, const SearchFuseArgs&) override {}
    void synchronize() override {}
};

// Cascades of two stretches of a case's entries, with a gap between them and a tail.
struct CaseCascades {
    explicit CaseCascades(const Case& c)
        : config{c.shape.dim, static_cast<rtd::Metric>(c.shape.metric), static_cast<rtd::Dtype>(c.shape.dtype), c.shape.heads},
          mirror(device, config) {
        config.cascade = rtd::CascadeUse::always;
        rtd::Snapshot snapshot;
        snapshot.entries = c.shape.entries;
        const uint32_t n = c.shape.entries, half = n / 2;
        if (n > 0) snapshot.cascades.push_back(build(c, 0, n < 16 ? n : half));
        if (n >= 16) snapshot.cascades.push_back(build(c, half + 3, n - half - 3 - n / 8));
        view = mirror.show(snapshot);
    }

    HostDevice device;
    rtd::IndexConfig config;
    rtd::gpu::CascadeMirror mirror;
    rtd::gpu::CascadeView view;

  private:
    std::shared_ptr<const rtd::cascade::Cascade> build(const Case& c, uint32_t first, uint32_t count) const {
        auto made = std::make_shared<rtd::cascade::Cascade>();
        made->first = first;
        made->count = count;
        const uint32_t dims = config.dim / config.heads;
        made->shape = rtd::cascade::LevelShape::of(dims, config.metric);
        constexpr uint32_t kRowBytes2b = 256;  // where there may be a level 2b
        const std::optional<uint32_t> rowBytes2b = made->shape.admits2b(kRowBytes2b) ? kRowBytes2b : 0;
        rtd::WorkerPool workers;
        for (uint32_t head = 0; head < config.heads; ++head) {
            const auto read = [&](uint32_t begin, uint32_t n, float* to, size_t stride) {
                for (uint32_t i = 0; i < n; ++i)
                    std::copy_n(&c.data.keys[size_t{first + begin + i} * config.dim + head * dims], dims, to + i * stride);
            };
            made->heads.emplace_back().levels =
                rtd::cascade::buildLevels({config.metric, dims, count, rowBytes2b}, read, rtd::cpu::chooseInstructionSet(), workers, 1, {});
        }
        return made;
    }
};

template <class C>
Answer runAs(const Case& c, const KernelWay& way, KernelCost& cost) {
    const Shape& s = c.shape;
    const uint32_t headDim = s.dim / s.heads;
    const KeyLayout layout = KeyLayout::of(s.heads, headDim, sizeof(typename C::Key));
    DeviceMemory keys(layout.bytes(s.entries));
    packKeys<typename C::Key>(c, layout, keys.data());
    std::vector<uint32_t> removed((s.entries + 31) / 32);
    bool isAnyRemoved = false;
    for (uint32_t id = 0; id < s.entries; ++id)
        if (c.data.removed[id]) removed[id / 32] |= 1u << id % 32, isAnyRemoved = true;

    const size_t rows = size_t{s.batch} * s.heads;
    Answer answer;
    answer.ids.assign(rows * s.k, 7);
    answer.distances.assign(rows * s.k, -7);
    answer.tokens.assign(rows * s.k, 7);
    answer.counts.assign(rows, 7);
    std::vector<uint32_t> statuses(s.batch, 7);
    // Laid out for the largest batch and more hits and logits than this call has: the layout must not depend on the call.
    WorkspaceLayout workspaceLayout = WorkspaceLayout::of(std::min(s.batch, kMaxBatch) + 1, s.heads, s.k, s.vocabulary + 3000, way.smallestPool);
    const std::unique_ptr<CaseCascades> cascades = way.sifting == Sifting::none ? nullptr : std::make_unique<CaseCascades>(c);
    if (cascades) {
        workspaceLayout.segments = static_cast<uint32_t>(cascades->view.segments.size()) + 1;
        workspaceLayout.pieces3 = cascades->view.layout.pieces3();
    }
    if (way.through) workspaceLayout.imageStride = alignedStride(s.dim);
    const PaddedTransform transform(way.through);
    DeviceMemory workspace(workspaceLayout.bytes(), 0xd7);
    std::memset(workspace.data(), 0, workspaceLayout.stateBytes());

    for (uint32_t begin = 0; begin < s.batch; begin += kMaxBatch) {
        const uint32_t batch = std::min(kMaxBatch, s.batch - begin);
        Options options = optionsOf(c, begin, batch);
        const uint32_t hitRoom = std::max(32u, std::bit_ceil(s.k));
        if (way.seeds != Seeds::none) addSeeds(options, c, way.seeds, begin, hitRoom);
        for (uint32_t launch = 0; launch < way.launches; ++launch) {
            const Case& given = way.through ? way.through->given : c;
            Matrix queries(given.queries, begin, batch, given.shape.dim, way.queriesAreHalf, way.isPadded);
            Matrix logits(c.logits, begin, batch, s.vocabulary, way.logitsDtype == RTD_F16, way.isPadded);
            SearchFuseArgs a{};
            a.workspace = workspaceLayout.at(workspace.data());
            a.keys = keys.data();
            a.tokens = c.data.tokens.data();
            a.namespaces = c.data.namespaces.data();
            a.removed = isAnyRemoved ? removed.data() : nullptr;
            a.layout = layout;
            a.entries = s.entries;
            a.headDim = headDim;
            a.runs[0] = {0, s.entries};
            a.runCount = 1;
            if (cascades) {
                rtd::gpu::CascadeMirror::setCascades(cascades->view, a);
                a.cascade.shareKeys = way.shareKeys;
                for (const CascadeSegment& segment : cascades->view.segments) a.cascade.shares += ceilDiv(segment.count, way.shareKeys);
                a.cascade.usesTensors = way.sifting == Sifting::tensors && C::kColumns > 1 && a.cascade.layout.hasLevel3;
                a.cascade.giveUpPercent = way.giveUpPercent;
            }
            a.isRoot = s.metric == RTD_L2;
            a.queries = queries.data();
            a.queryStride = queries.stride;
            a.batch = batch;
            a.queriesAreHalf = way.queriesAreHalf;
            a.queriesAreAligned = !way.queriesAreHalf && !way.isPadded && headDim % 4 == 0;
            if (way.through) transform.setTransform(a, workspaceLayout.imageStride);
            a.rows = options.rows.data();
            a.rowNamespaces = options.namespaces.data();
            a.logits = logits.data();
            a.logitStride = logits.stride;
            a.vocabulary = s.vocabulary;
            a.logitsAreHalf = logits.isHalf;
            a.ids = &answer.ids[begin * s.heads * s.k];
            a.distances = &answer.distances[begin * s.heads * s.k];
            a.hitTokens = &answer.tokens[begin * s.heads * s.k];
            a.counts = &answer.counts[begin * s.heads];
            a.capacity = s.k;
            a.statuses = &statuses[begin];
            a.hitRoom = hitRoom;
            a.seeds = way.seeds == Seeds::none ? nullptr : options.seeds.data();
            a.seedStride = hitRoom;
            a.tilesPerTicket = way.tilesPerTicket;
            a.mergeParts = way.mergeParts;
            a.splitAbove = way.splitAbove;

            const rtd::emulation::Counters before = device.count;
            rtd::emulation::Launch emulated = {way.grid, C::kThreads, way.resident, sharedBytes<C>(a.hitRoom), way.seed * 31 + launch};
            emulated.isAudited = way.isAudited;
            emulated.watched = keys.data();
            emulated.watchedBytes = keys.size();
            emulated.scratch = workspace.data() + workspaceLayout.stateBytes();
            emulated.scratchBytes = workspace.size() - workspaceLayout.stateBytes();
            emulated.isShadowed = way.isShadowed;
            const std::string failure = device.launch(emulated, [&] { searchFuse<C>(a); });
            if (!failure.empty()) throw test::Failure(failure);
            checkZero(workspace, workspaceLayout.stateBytes());
            const auto* pools = reinterpret_cast<const uint64_t*>(a.workspace.pools);
            cost.pooled += static_cast<uint64_t>(std::count_if(pools, pools + size_t{workspaceLayout.rows} * workspaceLayout.poolCapacity,
                                                               [](uint64_t entry) { return entry != 0xd7d7d7d7d7d7d7d7u; }));
            std::memset(workspace.data() + workspaceLayout.stateBytes(), 0xd7, workspace.size() - workspaceLayout.stateBytes());
            cost.firstTouches += device.count.firstTouches - before.firstTouches;
            cost.furtherTouches += device.count.furtherTouches - before.furtherTouches;
            cost.bankConflicts += device.count.bankConflicts - before.bankConflicts;
            cost.uncoalesced += device.count.uncoalesced - before.uncoalesced;
            cost.scalarLoads += device.count.scalarLoads - before.scalarLoads;
            cost.uncoalescedScalars += device.count.uncoalescedScalars - before.uncoalescedScalars;
            cost.checked += device.count.checked - before.checked;
            cost.gathered += device.count.gathered - before.gathered;
            cost.audited += device.count.audited - before.audited;
            cost.neededBytes += size_t{s.entries} * s.heads * layout.headBytes;
            if (launch + 1 == way.launches)
                for (size_t b = 0; b < batch; ++b)
                    for (size_t v = 0; v < s.vocabulary; ++v) answer.logits.push_back(logits.at(b, v));
        }
    }
    for (const uint32_t status : statuses) answer.statuses.push_back(static_cast<rtd_row_status>(status));
    return answer;
}

template <typename Key, bool isDot, size_t... at>
Answer runConfig(const Case& c, const KernelWay& way, KernelCost& cost, std::index_sequence<at...>) {
    Answer answer;
    ((way.config == at
          ? void(answer = runAs<Config<Key, isDot, kKernelConfigs[at].queries, kKernelConfigs[at].warps, kKernelConfigs[at].stages>>(c, way, cost))
          : void()),
     ...);
    return answer;
}

template <typename Key>
Answer runMetric(const Case& c, const KernelWay& way, KernelCost& cost) {
    constexpr std::make_index_sequence<kKernelConfigCount> all;
    return c.shape.metric == RTD_DOT ? runConfig<Key, true>(c, way, cost, all) : runConfig<Key, false>(c, way, cost, all);
}

}  // namespace

std::string KernelConfig::text() const {
    return std::to_string(queries) + (queries == 1 ? " query, " : " queries, ") + std::to_string(warps) + " warps, " + std::to_string(stages) +
           " stages";
}

std::string KernelWay::text() const {
    return kKernelConfigs[config].text() + ", seed " + std::to_string(seed) + ", grid " + std::to_string(grid) + "/" + std::to_string(resident) +
           ", pool " + std::to_string(smallestPool) + ", " + std::to_string(tilesPerTicket) + " tiles a ticket, merges above " +
           std::to_string(splitAbove) + " in " + std::to_string(mergeParts) + (logitsDtype == RTD_F16 ? ", float16 logits" : "") +
           (through ? ", through a transform" : "") + (queriesAreHalf ? ", float16 queries" : "") + (isPadded ? ", padded" : "") +
           (sifting == Sifting::none     ? ""
            : sifting == Sifting::levels ? ", sifted by levels in shares of " + std::to_string(shareKeys)
                                         : ", sifted by tensor cores in shares of " + std::to_string(shareKeys)) +
           (seeds == Seeds::near     ? ", the nearest as seeds"
            : seeds == Seeds::random ? ", random seeds"
                                     : "");
}

Answer runKernel(const Case& c, const KernelWay& way, KernelCost* cost) {
    KernelCost own;
    KernelCost& total = cost ? *cost : own;
    return c.shape.dtype == RTD_F32   ? runMetric<float>(c, way, total)
           : c.shape.dtype == RTD_F16 ? runMetric<Half>(c, way, total)
                                      : runMetric<Brain>(c, way, total);
}
