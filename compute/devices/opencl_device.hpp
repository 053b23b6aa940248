#pragma once

#include "compute/devices/device.hpp"
#include "compute/devices/opencl_calls.hpp"
#include "compute/devices/opencl_library.hpp"
#include "compute/devices/program_file.hpp"
#include "messages/result.hpp"

#include <memory>
#include <vector>

namespace ovir::compute {

/// A device among those of the library.
struct opencl_place {
  cl_platform_id platform{nullptr};
  cl_device_id id{nullptr};
  device_facts facts;
};

/// All devices of all platforms, within limits::devices_max.
[[nodiscard]] std::vector<opencl_place> find_opencl_devices(const opencl_calls& calls);

/// As `opencl_library::open`. `calls` must outlive the device.
[[nodiscard]] result<std::unique_ptr<device>> open_opencl_device(const opencl_calls& calls,
                                                                 const opencl_place& place,
                                                                 program_store* store,
                                                                 const device_program& what);

} // namespace ovir::compute
