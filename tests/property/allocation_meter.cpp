#include "tests/support/allocation_meter.hpp"

#include "messages/sanitized.hpp"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace ovir::test {

namespace {

std::atomic<std::size_t> now{0};
std::atomic<std::size_t> peak{0};

[[maybe_unused]] void* counted(void* p) {
  if (p == nullptr) {
    throw std::bad_alloc{};
  }
  const std::size_t bytes = ::malloc_usable_size(p);
  const std::size_t total = now.fetch_add(bytes) + bytes;
  std::size_t seen = peak.load();
  while (total > seen && !peak.compare_exchange_weak(seen, total)) {
  }
  return p;
}

[[maybe_unused]] void release(void* p) noexcept {
  if (p != nullptr) {
    now.fetch_sub(::malloc_usable_size(p));
    std::free(p);
  }
}

} // namespace

std::size_t allocated_bytes() noexcept { return now.load(); }
std::size_t allocation_peak() noexcept { return peak.load(); }
void reset_allocation_peak() noexcept { peak.store(now.load()); }

} // namespace ovir::test

// ThreadSanitizer brings operators of its own, beside which there can be no others: under it
// nothing is counted.
#if OVIR_THREAD_SANITIZED == 0
// The aligned forms stay the library's: what they allocate they also free, so the count stays
// right.
void* operator new(std::size_t bytes) {
  return ovir::test::counted(std::malloc(bytes == 0 ? 1 : bytes));
}
void* operator new[](std::size_t bytes) { return ::operator new(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  void* p = std::malloc(bytes == 0 ? 1 : bytes);
  return p == nullptr ? nullptr : ovir::test::counted(p);
}
void* operator new[](std::size_t bytes, const std::nothrow_t& tag) noexcept {
  return ::operator new(bytes, tag);
}
void operator delete(void* p) noexcept { ovir::test::release(p); }
void operator delete[](void* p) noexcept { ovir::test::release(p); }
void operator delete(void* p, std::size_t) noexcept { ovir::test::release(p); }
void operator delete[](void* p, std::size_t) noexcept { ovir::test::release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { ovir::test::release(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { ovir::test::release(p); }
#endif
