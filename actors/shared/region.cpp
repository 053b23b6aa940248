#include "actors/shared/region.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace ovir::actors {

namespace {

constexpr int size_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

std::string system_problem() { return std::generic_category().message(errno); }

} // namespace

file_handle::~file_handle() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

shared_region::shared_region(shared_region&& other) noexcept
    : file_(std::move(other.file_)), memory_(std::exchange(other.memory_, nullptr)) {}

shared_region& shared_region::operator=(shared_region&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(memory_, other.memory_);
  return *this;
}

shared_region::~shared_region() {
  if (memory_ != nullptr) {
    ::munmap(memory_, size_bytes);
  }
}

result<shared_region> shared_region::map(file_handle file) {
  void* const address =
      ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) {
    return fail(errc::io_failed, "shared memory of {} KiB cannot be mapped: {}", size_bytes >> 10U,
                system_problem());
  }
  return shared_region{std::move(file), static_cast<std::byte*>(address)};
}

result<shared_region> shared_region::make() {
  file_handle file{::memfd_create("ovir link", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  if (!file) {
    return fail(errc::unsupported, "the system makes no shared memory: {}", system_problem());
  }
  // Reserved now: memory that is not to be had later would end the process that touches it.
  if (::ftruncate(file.get(), static_cast<off_t>(size_bytes)) != 0 ||
      ::fallocate(file.get(), 0, 0, static_cast<off_t>(size_bytes)) != 0 ||
      ::fcntl(file.get(), F_ADD_SEALS, size_seals) != 0) {
    return fail(errc::io_failed, "shared memory of {} KiB cannot be reserved: {}",
                size_bytes >> 10U, system_problem());
  }
  return map(std::move(file));
}

result<shared_region> shared_region::take(file_handle file) {
  struct stat status {};
  const int seals = ::fcntl(file.get(), F_GET_SEALS); // fails where the file cannot be sealed
  if (seals < 0 || (seals & size_seals) != size_seals || ::fstat(file.get(), &status) != 0 ||
      status.st_size != static_cast<off_t>(size_bytes)) {
    return fail(errc::malformed,
                "what a process shows as shared memory has another size than {} "
                "KiB, or could change it",
                size_bytes >> 10U);
  }
  OVIR_ASSIGN(shared_region region, map(std::move(file)));
  region.close_file();
  return region;
}

std::span<std::byte> shared_region::ring(std::size_t direction) const {
  OVIR_CHECK(direction < 2 && memory_ != nullptr, direction);
  return {memory_ + direction * ring_bytes, ring_bytes};
}

} // namespace ovir::actors
