#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace ovir {

/// Why an operation did not happen. A code exists only where some caller reacts to it in its own
/// way; values are explicit and never reused, because they travel between machines and versions.
/// Eight bits: what CAF 0.17 carries.
enum class errc : std::uint8_t {
  // retry: the same call may succeed later
  busy = 1,      ///< a bounded queue or limit is full right now
  timed_out = 2, ///< a deadline passed before the answer came

  // reroute: the same call may succeed elsewhere
  peer_lost = 10,       ///< the actor or node behind a handle is gone
  segment_missing = 11, ///< no one here holds the layers asked for

  // refuse: the caller must change something
  malformed = 20,        ///< bytes that do not follow their format
  unsupported = 21,      ///< well-formed, but of a kind this build does not know
  over_limit = 22,       ///< larger than a named bound
  invalid_argument = 23, ///< an option or parameter outside its range
  not_found = 24,        ///< no such file, model, tensor or request
  nonfinite = 25,        ///< a NaN or infinity arose in a layer; the unit has no value
  cancelled = 26,        ///< the requester withdrew
  superseded = 27,       ///< another driver has taken the request over

  // dispute: keep the evidence
  digest_mismatch = 40, ///< bytes that do not match the digest stated for them

  // halt: this process or machine cannot go on with it; a supervisor decides
  io_failed = 60,          ///< the operating system refused a read, write or map
  self_test_failed = 61,   ///< a kernel differs from the reference on this machine
  restarts_exhausted = 62, ///< a supervised child crashed more often than its intensity allows
  internal = 63,           ///< a broken promise of our own code
};

/// What the receiver of an error should do next. Groups the codes above.
enum class reaction : std::uint8_t { retry, reroute, refuse, dispute, halt };

[[nodiscard]] constexpr reaction reaction_to(errc code) noexcept {
  const auto value = static_cast<std::uint8_t>(code);
  if (value < 10) {
    return reaction::retry;
  }
  if (value < 20) {
    return reaction::reroute;
  }
  if (value < 40) {
    return reaction::refuse;
  }
  return value < 60 ? reaction::dispute : reaction::halt;
}

/// The code's name as printed in logs and JSON, e.g. "over_limit".
[[nodiscard]] std::string_view to_string(errc code) noexcept;

/// The value of a failed operation. `message` is one sentence for a person: what, where, what to
/// do.
struct error {
  errc code{errc::internal};
  std::string message;

  friend bool operator==(const error&, const error&) = default;
};

/// Puts `context` and a colon in front of the message.
[[nodiscard]] inline error in_context(std::string_view context, error e) {
  e.message = std::string{context} + ": " + e.message;
  return e;
}

} // namespace ovir
