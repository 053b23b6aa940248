#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace ovir {

/// Prints the failed condition with its operands and aborts. Called by `OVIR_CHECK` only.
[[noreturn]] void check_failed(std::string_view condition, std::string_view file, int line,
                               const std::string& operands);

namespace detail {

template <class... Values>
std::string check_operands(const Values&... values) {
  std::string text;
  ((text += fmt::format(" [{}]", values)), ...);
  return text;
}

} // namespace detail

} // namespace ovir

/// Guards a promise of our own code, in every build. What a peer, a file or a user can cause is a
/// `result`, never a check. Further arguments are printed.
#define OVIR_CHECK(condition, ...)                                                                 \
  do {                                                                                             \
    if (!(condition)) [[unlikely]] {                                                               \
      ::ovir::check_failed(#condition, __FILE__, __LINE__,                                         \
                           ::ovir::detail::check_operands(__VA_ARGS__));                           \
    }                                                                                              \
  } while (false)
