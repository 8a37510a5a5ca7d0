#include <cstring>

#include "emulation/primitives.h"

namespace rtd::emulation {

// Returns when every lane of the warp has come.
void Lane::meet(const uint32_t* give, uint32_t count) {
    ++meetings;
    for (uint32_t w = 0; w < count; ++w) warp().slots[meetings & 1][thread % 32][w].store(meetings << 32 | give[w], std::memory_order_relaxed);
    for (uint32_t l = 0; l < 32; ++l) wordOf(l, 0);
}

uint32_t Lane::wordOf(uint32_t l, uint32_t word) const {
    const std::atomic<uint64_t>& slot = warp().slots[meetings & 1][l][word];
    uint64_t value;
    while ((value = slot.load(std::memory_order_relaxed)) >> 32 != meetings) std::this_thread::yield();
    return static_cast<uint32_t>(value);
}

void Lane::exchange(const uint32_t* give, uint32_t* get, uint32_t count, uint32_t from) {
    meet(give, count);
    for (uint32_t w = 0; w < count; ++w) get[w] = wordOf(from, w);
}

uint32_t Lane::ballot(bool vote) {
    const uint32_t give = vote;
    meet(&give, 1);
    uint32_t votes = 0;
    for (uint32_t l = 0; l < 32; ++l) votes |= wordOf(l, 0) << l;
    return votes;
}

std::string Device::launch(const Launch& launch, const std::function<void()>& kernel) {
    ++count.launches;
    std::vector<std::unique_ptr<Block>> blocks;
    std::vector<std::thread> threads;
    std::barrier<> gate(launch.grid * launch.threads);  // ThreadSanitizer forgets what threads have done that ended before others began
    for (uint32_t b = 0; b < launch.grid; ++b) {
        const size_t bytes = (launch.sharedBytes + 127) / 128 * 128;
        blocks.push_back(std::make_unique<Block>(launch.threads, bytes));
        blocks.back()->index = b;
        std::memset(blocks.back()->shared, launch.seed % 2 ? 0xfb : 0x7f, bytes);
    }
    for (uint32_t t = 0; t < launch.grid * launch.threads; ++t)
        threads.emplace_back([&, t] {
            Lane self = {blocks[t / launch.threads].get(), t % launch.threads, launch.grid, Random(launch.seed * 8191 + t)};
            current_ = &self;
            gate.arrive_and_wait();
            kernel();
            gate.arrive_and_wait();
        });
    for (std::thread& thread : threads) thread.join();
    return {};
}

}  // namespace rtd::emulation
