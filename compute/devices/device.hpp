#pragma once

#include "compute/devices/device_kernels.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>

/// A device that runs the kernels of compute/devices/source: what the rest of this room needs of
/// it, whatever its driver.
namespace ovir::compute {

/// What a device and its driver say of themselves.
struct device_facts {
  std::string platform;
  std::string name;
  std::string driver; ///< version
  std::uint64_t memory_bytes{0};
  std::uint64_t allocation_bytes_max{0};
  std::uint64_t local_bytes{0}; ///< of a group of work-items
  std::uint64_t group_items_max{0};
  // Of binary32:
  bool fused{false};            ///< fma rounds once
  bool subnormals{false};       ///< are kept
  bool rounded_division{false}; ///< division and square root are rounded correctly
  bool nearest{false};          ///< rounds to nearest even
  bool infinities{false};       ///< and NaNs
  bool little_endian{false};
  bool compiler{false}; ///< builds programs from source

  friend bool operator==(const device_facts&, const device_facts&) = default;
};

/// What exact-1 demands of a device, as far as its driver states it (docs/formats/exact-1.md).
/// `unsupported` names the first thing that is missing. What it states is not believed: see
/// gate.hpp.
[[nodiscard]] result<void> check_demands(const device_facts& facts);

/// A stretch of a device's memory; freed with the object, after what was queued with it.
class device_memory {
public:
  virtual ~device_memory() = default;
  [[nodiscard]] virtual std::size_t bytes() const noexcept = 0;
};
using device_memory_ptr = std::unique_ptr<device_memory>;

/// Groups of work-items in three dimensions, all at least 1.
struct device_grid {
  std::uint32_t x{1};
  std::uint32_t y{1};
  std::uint32_t z{1};
};

using device_argument = std::variant<const device_memory*, std::uint32_t, float>;

/// Work is done in the order in which it was queued. The first failure makes everything behind it
/// idle, until `settle` has told it. One thread at a time. Preconditions: places are within their
/// memory, and memory is of this device.
class device {
public:
  virtual ~device() = default;

  [[nodiscard]] virtual const device_facts& facts() const noexcept = 0;

  /// `over_limit` where the device has not so much. Its content is unspecified.
  [[nodiscard]] virtual result<device_memory_ptr> allocate(std::size_t bytes) = 0;

  virtual void write(device_memory& to, std::size_t at, std::span<const std::byte> from) = 0;
  /// Waits for what was queued before. After a failure `to` is unspecified.
  virtual void read(const device_memory& from, std::size_t at, std::span<std::byte> to) = 0;
  virtual void copy(const device_memory& from, std::size_t from_at, device_memory& to,
                    std::size_t to_at, std::size_t bytes) = 0;
  /// Arguments in the order of the kernel's; all of them.
  virtual void launch(device_kernel kernel, device_grid groups,
                      std::span<const device_argument> arguments) = 0;

  /// Waits for all that was queued. `io_failed` with what failed first: what was computed since the
  /// last call is worth nothing then.
  [[nodiscard]] virtual result<void> settle() = 0;
};

/// So many groups of `each` hold `count`.
[[nodiscard]] constexpr std::uint32_t groups_of(std::size_t count, std::size_t each) noexcept {
  return static_cast<std::uint32_t>((count + each - 1) / each);
}

/// `launch` with its arguments as they come.
template <class... Arguments>
void launch(device& d, device_kernel kernel, device_grid groups, const Arguments&... arguments) {
  const device_argument all[] = {device_argument{arguments}...};
  d.launch(kernel, groups, all);
}

/// Memory with the bytes of `values`.
template <class T>
[[nodiscard]] result<device_memory_ptr> put(device& d, std::span<const T> values) {
  OVIR_ASSIGN(device_memory_ptr memory, d.allocate(values.size_bytes()));
  d.write(*memory, 0, std::as_bytes(values));
  return memory;
}

/// At least `bytes`; what was there is lost where it grows.
[[nodiscard]] result<void> grow(device& d, device_memory_ptr& memory, std::size_t bytes);

} // namespace ovir::compute
