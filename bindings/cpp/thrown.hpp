#pragma once

#include "include/ovir/error.hpp"
#include "include/ovir/export.hpp"
#include "messages/result.hpp"

#include <type_traits>
#include <utility>

/// How the library's results become exceptions.
namespace ovir::v0 {

[[noreturn]] void throw_error(const ovir::error& reason);

template <class T>
T unwrap(ovir::result<T> made) {
  if (!made) {
    throw_error(made.error());
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(made).value();
  }
}

} // namespace ovir::v0
