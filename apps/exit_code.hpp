#pragma once

#include "messages/error.hpp"

#include <cstdint>

namespace ovir::apps {

/// What a program's end tells a script.
enum class exit_code : std::uint8_t {
  done = 0,
  wrong = 1,       ///< the thing checked is wrong
  usage = 2,       ///< an option is unknown, contradictory or out of its range
  refused = 3,     ///< the input is refused or not found, or the disk refused the output
  unavailable = 4, ///< lost, busy, timed out, or this machine cannot do it now
};

[[nodiscard]] constexpr exit_code exit_code_of(errc code) noexcept {
  switch (code) {
  case errc::invalid_argument: return exit_code::usage;
  case errc::digest_mismatch: return exit_code::wrong;
  case errc::busy:
  case errc::timed_out:
  case errc::peer_lost:
  case errc::segment_missing:
  case errc::superseded:
  case errc::self_test_failed:
  case errc::restarts_exhausted:
  case errc::internal: return exit_code::unavailable;
  case errc::malformed:
  case errc::unsupported:
  case errc::over_limit:
  case errc::not_found:
  case errc::nonfinite:
  case errc::cancelled:
  case errc::io_failed: return exit_code::refused;
  }
  return exit_code::unavailable;
}

} // namespace ovir::apps
