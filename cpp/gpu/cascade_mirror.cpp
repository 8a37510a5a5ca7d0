#include "gpu/cascade_mirror.h"

#include <algorithm>
#include <cstring>

#include "core/status.h"

namespace rtd::gpu {
namespace {

using cascade::Levels;
using cuda::kLevelKeys;

constexpr size_t kStagingBytes = size_t{8} << 20;
constexpr auto kZero = static_cast<std::byte>(cascade::kZeroCode);

static_assert(cuda::kRowBytes2 == cascade::kRowBytes2 && sizeof(cascade::Tail2) == cuda::kUnitCodes && kLevelKeys == cpu::kBlockKeys);
static_assert(offsetof(cascade::Tail2, step) == 0 && offsetof(cascade::Tail2, norm) == 4 && offsetof(cascade::Tail2, error) == 8 &&
              offsetof(cascade::Tail2, residual1) == 12);
static_assert(sizeof(cascade::Tail2b) == cuda::kUnitCodes && offsetof(cascade::Tail2b, step) == 0 && offsetof(cascade::Tail2b, norm) == 4 &&
              offsetof(cascade::Tail2b, error) == 8);
static_assert(std::ranges::max(cascade::kRowsBytes2b) == cuda::kMaxRowBytes2b);
static_assert(sizeof(cascade::Tail3) == cuda::kTailBytes3);

size_t roundUp(size_t n) { return (n + 255) / 256 * 256; }

// Where the levels of a head lie in one stretch of memory.
struct Places {
    Places(const cuda::LevelLayout& layout, const Levels& levels) {
        const auto place = [this](size_t bytes) {
            const size_t at = total;
            total += roundUp(bytes);
            return at;
        };
        const size_t blocks = cascade::LevelShape::blocksOf(levels.count);
        level1 = place(blocks * layout.blockBytes1());
        level2 = place(levels.shape.directions2 ? size_t{levels.count} * cascade::kRowBytes2 : 0);
        level2b = place(size_t{levels.count} * levels.shape.rowBytes2b);
        level3 = place(layout.hasLevel3 ? blocks * layout.tileBytes3() : 0);
        basis = place(size_t{levels.shape.directions()} * layout.basisStride() * sizeof(F16));
        mean = place(layout.basisStride() * sizeof(float));
    }
    size_t level1, level2, level2b, level3, basis, mean, total = 0;
};

// One block of level 1: codes by four become codes by sixteen; outliers are marked.
void interleave1(const cuda::LevelLayout& layout, const Levels& levels, size_t block, std::byte* to) {
    const uint32_t groups = levels.shape.groups(), codeBytes = layout.units1() * kLevelKeys * cuda::kUnitCodes;
    const uint8_t* from = levels.level1 + block * levels.shape.blockBytes();
    std::fill_n(to, codeBytes, kZero);
    for (uint32_t group = 0; group < groups; ++group)
        for (uint32_t key = 0; key < kLevelKeys; ++key)
            std::memcpy(to + (group / 4 * kLevelKeys + key) * cuda::kUnitCodes + group % 4 * 4, from + (group * kLevelKeys + key) * 4, 4);
    std::memcpy(to + codeBytes, from + size_t{groups} * kLevelKeys * 4, kLevelKeys * cuda::kNormBytes1);
    const uint32_t first = static_cast<uint32_t>(block) * kLevelKeys;
    const uint32_t* end = levels.outliers + levels.outlierCount;
    for (const uint32_t* outlier = std::lower_bound(levels.outliers, end, first); outlier < end && *outlier - first < kLevelKeys; ++outlier)
        std::memcpy(to + codeBytes + (*outlier - first) * cuda::kNormBytes1, &cuda::kOutlierNorm, cuda::kNormBytes1);
}

// One tile of level 3: rows become pieces, and their ends three lists.
void interleave3(const cuda::LevelLayout& layout, const Levels& levels, size_t tile, std::byte* to) {
    const uint32_t length = levels.shape.length, first = static_cast<uint32_t>(tile) * kLevelKeys;
    std::fill_n(to, layout.codeBytes3(), kZero);
    std::byte* tails = to + layout.codeBytes3();
    std::fill_n(tails, kLevelKeys * cuda::kTailBytes3, std::byte{0});
    for (uint32_t key = 0; key < std::min(kLevelKeys, levels.count - first); ++key) {
        const uint8_t* row = levels.level3 + size_t{first + key} * levels.shape.rowBytes3();
        for (uint32_t piece = 0; piece < layout.pieces3(); ++piece) {
            const uint32_t at = piece * cuda::kPieceCodes;
            std::memcpy(to + (piece * kLevelKeys + key) * cuda::kPieceCodes, row + at, std::min(cuda::kPieceCodes, length - at));
        }
        cascade::Tail3 tail;
        std::memcpy(&tail, row + levels.shape.tail3(), sizeof tail);
        std::memcpy(tails + 4 * key, &tail.step, 4);
        std::memcpy(tails + 4 * (kLevelKeys + key), &tail.norm, 4);
        std::memcpy(tails + 4 * (2 * kLevelKeys + key), &tail.error, 4);
    }
}

cuda::LevelLayout layoutFor(const IndexConfig& config) {
    const auto shape = cascade::LevelShape::of(config.dim / config.heads, config.metric);
    return {shape.length, shape.directions1, 0, shape.hasLevel3};
}

}  // namespace

CascadeMirror::CascadeMirror(Device& device, const IndexConfig& config) : device_(device), config_(config), layout_(layoutFor(config)) {}

void CascadeMirror::upload(const Levels& levels, std::byte* to, cuda::CascadeLevels& made) {
    const Places places(layout_, levels);
    const size_t blocks = cascade::LevelShape::blocksOf(levels.count);
    const auto inSteps = [&](std::byte* first, size_t bytes, auto&& write) {
        const size_t step = std::max<size_t>(1, kStagingBytes / bytes);
        for (size_t begin = 0; begin < blocks; begin += step) {
            const size_t count = std::min(step, blocks - begin);
            staging_.resize(count * bytes);
            for (size_t i = 0; i < count; ++i) write(begin + i, staging_.data() + i * bytes);
            device_.upload(first + begin * bytes, staging_.data(), staging_.size());
        }
    };
    inSteps(to + places.level1, layout_.blockBytes1(), [&](size_t block, std::byte* at) { interleave1(layout_, levels, block, at); });
    if (layout_.hasLevel3)
        inSteps(to + places.level3, layout_.tileBytes3(), [&](size_t tile, std::byte* at) { interleave3(layout_, levels, tile, at); });

    const cascade::LevelShape& shape = levels.shape;
    const auto padded = [&](const auto* rows, size_t count, size_t place) {
        const size_t stride = layout_.basisStride(), bytes = sizeof *rows;
        staging_.assign(count * stride * bytes, std::byte{0});
        for (size_t i = 0; i < count; ++i) std::memcpy(staging_.data() + i * stride * bytes, rows + i * shape.length, shape.length * bytes);
        device_.upload(to + place, staging_.data(), staging_.size());
    };
    padded(levels.basis, shape.directions(), places.basis);
    padded(levels.mean, 1, places.mean);
    const auto at = [&](size_t place) { return reinterpret_cast<const uint8_t*>(to + place); };
    made.level1 = at(places.level1);
    made.level3 = at(places.level3);
    made.basis = reinterpret_cast<const uint16_t*>(to + places.basis);
    made.mean = reinterpret_cast<const float*>(to + places.mean);
    const auto addMiddle = [&](const uint8_t* rows, uint32_t rowBytes, uint32_t directions, double residual, size_t place) {
        if (directions == 0) return;
        device_.upload(to + place, rows, size_t{levels.count} * rowBytes);
        made.middles[made.middleCount++] = {at(place), rowBytes, directions, residual};
    };
    addMiddle(levels.level2, cascade::kRowBytes2, shape.directions2, levels.scales.residual2, places.level2);
    addMiddle(levels.level2b, shape.rowBytes2b, shape.directions2b(), levels.scales.residual2b, places.level2b);
    made.directions = shape.directions();
    made.shrink = levels.scales.shrink;
    made.step1 = levels.scales.step1;
    made.residual1 = levels.scales.residual1;
    made.error1 = levels.scales.error1;
    made.largestKey = levels.scales.largestKey;
}

CascadeMirror::Mirrored CascadeMirror::mirror(const std::shared_ptr<const cascade::Cascade>& cascade) {
    Mirrored made = {cascade, nullptr, {}};
    size_t bytes = 0;
    for (const cascade::Head& head : cascade->heads) {
        if (!head.levels) return made;
        bytes += Places(layout_, *head.levels).total;
    }
    const auto buffer = std::make_shared<Buffer>(device_, "the levels of a cascade on the device");
    try {
        buffer->need(bytes);
    } catch (const Error& error) {
        if (error.status != RTD_OUT_OF_MEMORY || config_.cascade == CascadeUse::always) throw;
        return made;
    }
    std::byte* to = buffer->data<std::byte>();
    for (const cascade::Head& head : cascade->heads) {
        upload(*head.levels, to, made.heads.emplace_back());
        to += Places(layout_, *head.levels).total;
    }
    device_.synchronize();  // launches on other streams may follow
    made.buffer = buffer;
    return made;
}

CascadeView CascadeMirror::show(const Snapshot& snapshot) {
    std::vector<Mirrored> now;
    for (const auto& cascade : snapshot.cascades) {
        const auto known = std::find_if(mirrored_.begin(), mirrored_.end(), [&](const Mirrored& m) { return m.cascade == cascade; });
        now.push_back(known != mirrored_.end() ? *known : mirror(cascade));
    }
    mirrored_ = std::move(now);

    CascadeView view;
    view.layout = layout_;
    std::vector<cuda::CascadeLevels> levels;
    std::vector<const Buffer*> listed;
    uint32_t covered = 0;
    for (const Mirrored& mirrored : mirrored_) {
        const bool isBehindGap = covered < mirrored.cascade->first;
        if (!mirrored.buffer || view.runs.size() + isBehindGap == cuda::kMaxRuns) continue;  // one more run is left for the end
        if (isBehindGap) view.runs.push_back({covered, mirrored.cascade->first});
        covered = mirrored.cascade->first + mirrored.cascade->count;
        view.segments.push_back({mirrored.cascade->first, mirrored.cascade->count});
        view.levels.push_back(mirrored.buffer);
        listed.push_back(mirrored.buffer.get());
        levels.insert(levels.end(), mirrored.heads.begin(), mirrored.heads.end());
        for (const cuda::CascadeLevels& head : mirrored.heads) view.layout.directions = std::max(view.layout.directions, head.directions);
    }
    if (covered < snapshot.entries) view.runs.push_back({covered, snapshot.entries});
    if (listed != listed_) {
        directory_ = nullptr;
        if (!listed.empty()) {
            const size_t segmentBytes = roundUp(view.segments.size() * sizeof view.segments[0]), levelBytes = levels.size() * sizeof levels[0];
            const auto directory = std::make_shared<Buffer>(device_, "the list of cascades on the device");
            directory->need(segmentBytes + levelBytes);
            device_.upload(directory->data(), view.segments.data(), view.segments.size() * sizeof view.segments[0]);
            device_.upload(directory->data<std::byte>() + segmentBytes, levels.data(), levelBytes);
            device_.synchronize();
            directory_ = directory;
        }
        listed_ = std::move(listed);
    }
    view.directory = directory_;
    return view;
}

void CascadeMirror::setCascades(const CascadeView& view, cuda::SearchFuseArgs& args) {
    if (!view.directory) return;
    args.cascade.segments = view.directory->data<cuda::CascadeSegment>();
    args.cascade.levels =
        reinterpret_cast<const cuda::CascadeLevels*>(view.directory->data<std::byte>() + roundUp(view.segments.size() * sizeof view.segments[0]));
    args.cascade.layout = view.layout;
    args.cascade.segmentCount = static_cast<uint32_t>(view.segments.size());
    std::copy(view.runs.begin(), view.runs.end(), args.runs);
    args.runCount = static_cast<uint32_t>(view.runs.size());
}

}  // namespace rtd::gpu
