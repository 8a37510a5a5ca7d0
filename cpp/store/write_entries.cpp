// Entries on their way into a store, appended in memory and sealed into a segment, and out of it.
#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

#include "core/arguments.h"
#include "core/status.h"
#include "store/files.h"
#include "store/store.h"

namespace rtd::store {
namespace {

// The keys of a snapshot's entries from id `first` on.
std::vector<KeyRun> keyRuns(const Snapshot& snapshot, uint32_t first, size_t rowBytes) {
    std::vector<KeyRun> runs;
    for (const Part& part : *snapshot.parts) {
        const uint32_t filled = snapshot.filled(part), begin = first > part.first ? first - part.first : 0;
        if (begin < filled) runs.push_back({static_cast<const std::byte*>(part.keys) + begin * rowBytes, filled - begin});
    }
    return runs;
}

// Keys without gaps in the store's dtype. RTD_NOT_FINITE.
std::vector<std::byte> roundedKeys(const MatrixView& keys, Dtype dtype) {
    const size_t dim = keys.columns(), rowBytes = dim * bytesOf(dtype);
    std::vector<std::byte> rounded(checkedProduct(keys.rows(), rowBytes, "keys"));
    std::vector<float> row(dim);
    for (size_t r = 0; r < keys.rows(); ++r) {
        convertToFloat(keys.row(r), keys.dtype(), dim, row.data());
        if (const size_t at = firstNotFinite(row.data(), dim, dtype); at < dim)
            fail(RTD_NOT_FINITE, "key %zu holds %g at dimension %zu; keys must be finite as %s", r, static_cast<double>(row[at]), at, nameOf(dtype));
        convertFromFloat(row.data(), dim, dtype, &rounded[r * rowBytes]);
    }
    return rounded;
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

uint32_t Store::append(const rtd_matrix& keys, const int32_t* tokens, const uint32_t* namespaces, const uint32_t* examples,
                       const uint32_t* positions) {
    const std::lock_guard appending(appending_);
    requireWritable();
    // What the index would refuse must not first grow two columns.
    const MatrixView view(&keys, "keys");
    const IndexConfig& config = index_->config();
    view.needColumns(config.givenDim());
    if (const uint32_t entries = index_->snapshot().entries; keys.rows > RTD_NO_ID - entries) {
        fail(RTD_INVALID_ARGUMENT, "%zu entries do not fit: the store has %u and holds at most %u", keys.rows, entries, RTD_NO_ID);
    }
    // What a segment holds is what the index has to transform: keys rounded to the store's dtype.
    rtd_matrix rounded = keys;
    std::shared_ptr<PendingKeys> given;
    if (config.transform && keys.rows > 0) {
        given = std::make_shared<PendingKeys>(PendingKeys{roundedKeys(view, config.dtype), static_cast<uint32_t>(keys.rows)});
        rounded = {given->rows.data(), keys.rows, config.givenDim(), 0, static_cast<rtd_dtype>(config.dtype)};
    }
    const size_t pending = examples_.size(), pendingKeys = pendingKeys_.size();
    // The origins come first, so that whoever finds a new entry also finds where it came from.
    try {
        {
            const std::lock_guard state(state_);
            extend(examples_, examples, keys.rows);
            extend(positions_, positions, keys.rows);
            if (given) pendingKeys_.push_back(given);
        }
        return index_->add(rounded, tokens, namespaces);
    } catch (...) {
        const std::lock_guard state(state_);
        examples_.resize(pending);
        positions_.resize(pending);
        pendingKeys_.resize(pendingKeys);
        throw;
    }
}

void Store::seal(const Call& call) {
    const std::lock_guard writing(writing_);
    requireWritable();
    sealPending(call);
}

void Store::sealPending(const Call& call) {
    Snapshot snapshot;
    std::vector<uint32_t> examples, positions;
    std::vector<std::shared_ptr<const PendingKeys>> pendingKeys;
    {
        const std::lock_guard appending(appending_);
        snapshot = index_->endPart();
        examples = examples_;
        positions = positions_;
        pendingKeys = pendingKeys_;
    }
    const bool isTransformed = manifest_.transform.has_value();
    const uint32_t first = manifest_.entries(), end = snapshot.entries;
    const auto known = std::exchange(snapshot.cascades, index_->buildCascades(snapshot, end, call.part(0, 0.6)));
    const bool isDerived =
        snapshot.cascades == known && (!isTransformed || (manifest_.transformed.size() == segments_.size() && passedOver_.empty()));
    if (first == end && !staleTemperature_ && isDerived) return;

    const KeyShape shape{manifest_.dim, manifest_.dtype};
    Manifest next = manifest_;
    next.temperature = index_->computeTemperature(snapshot, call);
    call.progress.report(0.65);
    NewFiles newFiles(*directory_);
    std::vector<Segment> segments = segments_;
    if (first < end) {
        std::vector<KeyRun> runs;
        for (const auto& keys : pendingKeys) runs.push_back({keys->rows.data(), keys->count});
        if (!isTransformed) runs = keyRuns(snapshot, first, index_->config().rowBytes());
        const std::string& name = newFiles.add(segmentName(nextSegment_++));
        next.segments.push_back(writeSegment(*directory_, name, shape, {snapshot, first, runs, examples, positions}, call));
        segments.push_back(openSegment(*directory_, next.segments.back(), shape, false));
        segments.back().part.first = first;
        bool removed = false;
        for (uint32_t id = first; id < end; ++id) removed |= !snapshot.isLive(id);
        if (removed) next.removed = writeRemovedBelow(end, {}, newFiles);
    }
    std::vector<Segment> replacing;
    if (isTransformed)
        replacing = writeTransformedKeys(segments, *index_, next, newFiles, call.part(0.7, 0.85));
    else
        replacing.assign(segments.begin() + static_cast<ptrdiff_t>(segments_.size()), segments.end());
    call.progress.report(0.85);
    writeCascades(snapshot.cascades, known, next, newFiles, call);
    const float temperature = next.temperature;
    const Manifest sealed = next;
    commit(std::move(next), newFiles);

    // Durable; nothing may fail from here on.
    staleTemperature_ = false;
    passedOver_.clear();
    {
        const std::lock_guard appending(appending_);
        const std::lock_guard state(state_);
        segments_.swap(segments);
        examples_.erase(examples_.begin(), examples_.begin() + (end - first));
        positions_.erase(positions_.begin(), positions_.begin() + (end - first));
        pendingKeys_.erase(pendingKeys_.begin(), pendingKeys_.begin() + static_cast<ptrdiff_t>(pendingKeys.size()));
    }
    for (const Segment& segment : replacing) {
        try {
            index_->replaceParts(segment.part);
        } catch (const std::bad_alloc&) {  // the entries stay in memory, which is as good
        }
    }
    mapCascades(snapshot.cascades, known, sealed);
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

}  // namespace rtd::store
