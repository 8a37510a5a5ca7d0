// What happened before what, by the rules of the PTX memory model: which values an atomic load may return, and which accesses race.
//
// Every block counts steps, and what a lane does is an event at a step of its block. Each lane knows how far the other lanes had come at the last
// point that is ordered before its own present: its own past, what barriers told its warp and block, and what it acquired. An atomic load may return
// any value that no known event has replaced; all other accesses must know the accesses they conflict with, or they race.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include "emulation/random.h"

namespace rtd::emulation {

struct Event {
    uint32_t lane = 0;  // of the grid
    uint32_t step = 0;  // 0: before the launch
};

// The step up to which each lane of the grid is known. Empty: nothing since the launch began.
class Clock {
  public:
    bool isEmpty() const { return steps_.empty(); }
    bool knows(Event e) const { return steps_.empty() ? e.step == 0 : steps_[e.lane] >= e.step; }
    void join(const Clock& other) {
        if (steps_.empty()) steps_ = other.steps_;
        for (size_t i = 0; i < other.steps_.size(); ++i) steps_[i] = std::max(steps_[i], other.steps_[i]);
    }
    void set(uint32_t lanes, uint32_t first, uint32_t count, uint32_t step) {
        steps_.resize(lanes);
        std::fill_n(steps_.begin() + first, count, step);
    }
    void clear() { steps_.clear(); }

  private:
    std::vector<uint32_t> steps_;
};
using Released = std::shared_ptr<const Clock>;  // what an acquire is told; null: nothing

// What has been done to the words of global memory in this launch. Functions return false for a race.
class History {
  public:
    void forget() { places_.clear(); }
    bool isWritten(const void* at) const {
        const auto found = places_.find(at);
        return found != places_.end() && found->second.stored.step != 0;
    }

    // Accesses that are not atomic.
    template <typename Knows>
    bool load(const void* at, Event now, const Knows& knows) {
        Place& place = places_[at];
        use(place, now, 0);
        return knows(place.stored);
    }
    template <typename Knows>
    bool store(const void* at, Event now, const Knows& knows) {
        Place& place = places_[at];
        bool isOrdered = knows(place.stored);
        for (const Use& use : place.uses) isOrdered = isOrdered && knows(use.event);
        place = {now, {}, {}};
        return isOrdered;
    }

    // The present value, or one that was replaced by what is not known; never one older than was read by a known event.
    template <typename T, typename Knows>
    T loadAtomic(const T* at, Event now, const Knows& knows, Random& random, Released& released) {
        Place& place = places_[at];
        size_t oldest = 0, version = place.versions.size();
        for (const Use& use : place.uses)
            if (knows(use.event)) oldest = std::max<size_t>(oldest, use.version);
        T value = *at;
        while (version > oldest && !knows(place.versions[version - 1].event) && (random() & 1))
            std::memcpy(&value, &place.versions[--version].before, sizeof value);
        if (version > 0) released = place.versions[version - 1].released;
        use(place, now, static_cast<uint32_t>(version));
        return value;
    }

    // Replaces the present value, which nobody may have stored unnoticed; carries on what earlier operations have released.
    template <typename T, typename Knows>
    bool readModifyWrite(T* at, T value, Event now, const Knows& knows, Released releasing, Released& released) {
        Place& place = places_[at];
        if (!place.versions.empty()) released = place.versions.back().released;
        if (!releasing) {
            releasing = released;
        } else if (released) {
            auto both = std::make_shared<Clock>(*releasing);
            both->join(*released);
            releasing = std::move(both);
        }
        replace(place, at, value, now, std::move(releasing));
        return knows(place.stored);
    }
    // Others may use the place at the time, and know that what they add to the former value is lost.
    template <typename T>
    void storeRelease(T* at, T value, Event now, Released releasing) {
        replace(places_[at], at, value, now, std::move(releasing));
    }
    // Nobody else may modify the place at the time: it could come before or after.
    template <typename T, typename Knows>
    bool storeRelaxed(T* at, T value, Event now, const Knows& knows) {
        Place& place = places_[at];
        bool isOrdered = true;
        for (const Version& version : place.versions) isOrdered = isOrdered && knows(version.event);
        place.stored = now;
        replace(place, at, value, now, nullptr);
        return isOrdered;
    }

  private:
    struct Version {
        uint64_t before;  // the value it replaced
        Event event;
        Released released;
    };
    struct Use {
        Event event;
        uint32_t version;  // how many had been written to what it saw
    };
    struct Place {
        Event stored;                   // the last store that is not atomic, or is relaxed
        std::vector<Use> uses;          // each lane's last
        std::vector<Version> versions;  // by atomics, oldest first
    };

    static void use(Place& place, Event now, uint32_t version) {
        for (Use& use : place.uses)
            if (use.event.lane == now.lane) {
                use = {now, version};
                return;
            }
        place.uses.push_back({now, version});
    }
    template <typename T>
    static void replace(Place& place, T* at, T value, Event now, Released releasing) {
        Version version = {0, now, std::move(releasing)};
        std::memcpy(&version.before, at, sizeof value);
        place.versions.push_back(std::move(version));
        *at = value;
        use(place, now, static_cast<uint32_t>(place.versions.size()));
    }

    std::unordered_map<const void*, Place> places_;
};

}  // namespace rtd::emulation
