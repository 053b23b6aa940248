#include "compute/devices/device.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace ovir::compute {

namespace {

/// What no device that is asked for less could compute with.
constexpr std::uint64_t local_bytes_min = std::uint64_t{16} << 10U;

} // namespace

result<void> check_demands(const device_facts& facts) {
  const std::uint64_t items =
      std::max_element(device_kernel_rows.begin(), device_kernel_rows.end(),
                       [](const auto& a, const auto& b) { return a.items < b.items; })
          ->items;
  struct demand {
    bool met;
    std::string_view text;
  };
  const std::array demands{
      demand{facts.compiler, "a compiler in its driver"},
      demand{facts.little_endian, "little-endian memory"},
      demand{facts.nearest, "rounding to nearest even"},
      demand{facts.infinities, "infinities and NaNs"},
      demand{facts.subnormals, "subnormal numbers"},
      demand{facts.fused, "a fused multiply-add that rounds once"},
      demand{facts.rounded_division, "correctly rounded division and square root"},
      demand{facts.group_items_max >= items, "groups of 256 work-items"},
      demand{facts.local_bytes >= local_bytes_min, "16 KiB of local memory"},
  };
  for (const demand& d : demands) {
    if (!d.met) {
      return fail(
          errc::unsupported,
          "the device {} (driver {}) lacks {}, which exact-1 needs; compute on the processor",
          facts.name, facts.driver, d.text);
    }
  }
  return {};
}

result<void> grow(device& d, device_memory_ptr& memory, std::size_t bytes) {
  if (memory == nullptr || memory->bytes() < bytes) {
    memory.reset(); // first, so that both need not fit
    OVIR_ASSIGN(memory, d.allocate(bytes));
  }
  return {};
}

} // namespace ovir::compute
