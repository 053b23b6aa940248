#pragma once

#include "messages/check.hpp"
#include "messages/error.hpp"

#include <fmt/format.h>

#include <type_traits>
#include <utility>
#include <variant>

namespace ovir {

/// A value or the reason why there is none. Ours, because `caf::expected` would drag CAF into the
/// cores and changed between versions, and `std::expected` is not in C++20.
template <class T>
class [[nodiscard]] result {
public:
  using value_type = T;

  result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  result(ovir::error reason) : state_(std::in_place_index<1>, std::move(reason)) {}

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// Precondition of all of these: `has_value()`.
  T& value() & {
    OVIR_CHECK(has_value(), error_text());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    OVIR_CHECK(has_value(), error_text());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    OVIR_CHECK(has_value(), error_text());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// Precondition: not `has_value()`.
  [[nodiscard]] const ovir::error& error() const {
    OVIR_CHECK(!has_value());
    return *std::get_if<1>(&state_);
  }

private:
  [[nodiscard]] std::string error_text() const {
    return has_value() ? std::string{} : std::get_if<1>(&state_)->message;
  }

  std::variant<T, ovir::error> state_;
};

/// Success without a value, or the reason of the failure.
template <>
class [[nodiscard]] result<void> {
public:
  using value_type = void;

  result() = default;
  result(ovir::error reason) : error_(std::move(reason)), failed_(true) {}

  [[nodiscard]] bool has_value() const noexcept { return !failed_; }
  explicit operator bool() const noexcept { return !failed_; }

  /// Precondition: not `has_value()`.
  [[nodiscard]] const ovir::error& error() const {
    OVIR_CHECK(failed_);
    return error_;
  }

private:
  ovir::error error_;
  bool failed_{false};
};

/// Builds an error with a formatted sentence: `return fail(errc::malformed, "{}: bad magic",
/// path);`
template <class... Args>
[[nodiscard]] error fail(errc code, fmt::format_string<Args...> text, Args&&... args) {
  return error{code, fmt::format(text, std::forward<Args>(args)...)};
}

} // namespace ovir

/// Returns the error of a failed `expression` from the enclosing function.
#define OVIR_TRY(expression)                                                                       \
  do {                                                                                             \
    if (auto&& ovir_try_result = (expression); !ovir_try_result) {                                 \
      return ovir_try_result.error();                                                              \
    }                                                                                              \
  } while (false)

#define OVIR_CONCAT_INNER(a, b) a##b
#define OVIR_CONCAT(a, b) OVIR_CONCAT_INNER(a, b)

/// `OVIR_ASSIGN(auto file, open(path));` declares the value of a successful `expression`, or
/// returns its error from the enclosing function.
#define OVIR_ASSIGN(declaration, expression)                                                       \
  auto OVIR_CONCAT(ovir_result_, __LINE__) = (expression);                                         \
  if (!OVIR_CONCAT(ovir_result_, __LINE__)) {                                                      \
    return OVIR_CONCAT(ovir_result_, __LINE__).error();                                            \
  }                                                                                                \
  declaration = std::move(OVIR_CONCAT(ovir_result_, __LINE__)).value()
