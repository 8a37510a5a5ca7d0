#include "store/cascade_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/status.h"
#include "store/files.h"
#include "store/safetensors.h"

namespace rtd::store {
namespace {

using cascade::Levels, cascade::LevelScales, cascade::LevelShape;

// Larger elements follow smaller ones up to the levels, whose sizes are multiples of 64, and the last tensor begins at a multiple of 64: so each
// begins at a multiple of its elements' size.
enum Column { kBasis, kMean, kOutlierCount, kOutliers, kScales, kLevel1, kLevel2, kLevel2b, kLevel3 };

constexpr uint64_t kScaleCount = 7;

struct Layout {
    LevelShape shape;
    uint64_t heads, count;

    uint64_t level1Bytes() const { return LevelShape::blocksOf(static_cast<uint32_t>(count)) * shape.blockBytes(); }
    uint64_t level2Bytes() const { return shape.directions2 ? count * cascade::kRowBytes2 : 64; }  // no tensor is empty
    uint64_t level2bBytes() const { return shape.rowBytes2b ? count * shape.rowBytes2b : 64; }
    uint64_t level3Bytes() const { return count * shape.rowBytes3() + cascade::kReadBeyond; }

    // The tensors; a file may list as many outliers as it says.
    std::vector<TensorSpec> tensors(uint64_t outliers) const {
        return {{"basis", "F16", 2, heads, uint64_t{shape.directions()} * shape.length},
                {"mean", "F32", 4, heads, shape.length},
                {"outlier_count", "U32", 4, heads, 0},
                {"outliers", "U32", 4, outliers + 1, 0},
                {"scales", "F64", 8, heads, kScaleCount},
                {"level1", "U8", 1, heads, level1Bytes()},
                {"level2", "U8", 1, heads, level2Bytes()},
                {"level2b", "U8", 1, heads, level2bBytes()},
                {"level3", "U8", 1, heads, level3Bytes()}};
    }
};

Layout layoutOf(const DerivedFacts& facts, const Manifest& manifest) {
    const LevelShape shape = LevelShape::of(manifest.searchedDim() / manifest.heads, manifest.metric, facts.rowBytes2b);
    if (shape.rowBytes2b && !(shape.directions2 && shape.admits2b(shape.rowBytes2b)))
        fail(RTD_BAD_FORMAT, "rows of level 2b have %u bytes", shape.rowBytes2b);
    return {shape, manifest.heads, facts.entries};
}

std::array<double, kScaleCount> toNumbers(const LevelScales& s) {
    return {s.shrink, s.step1, s.residual1, s.residual2, s.residual2b, s.error1, s.largestKey};
}

// A head without a bound has NaN for scales.
bool isBounded(const double* scales) { return !std::isnan(scales[0]); }

LevelScales fromNumbers(const double* n) {
    for (uint64_t i = 0; i < kScaleCount; ++i)
        if (!std::isfinite(n[i]) || n[i] < 0) fail(RTD_BAD_FORMAT, "scale %llu is %g", static_cast<unsigned long long>(i), n[i]);
    if (!(n[1] > 0)) fail(RTD_BAD_FORMAT, "a step is 0");
    return {n[0], n[1], n[2], n[3], n[4], n[5], n[6]};
}

// The outliers in all, from the length of the file: they are the only thing in it whose size does not follow from the manifest.
uint64_t outliersIn(const DerivedFacts& facts, const Layout& layout, InputFile& file) {
    uint64_t headerBytes = 0;
    if (file.size() < sizeof headerBytes) fail(RTD_BAD_FORMAT, "%llu bytes, too short for a header", static_cast<unsigned long long>(file.size()));
    file.read(0, &headerBytes, sizeof headerBytes);
    uint64_t others = sizeof headerBytes;
    for (const TensorSpec& tensor : layout.tensors(0)) others += tensor.bytes();
    if (headerBytes > file.size() || file.size() - headerBytes < others || (file.size() - headerBytes - others) % 4 != 0 ||
        (file.size() - headerBytes - others) / 4 > facts.entries * layout.heads)
        fail(RTD_BAD_FORMAT, "%llu bytes do not hold a cascade of %llu entries", static_cast<unsigned long long>(file.size()),
             static_cast<unsigned long long>(facts.entries));
    return (file.size() - headerBytes - others) / 4;
}

// Queries are projected with these numbers, and what comes out is rounded to integers.
void checkDirections(const Levels& levels) {
    bool isFinite = true;
    for (uint32_t i = 0; i < levels.shape.length; ++i) isFinite &= std::isfinite(levels.mean[i]);
    for (size_t i = 0; i < size_t{levels.shape.directions()} * levels.shape.length; ++i) isFinite &= (levels.basis[i].bits & 0x7c00u) != 0x7c00u;
    if (!isFinite) fail(RTD_BAD_FORMAT, "its mean or its directions are not finite");
}

}  // namespace

DerivedFacts writeCascade(Directory& directory, const std::string& name, const cascade::Cascade& cascade, const Call& call) {
    const Layout layout = {cascade.shape, cascade.heads.size(), cascade.count};
    uint64_t outliers = 0;
    for (const cascade::Head& head : cascade.heads) outliers += head.levels ? head.levels->outlierCount : 0;

    const FileFacts written = writeDurably(directory, name, call, [&](ChecksummedFile& file) {
        const std::vector<TensorSpec> tensors = layout.tensors(outliers);
        const std::string header = writeSafetensorsHeader(tensors);
        file.write(header.data(), header.size());
        const auto each = [&](Column column, const auto& dataOf) {
            for (const cascade::Head& head : cascade.heads) {
                const uint64_t bytes = tensors[column].bytes() / layout.heads;
                const void* data = head.levels ? dataOf(*head.levels) : nullptr;
                if (data)
                    file.write(data, static_cast<size_t>(bytes));
                else
                    file.writeZeros(bytes);
            }
        };
        each(kBasis, [](const Levels& levels) { return levels.basis; });
        each(kMean, [](const Levels& levels) { return levels.mean; });
        each(kOutlierCount, [](const Levels& levels) { return &levels.outlierCount; });
        for (const cascade::Head& head : cascade.heads)
            if (head.levels && head.levels->outlierCount) file.write(head.levels->outliers, head.levels->outlierCount * sizeof(uint32_t));
        file.writeZeros(sizeof(uint32_t));
        for (const cascade::Head& head : cascade.heads) {
            std::array<double, kScaleCount> scales;
            scales.fill(std::nan(""));
            if (head.levels) scales = toNumbers(head.levels->scales);
            file.write(scales.data(), sizeof scales);
        }
        each(kLevel1, [](const Levels& levels) { return levels.level1; });
        each(kLevel2, [](const Levels& levels) { return levels.level2; });
        each(kLevel2b, [](const Levels& levels) { return levels.level2b; });
        each(kLevel3, [](const Levels& levels) { return levels.level3; });
    });
    DerivedFacts facts;
    static_cast<FileFacts&>(facts) = written;
    facts.entries = cascade.count;
    facts.first = cascade.first;
    facts.rowBytes2b = cascade.shape.rowBytes2b;
    return facts;
}

std::shared_ptr<const cascade::Cascade> openCascade(Directory& directory, const DerivedFacts& facts, const Manifest& manifest, bool readThrough) {
    return naming(directory, facts.name, [&] {
        const Layout layout = layoutOf(facts, manifest);
        const auto file = openChecked(directory, facts);
        const auto offsets = readSafetensorsHeader(*file, layout.tensors(outliersIn(facts, layout, *file)));
        if (readThrough) rtd::store::readThrough(*file, facts, {}, [](const unsigned char*, uint64_t, size_t) {});

        const std::shared_ptr<const Mapping> mapping = file->map();
        const auto at = [&](Column column, uint64_t bytes) { return mapping->data() + offsets[column] + bytes; };
        auto cascade = std::make_shared<cascade::Cascade>();
        cascade->first = static_cast<uint32_t>(facts.first);
        cascade->count = static_cast<uint32_t>(facts.entries);
        cascade->shape = layout.shape;
        cascade->isMapped = true;
        const std::vector<TensorSpec> tensors = layout.tensors(0);
        uint64_t listed = 0;
        for (uint64_t h = 0; h < layout.heads; ++h) {
            const auto ofHead = [&](Column column) { return at(column, h * (tensors[column].bytes() / layout.heads)); };
            cascade::Head& head = cascade->heads.emplace_back();
            double scales[kScaleCount];
            std::memcpy(scales, ofHead(kScales), sizeof scales);
            if (!isBounded(scales)) continue;
            auto levels = std::make_unique<Levels>();
            levels->shape = layout.shape;
            levels->scales = fromNumbers(scales);
            levels->count = cascade->count;
            levels->mean = reinterpret_cast<const float*>(ofHead(kMean));
            levels->basis = reinterpret_cast<const F16*>(ofHead(kBasis));
            checkDirections(*levels);
            levels->level1 = ofHead(kLevel1);
            levels->level2 = layout.shape.directions2 ? ofHead(kLevel2) : nullptr;
            levels->level2b = layout.shape.rowBytes2b ? ofHead(kLevel2b) : nullptr;
            levels->level3 = layout.shape.hasLevel3 ? ofHead(kLevel3) : nullptr;
            // A copy of what is used as places: what is checked here stays what is used, whatever becomes of the file.
            uint32_t count;
            std::memcpy(&count, ofHead(kOutlierCount), sizeof count);
            const uint64_t room = (offsets[kScales] - offsets[kOutliers]) / 4;
            if (count >= room || listed > room - 1 - count) fail(RTD_BAD_FORMAT, "more outliers than it has room for");
            const auto outliers = std::make_shared<std::vector<uint32_t>>(count);
            if (count) std::memcpy(outliers->data(), at(kOutliers, 4 * listed), size_t{4} * count);
            listed += count;
            for (size_t i = 0; i < count; ++i)
                if ((*outliers)[i] >= cascade->count || (i && (*outliers)[i] <= (*outliers)[i - 1]))
                    fail(RTD_BAD_FORMAT, "its outliers do not ascend below %u", cascade->count);
            levels->outliers = outliers->data();
            levels->outlierCount = count;
            using Owner = std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>;
            levels->owner = std::make_shared<const Owner>(mapping, outliers);
            head.levels = std::move(levels);
        }
        return std::shared_ptr<const cascade::Cascade>(std::move(cascade));
    });
}

void verifyCascade(Directory& directory, const DerivedFacts& facts, const Manifest& manifest, const Call& call) {
    naming(directory, facts.name, [&] {
        const Layout layout = layoutOf(facts, manifest);
        const auto file = openChecked(directory, facts);
        readSafetensorsHeader(*file, layout.tensors(outliersIn(facts, layout, *file)));
        readThrough(*file, facts, call, [](const unsigned char*, uint64_t, size_t) {});
    });
}

}  // namespace rtd::store
