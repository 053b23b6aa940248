#pragma once

#include "apps/exit_code.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"
#include "verify/receipt_check.hpp"

#include <cstdint>
#include <string>

/// The auditor on work of the profile `fast`: bits cannot be compared, distances can.
namespace ovir::apps {

/// Largest |a - b| / |b| over a unit that honest machines are apart. docs/CALIBRATION.md has the
/// measurements behind it, and what of honest work it refuses.
inline constexpr double fast_tolerance = 1e-4;

struct fast_check_orders {
  std::string file;
  std::string model;
  std::string isa;
  std::string calibrate; ///< "fast" or "exact": only tell distances, of whatever model
  std::uint32_t threads{1};
  compute::signer_policy who;
  bool as_json{false};
};

/// Checks the signature, computes everything again and compares unit by unit. Prints the verdict,
/// or the distances.
[[nodiscard]] result<exit_code> verify_fast(const fast_check_orders& orders,
                                            storage::env& environment);

} // namespace ovir::apps
