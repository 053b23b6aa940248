#include "messages/error.hpp"

namespace ovir {

std::string_view to_string(errc code) noexcept {
  switch (code) {
  case errc::busy: return "busy";
  case errc::timed_out: return "timed_out";
  case errc::peer_lost: return "peer_lost";
  case errc::segment_missing: return "segment_missing";
  case errc::malformed: return "malformed";
  case errc::unsupported: return "unsupported";
  case errc::over_limit: return "over_limit";
  case errc::invalid_argument: return "invalid_argument";
  case errc::not_found: return "not_found";
  case errc::nonfinite: return "nonfinite";
  case errc::cancelled: return "cancelled";
  case errc::superseded: return "superseded";
  case errc::digest_mismatch: return "digest_mismatch";
  case errc::io_failed: return "io_failed";
  case errc::self_test_failed: return "self_test_failed";
  case errc::restarts_exhausted: return "restarts_exhausted";
  case errc::internal: return "internal";
  }
  return "unknown";
}

} // namespace ovir
