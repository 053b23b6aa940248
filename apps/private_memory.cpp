#include "apps/private_memory.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <system_error>

namespace ovir::apps {

result<void> keep_memory_private() {
  const char* const allowed = std::getenv("OVIR_ALLOW_DEBUG");
  if (allowed != nullptr && std::string_view{allowed} == "1") {
    return {};
  }
  // The limit alone is not enough: a program that the system pipes core files to gets them without
  // one. Nor is the flag: a program that is executed from here begins with neither a flag nor keys,
  // but keeps the limit.
  const struct rlimit none { 0, 0 };
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || ::setrlimit(RLIMIT_CORE, &none) != 0) {
    return fail(errc::io_failed,
                "the memory of this process cannot be kept from other processes and core files "
                "({}); with OVIR_ALLOW_DEBUG=1 it starts all the same",
                std::system_category().message(errno));
  }
  return {};
}

} // namespace ovir::apps
