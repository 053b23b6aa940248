#include "compute/base/reserved_memory.hpp"

#include "messages/sanitized.hpp"

#include <sys/mman.h>

#include <cstdlib>

namespace ovir::compute {

// The heap's ends are watched under a sanitizer, those of a mapping are not.

void reserved_delete::operator()(void* address) const noexcept {
  if constexpr (address_sanitized) {
    std::free(address);
  } else {
    ::munmap(address, bytes);
  }
}

std::unique_ptr<void, reserved_delete> reserve(std::size_t bytes) {
  if constexpr (address_sanitized) {
    return {std::calloc(bytes, 1), reserved_delete{bytes}};
  }
  void* const address =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return {address == MAP_FAILED ? nullptr : address, reserved_delete{bytes}};
}

} // namespace ovir::compute
