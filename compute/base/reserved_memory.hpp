#pragma once

#include <cstddef>
#include <memory>

namespace ovir::compute {

/// Gives a reservation back to the system.
struct reserved_delete {
  std::size_t bytes{0};
  void operator()(void* address) const noexcept;
};

/// `T`s whose pages take memory once they are written, all zero before, and go back to the system
/// when this ends: an allocator would keep them for itself. A resource: moved, never copied.
template <class T>
using reserved_memory = std::unique_ptr<T, reserved_delete>;

/// `bytes` of address space, aligned to a page; null when there is none. Precondition: `bytes` > 0.
[[nodiscard]] std::unique_ptr<void, reserved_delete> reserve(std::size_t bytes);

/// Room for `count` values. Precondition: `count` > 0, and `count` * sizeof(T) is a size.
template <class T>
[[nodiscard]] reserved_memory<T> reserve_for(std::size_t count) {
  auto bytes = reserve(count * sizeof(T));
  const reserved_delete how = bytes.get_deleter();
  return {static_cast<T*>(bytes.release()), how};
}

} // namespace ovir::compute
