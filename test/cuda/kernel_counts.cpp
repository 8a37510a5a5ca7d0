// What a fixed set of calls costs on the emulated device: one JSON array, for `npm run kernel:report`, which checks it.
#include <cinttypes>
#include <cstdio>

#include "../harness.h"
#include "kernel_run.h"

namespace {

struct Counted {
    const char* name;
    uint32_t config, entries, dim, heads, batch;
    rtd_dtype dtype;
    bool isPadded;  // queries that copies cannot take as they are
};
constexpr Counted kCounted[] = {
    {"f32 d=576 B=1", 5, 300, 576, 1, 1, RTD_F32, false},
    {"f32 d=576 B=1, unaligned queries", 5, 300, 576, 1, 1, RTD_F32, true},
    {"f16 d=576 B=1", 5, 300, 576, 1, 1, RTD_F16, false},
    {"bf16 d=4096 B=4", 4, 100, 4096, 1, 4, RTD_BF16, false},
    {"f32 d=576, 32 heads, B=2", 4, 200, 576, 32, 2, RTD_F32, false},
    {"f32 d=1000 B=16", 6, 200, 1000, 1, 16, RTD_F32, false},
    {"f16 d=576 B=40, keys again for every 16 queries", 6, 200, 576, 1, 40, RTD_F16, false},
};

void print(const Counted& counted, const char* separator) {
    Shape shape;
    shape.entries = counted.entries;
    shape.dim = counted.dim;
    shape.heads = counted.heads;
    shape.batch = counted.batch;
    shape.dtype = counted.dtype;
    KernelWay way;
    way.config = counted.config;
    way.isPadded = counted.isPadded;
    way.isAudited = true;
    KernelCost cost;
    const Case c = makeCase(shape, 1, true);
    checkSame(runKernel(c, way, &cost), expected(c, RTD_F32));
    std::printf("%s{\"name\":\"%s\",\"config\":\"%s\",\"neededBytes\":%" PRIu64 ",\"firstTouchedBytes\":%" PRIu64 ",\"furtherBytes\":%" PRIu64
                ",\"auditedAccesses\":%" PRIu64 ",\"bankConflicts\":%" PRIu64 ",\"uncoalesced\":%" PRIu64 ",\"queryLoads\":%" PRIu64
                ",\"uncoalescedQueryLoads\":%" PRIu64 "}",
                separator, counted.name, kKernelConfigs[counted.config].text().c_str(), cost.neededBytes, cost.firstTouches, cost.furtherTouches,
                cost.audited, cost.bankConflicts, cost.uncoalesced, cost.scalarLoads, cost.uncoalescedScalars);
}

}  // namespace

int main() {
    try {
        const char* separator = "[";
        for (const Counted& counted : kCounted) {
            print(counted, separator);
            separator = ",";
        }
        std::printf("]\n");
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
