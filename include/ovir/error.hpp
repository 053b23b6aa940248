#pragma once

#include <ovir/export.hpp>

#include <stdexcept>
#include <string>
#include <string_view>

namespace ovir::OVIR_INLINE v0 {

/// What cannot be done. `what()` is one sentence for a person: what, where, what to do.
class OVIR_API error : public std::runtime_error {
public:
  error(std::string code, const std::string& message);
  ~error() override;
  error(const error&) = default;
  error& operator=(const error&) = default;

  /// A word for programs: that of JSON errors, as "not_found", "invalid_argument", "over_limit",
  /// "malformed", "unsupported", "busy", "peer_lost", "timed_out", or one of a cluster's own.
  [[nodiscard]] const std::string& code() const noexcept;

private:
  std::string code_;
};

/// The version of the library that is linked: "0.1.0".
[[nodiscard]] OVIR_API std::string_view library_version() noexcept;

} // namespace ovir::OVIR_INLINEv0
