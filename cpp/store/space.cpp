// What a store derives from its entries, the cascades and the keys that are searched; and how it changes the space they are searched in.
#include <algorithm>
#include <utility>

#include "core/status.h"
#include "store/cascade_file.h"
#include "store/files.h"
#include "store/store.h"
#include "store/transform_file.h"

namespace rtd::store {
namespace {

// The entries matter more than what is derived from them: where there is room for them alone, memory serves instead of the file that body writes.
template <typename Body>
void whereThereIsRoom(Directory& directory, const std::string& name, const Body& body) {
    try {
        body();
    } catch (const Error& error) {
        if (error.status != RTD_NO_SPACE && error.status != RTD_IO) throw;
        discard(directory, name);
    }
}

const DerivedFacts* transformedOf(const Segment& segment, const Manifest& manifest) {
    const auto found = std::find_if(manifest.transformed.begin(), manifest.transformed.end(),
                                    [&](const DerivedFacts& facts) { return facts.first == segment.part.first; });
    return found == manifest.transformed.end() ? nullptr : &*found;
}

}  // namespace

// The cascades there are. One that is missing or damaged is passed over: its entries are scanned, and the next seal makes it anew.
Store::Cascades Store::openCascades(const Manifest& manifest, const Index& index, bool readThrough, const std::string& text) const {
    Cascades cascades;
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

// A segment's keys through the transform of an index: the file there is, or, where it is missing or damaged, made anew.
SearchedKeys Store::searchedKeysOf(const Segment& segment, const Manifest& manifest, const Index& index, bool readThrough, const std::string& text) {
    if (const DerivedFacts* facts = transformedOf(segment, manifest)) {
        try {
            return openTransformed(*directory_, *facts, manifest, readThrough);
        } catch (const Error& error) {
            if (error.status == RTD_NOT_FOUND && readManifestText(*directory_) != text) throw;  // a writer has replaced it: begin anew
            passedOver_.insert(facts->name);
        }
    }
    return transformInMemory(index, segment.keys, segment.part.first, segment.part.count, {});
}

void Store::writeCascades(const Cascades& cascades, const Cascades& known, Manifest& next, NewFiles& newFiles, const Call& call) {
    const std::vector<DerivedFacts> before = next.derived;
    if (index_->usesCascades()) next.derived.clear();
    for (const auto& cascade : cascades) {
        const auto isOf = [&](const DerivedFacts& facts) { return facts.first == cascade->first && facts.entries == cascade->count; };
        const auto written = std::find_if(before.begin(), before.end(), isOf);
        const bool isKnown = std::find(known.begin(), known.end(), cascade) != known.end();
        if (isKnown && written != before.end()) {
            next.derived.push_back(*written);
            continue;
        }
        const std::string name = newFiles.add(derivedName(nextDerived_++));
        whereThereIsRoom(*directory_, name, [&] { next.derived.push_back(writeCascade(*directory_, name, *cascade, call)); });
    }
}

void Store::mapCascades(Cascades& cascades, const Cascades& known, const Manifest& manifest) const {
    for (auto& cascade : cascades) {
        if (std::find(known.begin(), known.end(), cascade) != known.end()) continue;
        const auto facts =
            std::find_if(manifest.derived.begin(), manifest.derived.end(), [&](const DerivedFacts& f) { return f.first == cascade->first; });
        if (facts == manifest.derived.end()) continue;
        try {
            cascade = openCascade(*directory_, *facts, manifest, false);
        } catch (const Error&) {}
    }
}

std::vector<Segment> Store::writeTransformedKeys(const std::vector<Segment>& segments, const Index& index, Manifest& next, NewFiles& newFiles,
                                                 const Call& call) {
    std::vector<DerivedFacts> files;
    std::vector<Segment> written;
    for (const Segment& segment : segments) {
        if (const DerivedFacts* known = transformedOf(segment, next); known && !passedOver_.contains(known->name)) {
            files.push_back(*known);
            continue;
        }
        const std::string name = newFiles.add(transformedName(nextDerived_++));
        whereThereIsRoom(*directory_, name, [&] {
            const Part& part = segment.part;
            const DerivedFacts facts = writeTransformed(*directory_, name, index, segment.keys, part.first, part.count, call);
            Segment searched = segment;
            searched.searchThrough(openTransformed(*directory_, facts, next, false));
            files.push_back(facts);
            written.push_back(std::move(searched));
        });
        call.progress.report(static_cast<double>(&segment - segments.data() + 1) / static_cast<double>(segments.size()));
    }
    next.transformed = std::move(files);
    return written;
}

void Store::setSpace(uint32_t heads, std::shared_ptr<const Transform> transform, const Call& call) {
    const std::lock_guard writing(writing_);
    requireWritable();
    IndexConfig config = index_->config();
    if (heads) config.heads = heads;
    config.setSpace(manifest_.dim, std::move(transform));
    const auto index = Index::create(config, Ownership::store);  // before anything is written: what it refuses changes nothing

    sealPending(call.part(0, 0.2));
    const std::lock_guard appending(appending_);
    sealPending({.shouldStop = call.shouldStop, .context = call.context});  // what was appended meanwhile
    Manifest next = manifest_;
    NewFiles newFiles(*directory_);
    next.heads = config.heads;
    next.derived.clear();
    next.transformed.clear();
    next.transform.reset();
    std::vector<Segment> segments = segments_;
    if (config.transform) {
        next.transform = writeTransform(*directory_, newFiles.add(transformName(nextDerived_++)), *config.transform);
        const std::vector<Segment> written = writeTransformedKeys(segments, *index, next, newFiles, call.part(0.2, 0.5));
        for (Segment& segment : segments) {
            const auto file = std::find_if(written.begin(), written.end(), [&](const Segment& s) { return s.part.first == segment.part.first; });
            if (file != written.end())
                segment = *file;
            else
                segment.searchThrough(transformInMemory(*index, segment.keys, segment.part.first, segment.part.count, call));
        }
    } else {
        for (Segment& segment : segments) segment.searchThrough({segment.keys, nullptr});
    }
    const Snapshot before = index_->snapshot();
    std::vector<uint32_t> removed;
    for (uint32_t id = 0; id < before.entries; ++id)
        if (!before.isLive(id)) removed.push_back(id);
    for (const Segment& segment : segments) index->addPart(segment.part);
    index->remove(removed.data(), removed.size());

    Snapshot snapshot = index->snapshot();
    snapshot.cascades = index->buildCascades(snapshot, snapshot.entries, call.part(0.5, 0.9));
    next.temperature = index->computeTemperature(snapshot, call);
    writeCascades(snapshot.cascades, {}, next, newFiles, call);
    const float temperature = next.temperature;
    const Manifest committed = next;
    commit(std::move(next), newFiles);

    mapCascades(snapshot.cascades, {}, committed);
    index->markSealed(snapshot.entries, temperature, std::move(snapshot.cascades));
    staleTemperature_ = false;
    passedOver_.clear();
    const std::lock_guard state(state_);
    index_ = index;
    segments_.swap(segments);
    call.progress.report(1);
}

}  // namespace rtd::store
