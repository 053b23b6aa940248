#include "messages/caf/version.hpp"

#include <caf/config.hpp>

#include <fmt/format.h>

namespace ovir {

std::string caf_version() {
  return fmt::format("{}.{}.{}", CAF_VERSION / 10'000, CAF_VERSION / 100 % 100, CAF_VERSION % 100);
}

} // namespace ovir
