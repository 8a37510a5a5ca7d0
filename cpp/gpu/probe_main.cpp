// rtd-cuda-probe MODULE: opens the device of a CUDA binary, searches two keys with it, and says in one line on stdout how that went.
#include <unistd.h>

#include <bit>
#include <cstdio>
#include <cstring>

#include "core/status.h"
#include "gpu/module_device.h"
#include "gpu/probe.h"

namespace {

using namespace rtd;
using gpu::Buffer;

constexpr uint32_t kDim = 4, kEntries = 2;
constexpr float kKeys[kEntries][kDim] = {{0, 0, 0, 0}, {1, 2, 3, 4}}, kQuery[kDim] = {1, 2, 3, 5};
constexpr uint32_t kExpectedIds[kEntries] = {1, 0};
constexpr float kExpectedDistances[kEntries] = {1, 39};  // squared

const cuda::KernelEntry& kernelOf(const cuda::KernelTable& table) {
    for (const cuda::KernelEntry* kernel = table.entries; kernel < table.entries + table.count; ++kernel)
        if (kernel->key == cuda::KeyType::f32 && !kernel->isDot) return *kernel;
    fail(RTD_UNSUPPORTED, "the CUDA binary has no kernel for float32 keys");
}

// The smallest use of everything: memory, copies, the kernel, its result.
void search(gpu::Device& device) {
    const cuda::KeyLayout layout = cuda::KeyLayout::of(1, kDim, sizeof(float));
    const cuda::WorkspaceLayout workspaceLayout = cuda::WorkspaceLayout::of(1, 1, kEntries, 0);
    const cuda::RowOptions row = {kEntries, std::bit_cast<float>(0x7f800000u), 0, 0, 0, cuda::kAnyNamespace, 0};
    const int32_t tokens[kEntries] = {7, 8};
    Buffer keys(device, "keys"), tokenBuffer(device, "tokens"), query(device, "the query"), rows(device, "options"), ids(device, "ids"),
        distances(device, "distances"), workspace(device, "the workspace");
    const auto fill = [&](Buffer& buffer, const void* from, size_t bytes) {
        buffer.need(bytes);
        device.upload(buffer.data(), from, bytes);
    };
    keys.need(layout.bytes(kEntries));
    device.zero(keys.data(), keys.bytes());
    for (uint32_t id = 0; id < kEntries; ++id) device.upload(keys.data<std::byte>() + layout.offset(id, 0, 0), kKeys[id], sizeof kKeys[id]);
    fill(tokenBuffer, tokens, sizeof tokens);
    fill(query, kQuery, sizeof kQuery);
    fill(rows, &row, sizeof row);
    ids.need(sizeof kExpectedIds);
    distances.need(sizeof kExpectedDistances);
    workspace.need(workspaceLayout.bytes());
    device.zero(workspace.data(), workspaceLayout.stateBytes());

    cuda::SearchFuseArgs args{};
    args.keys = keys.data();
    args.tokens = tokenBuffer.data<int32_t>();
    args.layout = layout;
    args.entries = kEntries;
    args.headDim = kDim;
    args.runs[0] = {0, kEntries};
    args.runCount = 1;
    args.queries = query.data();
    args.queryStride = kDim;
    args.batch = 1;
    args.queriesAreAligned = 1;
    args.rows = rows.data<cuda::RowOptions>();
    args.ids = ids.data<uint32_t>();
    args.distances = distances.data<float>();
    args.capacity = kEntries;
    args.workspace = workspaceLayout.at(workspace.data());
    args.hitRoom = 32;
    args.tilesPerTicket = args.mergeParts = 1;
    const cuda::KernelEntry& kernel = kernelOf(device.kernels());
    const size_t sharedBytes = kernel.sharedBytes(args.hitRoom);
    if (device.blocks(kernel, sharedBytes) == 0) fail(RTD_UNSUPPORTED, "the kernel does not fit this device");
    device.launch(kernel, 1, sharedBytes, args);

    uint32_t foundIds[kEntries];
    float foundDistances[kEntries];
    device.download(foundIds, ids.data(), sizeof foundIds);
    device.download(foundDistances, distances.data(), sizeof foundDistances);
    device.synchronize();
    if (std::memcmp(foundIds, kExpectedIds, sizeof foundIds) != 0 || std::memcmp(foundDistances, kExpectedDistances, sizeof foundDistances) != 0)
        fail(RTD_UNSUPPORTED, "a search of two keys gave ids %u, %u at squared distances %g, %g, and not %u, %u at %g, %g", foundIds[0], foundIds[1],
             static_cast<double>(foundDistances[0]), static_cast<double>(foundDistances[1]), kExpectedIds[0], kExpectedIds[1],
             static_cast<double>(kExpectedDistances[0]), static_cast<double>(kExpectedDistances[1]));
}

}  // namespace

int main(int argc, char** argv) {
    alarm(60);  // it ends even where the process that waits for it is gone
    if (argc != 2) {
        std::fprintf(stderr, "usage: rtd-cuda-probe MODULE\n");
        return 2;
    }
    try {
        const std::unique_ptr<gpu::Device> device = gpu::openModuleDevice(gpu::loadModule(argv[1]));
        search(*device);
        std::printf("%s%s\n", gpu::kProbeUsable, device->name());
    } catch (const Error& error) { std::printf("%s%s\n", gpu::kProbeUnusable, error.what()); }
    return std::fflush(stdout) == 0 ? 0 : 1;
}
