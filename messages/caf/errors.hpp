#pragma once

#include "messages/error.hpp"

#include <caf/atom.hpp>
#include <caf/error.hpp>

#include <string>

namespace ovir {

/// The category under which `errc` travels inside a `caf::error`.
inline constexpr caf::atom_value error_category = caf::atom("ovir");

/// Found by argument-dependent look-up, so that CAF turns an `errc` into an error by itself.
[[nodiscard]] caf::error make_error(errc code);
[[nodiscard]] caf::error make_error(errc code, std::string message);

/// Keeps code and sentence.
[[nodiscard]] caf::error to_caf(const error& e);

/// Inverse of `to_caf`. CAF's own errors become the code whose reaction fits: a request's time-out
/// is `timed_out`, an actor that is gone is `peer_lost`, anything else `internal`.
[[nodiscard]] error from_caf(const caf::error& e);

/// True for an actor that ended because it was done or was asked to: no reason, or a shutdown.
[[nodiscard]] bool is_normal_exit(const caf::error& reason);

} // namespace ovir
