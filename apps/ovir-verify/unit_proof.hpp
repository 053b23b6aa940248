#pragma once

#include "apps/exit_code.hpp"
#include "apps/ovir-verify/sandbox.hpp"
#include "apps/receipt_report.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <atomic>
#include <cstdint>
#include <string>

/// The auditor on proofs of units.
namespace ovir::apps {

struct unit_proof_orders {
  std::string receipt;
  std::string proof;
  std::string roots;
  std::string isa;
  std::uint32_t threads{1};
  compute::signer_policy who;
  sandbox_limits bounds;
  bool as_json{false};
};

/// Checks the receipt, then that units of it follow from products proven by the roots alone: all of
/// it in a sandboxed process. Prints the verdict.
[[nodiscard]] result<exit_code> verify_unit_proof(const unit_proof_orders& orders,
                                                  storage::env& environment,
                                                  const std::atomic<bool>& interrupted);

} // namespace ovir::apps
