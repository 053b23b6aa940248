#include "bench/netdelay/descriptor.hpp"

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace ovir::netdelay {

void fail_with_errno(const std::string& what) {
  throw std::runtime_error{what + ": " + std::generic_category().message(errno)};
}

descriptor made(int fd, const std::string& what) {
  if (fd < 0) {
    fail_with_errno(what);
  }
  return descriptor{fd};
}

} // namespace ovir::netdelay
