#include "emulation/device.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>

#include "emulation/fiber.h"

namespace rtd::emulation {

Device device;

// ---- lanes ------------------------------------------------------------------------------------------------------------------------------

uint32_t Device::nextLane(uint32_t among) const {
    return (static_cast<uint32_t>(std::countr_zero(std::rotr(among, static_cast<int>(order_)))) + order_) & 31;
}

// A lane that waits hands over to the next lane of its warp's turn; the last goes back to the scheduler.
void Device::yield() {
    ++count.switches;
    Lane* lane = current_;
    const uint32_t among = toRun_ & warpOf(*lane).ready;
    if (among != 0 && failure_.empty()) {
        const uint32_t next = nextLane(among);
        toRun_ &= ~(1u << next);
        current_ = turn_ + next;
        rtdSwitchStack(&lane->stackPointer, current_->stackPointer);
    } else {
        rtdSwitchStack(&lane->stackPointer, schedulerStack_);
    }
}

void Device::fail(const char* what) {
    if (failure_.empty()) failure_ = what;
    for (;;) yield();  // the scheduler ends the launch
}

void Device::run() {
    device.kernel_();
    Lane& lane = *device.current_;
    warpOf(lane).ready &= ~(1u << lane.thread % 32);
    ++lane.block->done;
    for (;;) device.yield();
}

const uint64_t* Device::rendezvous(uint64_t value, const Where& where, bool isBarrier) {
    if (isBarrier && isDropped(where)) return nullptr;
    uint64_t* slots = warp().slots[warp().phase & 1];
    slots[current_->thread % 32] = value;
    meet(where, isBarrier);
    return slots;
}

const Exchange* Device::exchange(const void* values, size_t bytes, const Where& where) {
    Exchange* exchanges = warp().exchanges[warp().phase & 1];
    std::memcpy(exchanges[current_->thread % 32].values, values, bytes);
    meet(where, false);
    return exchanges;
}

// Returns when every lane of the warp has come.
void Device::meet(const Where& where, bool isBarrier) {
    Lane& lane = *current_;
    Warp& warp = warpOf(lane);
    if (warp.arrived == 0)
        warp.place = where;
    else if (warp.place.line() != where.line())
        fail("lanes of a warp meet in different collectives");
    if (++warp.arrived < 32) {
        warp.ready &= ~(1u << lane.thread % 32);
        yield();
        return;
    }
    ++count.collectives;
    warp.arrived = 0;
    ++warp.phase;
    warp.ready = ~0u;
    const size_t first = lane.thread / 32 * 32;
    if (launch_.isAudited) audit(*lane.block, first / 32);
    if (isBarrier) {
        for (size_t i = first; i < first + 32; ++i) {
            Lane& other = lane.block->lanes[i];
            warp.ordered.insert(warp.ordered.end(), other.pending.begin(), other.pending.end());
            other.pending.clear();
            warp.known.join(other.known);
            other.known.clear();
        }
        warp.known.set(launch_.grid * launch_.threads, laneOfGrid(lane.block->lanes[first]), 32, lane.block->step++);
    }
}

void Device::syncBlock(const Where& where) {
    if (isDropped(where)) return;
    Lane& lane = *current_;
    Block& block = *lane.block;
    if (block.arrived == 0)
        block.place = where;
    else if (block.place.line() != where.line())
        fail("threads of a block meet in different barriers");
    if (++block.arrived < launch_.threads) {
        warpOf(lane).ready &= ~(1u << lane.thread % 32);
        yield();
        return;
    }
    ++count.barriers;
    block.arrived = 0;
    for (size_t w = 0; w < block.warps.size(); ++w) {
        Warp& warp = block.warps[w];
        block.ordered.insert(block.ordered.end(), warp.ordered.begin(), warp.ordered.end());
        warp.ordered.clear();
        block.known.join(warp.known);
        warp.known.clear();
        warp.ready = ~0u;
        if (launch_.isAudited) audit(block, w);
    }
    for (Lane& other : block.lanes) {
        block.ordered.insert(block.ordered.end(), other.pending.begin(), other.pending.end());
        other.pending.clear();
        block.known.join(other.known);
        other.known.clear();
    }
    block.known.set(launch_.grid * launch_.threads, laneOfGrid(block.lanes[0]), launch_.threads, block.step++);
    if (random_() & 1) yield();  // the last to arrive need not be the first to go on
}

// ---- global memory ----------------------------------------------------------------------------------------------------------------------

// What the lane knows, itself included, for whoever acquires it; and its stores arrive.
Released Device::release() {
    Block& block = *current_->block;
    auto clock = std::make_shared<Clock>(block.known);
    clock->join(warp().known);
    clock->join(current_->known);
    clock->set(launch_.grid * launch_.threads, laneOfGrid(*current_), 1, block.step++);
    for (Stores* stores : {&block.ordered, &warp().ordered, &current_->pending}) arriveAll(*stores);
    return clock;
}

void Device::checkLoad(const void* at) {
    if (isScratch(at) && !history_.isWritten(at)) fail("a read of scratch memory that this launch has not written");
    if (!history_.load(at, now(), known())) fail(kRace);
}

void Device::checkOrdered(const void* at, size_t bytes) {
    if (!isScratch(at)) return;
    for (size_t i = 0; i < bytes; i += 4) checkLoad(static_cast<const char*>(at) + i);
}

void Device::spin() {
    if (++idle_ > 5'000'000) fail("livelock: a spin loop never ends");
    yield();
}

// ---- asynchronous copies ----------------------------------------------------------------------------------------------------------------

void Copy::land() const {
    if (hasLanded) return;
    if (from)
        std::memcpy(to, from, 16);
    else
        std::memset(to, 0, 16);
}

void Device::copy16(void* to, const void* from, bool isValid) {
    checkAligned(to, 16);
    checkAligned(from, 16);
    if (!isInShared(to, 16)) fail("a copy beyond shared memory");
    Copy copy = {to, isValid ? from : nullptr, false};
    if (landing_ == 2 || (landing_ == 1 && (random_() & 1))) {
        copy.land();
        copy.hasLanded = true;
    }
    current_->copies.push_back(copy);
    shade(to, 16, false);
    if (!isValid) return;
    for (size_t i = 0; isScratch(from) && i < 16; i += 4)  // what nobody has written may be copied, for nobody to use
        if (!history_.load(static_cast<const char*>(from) + i, now(), known())) fail(kRace);
    const size_t at = static_cast<size_t>(static_cast<const char*>(from) - static_cast<const char*>(launch_.watched));
    if (launch_.watched && from >= launch_.watched && at < launch_.watchedBytes) {
        (touched_[at / 16] ? count.furtherTouches : count.firstTouches) += 16;
        touched_[at / 16] = true;
    }
    if (launch_.isAudited) current_->fetches.push_back(reinterpret_cast<uintptr_t>(from));
}

void Device::commit() { current_->groupEnds.push_back(static_cast<uint32_t>(current_->copies.size())); }

void Device::wait(uint32_t leave) {
    Lane& lane = *current_;
    if (lane.groupEnds.size() <= leave) return;
    const size_t drop = lane.groupEnds.size() - leave;
    const uint32_t end = lane.groupEnds[drop - 1];
    const auto first = static_cast<uint32_t>(end ? random_() % end : 0);
    for (uint32_t i = 0; i < end; ++i) {
        const Copy& copy = lane.copies[(first + i) % end];
        copy.land();
        shade(copy.to, 16, true);
    }
    lane.copies.erase(lane.copies.begin(), lane.copies.begin() + end);
    lane.groupEnds.erase(lane.groupEnds.begin(), lane.groupEnds.begin() + static_cast<ptrdiff_t>(drop));
    for (uint32_t& groupEnd : lane.groupEnds) groupEnd -= end;
}

// ---- shared memory ----------------------------------------------------------------------------------------------------------------------

bool Device::isInShared(const void* at, size_t bytes) const {
    const auto offset = static_cast<size_t>(static_cast<const char*>(at) - current_->block->shared);
    return offset < launch_.sharedBytes && bytes <= launch_.sharedBytes - offset;
}

void Device::shade(const void* at, size_t bytes, bool isWritten) {
    if (launch_.isShadowed)
        std::fill_n(&current_->block->isWritten[static_cast<size_t>(static_cast<const char*>(at) - current_->block->shared)], bytes, isWritten);
}

void Device::checkShared(const void* at, size_t bytes, bool isWrite) {
    if (!current_ || !launch_.isShadowed || !failure_.empty()) return;
    const Block& block = *current_->block;
    const auto offset = static_cast<size_t>(static_cast<const char*>(at) - block.memory.get());
    if (offset >= launch_.sharedBytes + 2 * kMarginBytes) return;  // somewhere else
    ++count.checked;
    if (!isInShared(at, bytes)) fail("an access beyond shared memory");
    if (isWrite) return shade(at, bytes, true);
    const uint8_t* isWritten = &block.isWritten[offset - kMarginBytes];
    for (size_t i = 0; i < bytes; ++i)
        if (!isWritten[i]) fail("a read of shared memory that has not been written, or not been waited for");
}

// ---- what the hardware would make of a warp's accesses ------------------------------------------------------------------------------------

// A warp's i-th loads of `bytes` a lane, for every i, should touch no more sectors of 32 bytes than their bytes fill, and one for the beginning.
uint64_t Device::countUncoalesced(const Lane* lanes, std::vector<uintptr_t> Lane::*addresses, size_t bytes, uint64_t& audited) {
    size_t loads = 0;
    for (size_t l = 0; l < 32; ++l) loads = std::max(loads, (lanes[l].*addresses).size());
    uint64_t uncoalesced = 0;
    for (size_t i = 0; i < loads; ++i) {
        std::vector<uintptr_t> sectors;
        for (size_t l = 0; l < 32; ++l)
            if (i < (lanes[l].*addresses).size()) sectors.push_back((lanes[l].*addresses)[i] / 32);
        const size_t filled = (sectors.size() * bytes + 31) / 32;
        std::sort(sectors.begin(), sectors.end());
        sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
        if (sectors.size() > filled + 1) ++uncoalesced;
    }
    audited += loads;
    return uncoalesced;
}

// Accesses to 16 (or 8) bytes a lane of shared memory go by groups of 8 (16) lanes, each of which can reach every one of the 32 banks once.
void Device::audit(Block& block, size_t w) {
    Lane* const lanes = &block.lanes[32 * w];
    const size_t vectors =
        std::max_element(lanes, lanes + 32, [](const Lane& a, const Lane& b) { return a.vectors.size() < b.vectors.size(); })->vectors.size();
    for (size_t i = 0; i < vectors; ++i) {
        ++count.audited;
        const uintptr_t bytes = lanes[1].vectors[i] - lanes[0].vectors[i] == 8 ? 8 : 16, together = 128 / bytes;
        for (size_t first = 0; first < 32; first += together) {
            uint32_t banks = 0;
            bool isConflict = false;
            for (size_t l = first; l < first + together; ++l) {
                const uint32_t mine = (bytes == 8 ? 3u : 15u) << lanes[l].vectors[i] / 4 % 32;
                isConflict = isConflict || (banks & mine) != 0;
                banks |= mine;
            }
            if (isConflict) ++count.bankConflicts;
        }
    }
    count.uncoalesced += countUncoalesced(lanes, &Lane::fetches, 16, count.audited);
    count.uncoalescedScalars += countUncoalesced(lanes, &Lane::scalars, 4, count.scalarLoads);
    for (size_t l = 0; l < 32; ++l)
        for (std::vector<uintptr_t>* addresses : {&lanes[l].vectors, &lanes[l].fetches, &lanes[l].scalars}) addresses->clear();
}

// ---- launch -----------------------------------------------------------------------------------------------------------------------------

char* Device::takeStack() {
    if (!stacks_.empty()) {
        char* stack = stacks_.back();
        stacks_.pop_back();
        ASAN_UNPOISON_MEMORY_REGION(stack, kStackBytes);  // functions that a failure ended never returned
        return stack;
    }
    void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return static_cast<char*>(memory);
}

std::unique_ptr<Block> Device::startBlock(uint32_t index) {
    constexpr int kGarbage[] = {0xfb, 0xff, 0x00, 0x7f};
    auto block = std::make_unique<Block>();
    block->index = index;
    block->lanes.resize(launch_.threads);
    block->warps.resize(launch_.threads / 32);
    const size_t margin =
        launch_.isShadowed ? kMarginBytes : 0;  // else whoever steps over the end leaves the heap block, which AddressSanitizer sees
    block->memory.reset(static_cast<char*>(std::aligned_alloc(128, (launch_.sharedBytes + 127) / 128 * 128 + 2 * margin)));
    if (!block->memory) throw std::bad_alloc();
    block->shared = block->memory.get() + margin;
    std::memset(block->shared, kGarbage[random_() % 4], launch_.sharedBytes);
    if (launch_.isShadowed) block->isWritten.resize(launch_.sharedBytes);
    for (uint32_t t = 0; t < launch_.threads; ++t) {
        Lane& lane = block->lanes[t];
        lane.block = block.get();
        lane.thread = t;
        lane.stack = takeStack();
        lane.stackPointer = prepareStack(lane.stack, kStackBytes - t % 32 * kStaggerBytes, &Device::run);
    }
    return block;
}

void Device::runTurn(Block& block, size_t w, Stores& orphans) {
    const uint64_t turn = random_();
    const uint32_t ready = block.warps[w].ready;
    const auto leftOut = static_cast<uint32_t>(skip_ == 0 ? 0 : random_() & (skip_ == 1 ? random_() : ~uint64_t{0}));
    turn_ = &block.lanes[w * 32];
    order_ = turn & 31;
    const uint32_t lane = nextLane((ready & ~leftOut) != 0 ? ready & ~leftOut : ready);
    toRun_ = ~leftOut & ~(1u << lane);
    current_ = turn_ + lane;
    rtdSwitchStack(&schedulerStack_, current_->stackPointer);
    current_ = nullptr;
    if (arrive_ == 0 || (turn >> 8) % arrive_ != 0) return;
    Lane& any = block.lanes[w * 32 + (turn >> 40) % 32];
    for (Stores* stores : {&any.pending, &block.warps[w].ordered, &block.ordered, &orphans})
        if (!stores->empty()) arriveOne(*stores, random_);
}

// A turn for one warp of one block, or the end of a block.
void Device::step(std::vector<std::unique_ptr<Block>>& live, Stores& orphans, uint32_t& finished) {
    if (at_ >= live.size() || (random_() & stay_) == 0) {
        at_ = random_() % live.size();
        firstWarp_ = random_();
    }
    Block& block = *live[at_];
    const size_t warps = block.warps.size();
    for (size_t i = 0; i < warps; ++i) {
        const size_t w = (firstWarp_ + i) % warps;
        if (block.warps[w].ready != 0) return runTurn(block, w, orphans);
    }
    if (block.done == launch_.threads) {
        for (const Warp& warp : block.warps) orphans.insert(orphans.end(), warp.ordered.begin(), warp.ordered.end());
        orphans.insert(orphans.end(), block.ordered.begin(), block.ordered.end());
        for (const Lane& lane : block.lanes) {
            orphans.insert(orphans.end(), lane.pending.begin(), lane.pending.end());
            stacks_.push_back(lane.stack);
        }
        live.erase(live.begin() + static_cast<ptrdiff_t>(at_));
        ++finished;
    } else {
        bool isAnyReady = false;
        for (const auto& other : live)
            for (const Warp& warp : other->warps) isAnyReady = isAnyReady || warp.ready != 0 || other->done == launch_.threads;
        if (!isAnyReady) failure_ = "deadlock: every thread waits";
    }
    at_ = ~size_t{0};
}

std::string Device::launch(const Launch& launch, std::function<void()> kernel) {
    launch_ = launch;
    random_ = Random(launch.seed);
    kernel_ = std::move(kernel);
    failure_.clear();
    idle_ = 0;
    at_ = 0;
    touched_.assign(launch.watched ? (launch.watchedBytes + 15) / 16 : 0, false);
    ++count.launches;
    constexpr uint32_t kStays[] = {0, 1, 15, 255}, kArrivals[] = {8, 64, 0};
    stay_ = kStays[random_() % 4];
    skip_ = static_cast<uint32_t>(random_() % 3);
    arrive_ = kArrivals[random_() % 3];
    landing_ = static_cast<uint32_t>(random_() % 3);

    std::vector<std::unique_ptr<Block>> live;
    Stores orphans;  // of finished blocks, still under way
    uint32_t next = 0, finished = 0;
    while (finished < launch.grid && failure_.empty()) {
        while (live.size() < launch.resident && next < launch.grid) live.push_back(startBlock(next++));
        step(live, orphans, finished);
    }
    for (const auto& block : live)
        for (const Lane& lane : block->lanes) stacks_.push_back(lane.stack);
    arriveAll(orphans);
    history_.forget();
    return failure_;
}

}  // namespace rtd::emulation
