#include "store/verify.h"

#include <algorithm>
#include <optional>

#include "core/status.h"
#include "store/cascade_file.h"
#include "store/files.h"
#include "store/segment.h"
#include "store/transform_file.h"

namespace rtd::store {
namespace {

// Reads the manifest anew if a writer has replaced it.
bool overtaken(Directory& directory, Manifest& manifest) {
    Manifest current = parseManifest(directory, readManifestText(directory));
    if (current.generation == manifest.generation) return false;
    manifest = std::move(current);
    return true;
}

// What `body` threw; being cancelled goes on.
template <typename Body>
std::optional<Error> failureOf(const Body& body) {
    try {
        body();
    } catch (const Error& error) {
        if (error.status == RTD_CANCELLED) throw;
        return error;
    }
    return std::nullopt;
}

}  // namespace

void verifyFiles(Directory& directory, Manifest known, const Report& report, const Call& call) {
    std::optional<Error> first;
    const auto note = [&](const std::string& file, const std::optional<Error>& failure) {
        report(file, failure ? failure->status : RTD_OK, failure ? failure->message : "");
        if (!first) first = failure;
    };

    Manifest manifest = std::move(known);
    note(kManifestName, failureOf([&] { manifest = parseManifest(directory, readManifestText(directory)); }));

    // Before the segments: a writer may replace this file meanwhile, whereas a segment stays once it is named.
    const auto removedFailure = failureOf([&] {
        while (manifest.removed) {
            try {
                readRemoved(directory, *manifest.removed, manifest.entries());
                break;
            } catch (const Error& error) {
                if (error.status != RTD_NOT_FOUND || !overtaken(directory, manifest)) throw;
            }
        }
    });
    if (manifest.removed) note(manifest.removed->name, removedFailure);

    for (const auto& facts : manifest.segments) {
        call.throwIfStopped();
        note(facts.name, failureOf([&] { verifySegment(directory, facts, {manifest.dim, manifest.dtype}, call); }));
    }
    // A writer may replace these files, too, and then nobody needs them.
    const auto noteReplaceable = [&](const FileFacts& facts, const auto& verify) {
        call.throwIfStopped();
        const auto failure = failureOf(verify);
        Manifest current = manifest;
        if (failure && failure->status == RTD_NOT_FOUND && overtaken(directory, current) && !current.replaceableFiles().contains(facts.name)) return;
        note(facts.name, failure);
    };
    if (manifest.transform) noteReplaceable(*manifest.transform, [&] { openTransform(directory, manifest); });
    for (const auto& facts : manifest.transformed) noteReplaceable(facts, [&] { verifyTransformed(directory, facts, manifest, call); });
    for (const auto& facts : manifest.derived) noteReplaceable(facts, [&] { verifyCascade(directory, facts, manifest, call); });
    if (first) throw *first;
}

}  // namespace rtd::store
