#include "messages/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace ovir {

void check_failed(std::string_view condition, std::string_view file, int line,
                  const std::string& operands) {
  fmt::print(stderr, "ovir: broken promise: {} at {}:{}{}; please report this\n", condition, file,
             line, operands);
  std::fflush(stderr);
  std::abort();
}

} // namespace ovir
