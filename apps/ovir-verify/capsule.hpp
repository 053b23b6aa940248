#pragma once

#include "apps/exit_code.hpp"
#include "apps/ovir-verify/sandbox.hpp"
#include "apps/receipt_report.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

/// The auditor on replay capsules.
namespace ovir::apps {

/// What is to be done with a capsule.
struct capsule_orders {
  std::string file;
  std::string model; ///< empty: only whether receipt and inputs fit together
  /// With `prepared`, instead of a model: tier T1 of the units revealed.
  std::vector<std::string> reveals;
  std::string prepared;
  std::uint32_t one_in{1}; ///< with `reveals`: `compute::spot_draw`
  std::string isa;
  std::uint32_t threads{1};
  compute::signer_policy who;
  sandbox_limits bounds;
  bool as_json{false};
};

/// Reads the capsule, checks its receipt and inputs, and with a model computes its units again, or
/// checks those revealed: all of it in a sandboxed process. Prints the verdict.
[[nodiscard]] result<exit_code> verify_capsule(const capsule_orders& orders,
                                               storage::env& environment,
                                               const std::atomic<bool>& interrupted);

} // namespace ovir::apps
