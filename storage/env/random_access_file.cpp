#include "storage/env/random_access_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace ovir::storage {

namespace {

constexpr std::uint64_t disk_unit_bytes = 512; // of st_blocks, whatever the filesystem's own

error refused(const std::string& path, std::string_view what, int code) {
  const bool full = code == ENOSPC || code == EDQUOT || code == EFBIG;
  return fail(errc::io_failed, "{}: cannot be {} ({}); {}", path, what,
              std::generic_category().message(code),
              full ? "free some space or choose another place"
                   : "check its permissions and the disk");
}

} // namespace

random_access_file::random_access_file(std::string path, int fd) noexcept
    : path_(std::move(path)), fd_(fd) {}

random_access_file::~random_access_file() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

random_access_file::random_access_file(random_access_file&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

random_access_file& random_access_file::operator=(random_access_file&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

result<random_access_file> random_access_file::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
  if (fd < 0) {
    return refused(path, "opened", errno);
  }
  return random_access_file{path, fd};
}

result<random_access_file> random_access_file::open_to_read(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) {
    return fail(errc::not_found, "{}: there is no such file; check the path", path);
  }
  if (fd < 0) {
    return refused(path, "opened", errno);
  }
  return random_access_file{path, fd};
}

result<std::size_t> random_access_file::read_at(std::uint64_t offset,
                                                std::span<std::byte> out) const {
  std::size_t got = 0;
  while (got < out.size()) {
    const ssize_t n =
        ::pread(fd_, out.data() + got, out.size() - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return refused(path_, "read", errno);
    }
    if (n == 0) {
      break;
    }
    got += static_cast<std::size_t>(n);
  }
  return got;
}

result<void> random_access_file::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return refused(path_, "written", n < 0 ? errno : ENOSPC);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

result<void> random_access_file::sync() {
  if (::fdatasync(fd_) != 0) {
    return refused(path_, "written to the disk", errno);
  }
  return {};
}

void random_access_file::sync_soon(std::uint64_t offset, std::uint64_t bytes) noexcept {
  ::sync_file_range(fd_, static_cast<off64_t>(offset), static_cast<off64_t>(bytes),
                    SYNC_FILE_RANGE_WRITE);
}

void random_access_file::release(std::uint64_t offset, std::uint64_t bytes) noexcept {
  ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
              static_cast<off_t>(bytes));
}

result<void> random_access_file::truncate(std::uint64_t bytes) {
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) {
    return refused(path_, "shortened", errno);
  }
  return {};
}

result<std::uint64_t> random_access_file::size() const {
  struct stat status {};
  if (::fstat(fd_, &status) != 0) {
    return refused(path_, "looked at", errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(errc::io_failed, "{}: is not a regular file; remove it or choose another place",
                path_);
  }
  return static_cast<std::uint64_t>(status.st_size);
}

std::uint64_t random_access_file::bytes_on_disk() const noexcept {
  struct stat status {};
  return ::fstat(fd_, &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * disk_unit_bytes
                                    : 0;
}

void sync_folder(const std::string& folder) noexcept {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    ::fsync(fd);
    ::close(fd);
  }
}

result<void> rename_file(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    return refused(to, "replaced", errno);
  }
  return {};
}

} // namespace ovir::storage
