#pragma once

#include "compute/devices/device.hpp"
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

/// The devices of this machine. Programs that their drivers built are kept in the folder `devices`
/// of the state folder.
namespace ovir::apps {

/// A device, and what the gate says of it.
struct device_finding {
  std::string name;
  std::string platform;
  std::string driver; ///< version
  std::uint64_t memory_bytes{0};
  bool passed{false};
  std::string verdict; ///< "passed", or why it is not used
};

/// All devices of this machine, each after its vectors, asked in a process of its own. The first
/// time that takes as long as their drivers compile. `unsupported` where there is no OpenCL, or a
/// driver fails. Precondition: this process has one thread.
[[nodiscard]] result<std::vector<device_finding>> examine_devices(storage::env& environment);

/// A segment on device `number`, which passed its vectors just now.
[[nodiscard]] result<std::unique_ptr<compute::segment>>
segment_on_device(std::size_t number, const compute::model& checked, layer_range layers,
                  const compute::kernel_set& kernels, storage::env& environment);

} // namespace ovir::apps
