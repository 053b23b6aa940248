#pragma once

#include "compute/devices/opencl_library.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// The device that the tests of this tier use: the machine's first, or number OVIR_TEST_DEVICE.
/// PoCL, a driver that computes on the processor, is what continuous integration has.
namespace ovir::test {

/// Built programs in memory.
class memory_programs final : public compute::program_store {
public:
  [[nodiscard]] std::optional<std::vector<std::byte>> find(const std::string& name) override;
  void keep(const std::string& name, std::span<const std::byte> file) override;

  std::map<std::string, std::vector<std::byte>> files;
  int found{0}; ///< how often a file was asked for and there
};

/// Why there is no device; empty: there is one.
[[nodiscard]] const std::string& why_no_device();

/// Opens it with another program than the product's, or the product's own. Throws where it cannot
/// be opened.
[[nodiscard]] std::unique_ptr<compute::device>
open_test_device(const compute::device_program& what = {}, compute::program_store* store = nullptr);

/// One with the product's program, shared by all tests of the process. Precondition: there is a
/// device.
[[nodiscard]] compute::device& test_device();

/// The product's program with `from` in its source replaced by `to`. Throws where there is no
/// `from`.
[[nodiscard]] compute::device_program changed_program(const std::string& from,
                                                      const std::string& to);

} // namespace ovir::test

/// Skips the test visibly on a machine without a device.
#define OVIR_NEEDS_DEVICE()                                                                        \
  if (!::ovir::test::why_no_device().empty()) {                                                    \
    GTEST_SKIP() << "needs an OpenCL device: " << ::ovir::test::why_no_device();                   \
  }
