#pragma once

#include "compute/devices/device.hpp"
#include "compute/devices/kernel_source.hpp"
#include "compute/devices/program_file.hpp"
#include "messages/result.hpp"

#include <memory>
#include <string>
#include <vector>

/// OpenCL, loaded when a device is first asked for: a machine may do without it.
namespace ovir::compute {

/// What a device builds. Tests give other sources and options, to see them refused.
struct device_program {
  std::string source{kernel_source()};
  std::string options{device_build_options};
};

/// The machine's OpenCL library and the devices it has. The library stays loaded as long as the
/// process lives, because drivers own threads.
class opencl_library {
public:
  /// `unsupported` where the machine has no OpenCL library, or this build was made without its
  /// headers.
  [[nodiscard]] static result<opencl_library> load();

  ~opencl_library();
  opencl_library(opencl_library&&) noexcept;
  opencl_library& operator=(opencl_library&&) noexcept;

  /// Of all platforms, in the order in which the library lists them.
  [[nodiscard]] const std::vector<device_facts>& devices() const noexcept;

  /// Builds the program and its kernels for device number `index`; a program that `store` (may be
  /// null) has for it is taken where it is whole. `not_found`, what `check_demands` says, or
  /// `io_failed` with the end of the compiler's log. The device may outlive the library object.
  [[nodiscard]] result<std::unique_ptr<device>> open(std::size_t index, program_store* store,
                                                     const device_program& what = {}) const;

private:
  struct parts;
  explicit opencl_library(std::unique_ptr<parts> all);
  std::unique_ptr<parts> parts_;
};

} // namespace ovir::compute
