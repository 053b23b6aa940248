#pragma once

#include <unistd.h>

#include <string>
#include <utility>

namespace ovir::netdelay {

/// Owns a file descriptor.
class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int fd) : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  [[nodiscard]] int get() const { return fd_; }

private:
  int fd_{-1};
};

/// Throws std::runtime_error: what, and what errno says.
[[noreturn]] void fail_with_errno(const std::string& what);
/// `fd` where the call succeeded; throws as above where it did not.
[[nodiscard]] descriptor made(int fd, const std::string& what);

} // namespace ovir::netdelay
