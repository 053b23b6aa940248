#pragma once

#include "apps/console.hpp"
#include "apps/exit_code.hpp"
#include "ledger/audit/epoch_draw.hpp"
#include "ledger/keeper/verify.hpp"
#include "messages/durable_file.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

/// `ovir-verify --draw`: who had to audit what by a ledger's log, and did.
namespace ovir::apps {

struct drawn_epoch {
  ledger::epoch_draw what; ///< without its accruals
  std::vector<ledger::drawn_unit> units;
};
/// An entry paid `to` for auditing `signer` in that window.
struct paid_audit {
  ledger::escrow_id request;
  std::uint32_t window{0};
  node_id signer;
  node_id to;
  friend auto operator<=>(const paid_audit&, const paid_audit&) = default;
};
struct verifier_sums {
  std::uint64_t drawn{0};
  std::uint64_t audited{0};
  std::uint64_t links_overdue{0};
};
struct draw_report {
  ledger::verify_report log;
  std::vector<drawn_epoch> epochs;          ///< those that are final, or have all links
  std::map<paid_audit, std::uint64_t> paid; ///< with the last entry that says so

  [[nodiscard]] bool audited(const drawn_epoch& e, const ledger::audit_unit& u,
                             const node_id& verifier) const;
  [[nodiscard]] std::map<node_id, verifier_sums> sums() const;
};

/// Checks the whole log, as `ovir ledger verify` does, and draws.
[[nodiscard]] result<draw_report> read_draws(durable_file& log);
[[nodiscard]] std::string text_of(const draw_report& r);
[[nodiscard]] json document_of(const draw_report& r);

/// `path` is a log, or the folder it is in. Prints the report; a wrong log is `wrong`.
[[nodiscard]] result<exit_code> verify_draws(const std::string& path, bool as_json);

} // namespace ovir::apps
