// An rtd_plan: all that a launch on a caller's stream needs, made beforehand, so that enqueueing it is the launch alone.
#pragma once
#include <mutex>

#include "gpu/device_index.h"

namespace rtd::gpu {

class DevicePlan : public OffloadedPlan {
  public:
    // The device is on the caller's stream.
    DevicePlan(DeviceIndex& index, std::unique_ptr<Device> device, const IndexConfig& indexConfig, const PlanConfig& config,
               const Snapshot& snapshot);
    ~DevicePlan() override;

    void refresh(const Snapshot& snapshot) override;
    void setRows(std::vector<RowOptions> rows) override;
    void enqueue(const MatrixView& queries, const MatrixView* logits, const rtd_hits* hits, rtd_row_status* statuses) override;

  private:
    // Of a snapshot, what a plan keeps beside its entries.
    struct Defaults {
        float temperature = 0;
        bool hasLive = false;
    };
    void uploadRows(const std::vector<RowOptions>& rows, const Defaults& defaults, uint32_t entries);
    void checkShapes(const MatrixView& queries, const MatrixView* logits) const;
    void checkReach(const MatrixView& queries, const MatrixView* logits, const rtd_hits* hits, const rtd_row_status* statuses) const;

    DeviceIndex& index_;
    const IndexConfig indexConfig_;
    const PlanConfig config_;
    std::unique_ptr<Device> device_;
    Launcher launcher_;
    MirrorView view_;
    Defaults defaults_;
    std::vector<RowOptions> rows_;  // as given; none until they are
    std::mutex calling_;
};

}  // namespace rtd::gpu
