#pragma once

#include "apps/console.hpp"
#include "messages/evidence/receipt.hpp"
#include "verify/addendum_check.hpp"
#include "verify/receipt_check.hpp"

#include <span>
#include <string>
#include <vector>

/// What verifiers signed about a receipt, as a file beside it (docs/formats/addenda.md).
namespace ovir::apps {

struct addenda_report {
  compute::judged_addenda judged;
  std::size_t windows{0};  ///< of all stages
  std::size_t right{0};    ///< of these, found so by a verifier whose word counts
  std::size_t disputed{0}; ///< found wrong by one

  /// Every addendum counts, and none found anything wrong.
  [[nodiscard]] bool ok() const noexcept { return judged.faults.empty() && disputed == 0; }
};

/// `receipt_bytes`: those that `r` was read from. `who`: whose word counts.
[[nodiscard]] addenda_report judge_addenda_file(const receipt& r,
                                                std::span<const std::byte> receipt_bytes,
                                                std::span<const addendum> all,
                                                const compute::signer_policy& who);
/// {"audits": [...], "failures": [{"what", "signer"}], "windows", "right", "disputed"}
[[nodiscard]] json addenda_document(const addenda_report& report);
[[nodiscard]] std::string addenda_text(const addenda_report& report);

} // namespace ovir::apps
