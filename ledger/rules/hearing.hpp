#pragma once

#include "messages/evidence/audit.hpp"
#include "messages/node_id.hpp"

#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

/// What happens between the verdicts against a node and its conviction: it is heard. No clock, no
/// links, no arithmetic: who calls knows when the time is over and whether signatures hold.
namespace ovir::ledger {

// What the shell must do.
/// Tell the accused, and wait limits::hearing_wait for what it says.
struct tell_accused {};
/// Have `host` compute the place again, with none of `taken`.
struct ask_further {
  node_id host;
  std::vector<audit_kernels> taken;
};
/// The conviction is final, as it stands here.
struct hearing_over {
  ovir::conviction what;
};
/// Nobody is convicted.
struct hearing_dropped {
  std::string_view reason;
};
using hearing_step = std::variant<tell_accused, ask_further, hearing_over, hearing_dropped>;

/// Kernels that a further verdict beside these must not come from; the reference goes with any.
[[nodiscard]] std::vector<audit_kernels> taken_by(std::span<const audit_verdict> verdicts);

/// One accusation. An admission or silence makes it final; a counter-computation is put before a
/// further host, whose word decides. Where no further host answers, the verdicts stand.
class hearing {
public:
  /// `draft` holds by itself. `others`: who may be asked besides those that gave verdicts, in
  /// order.
  hearing(ovir::conviction draft, const std::vector<node_id>& others);

  [[nodiscard]] const ovir::conviction& draft() const noexcept { return draft_; }
  [[nodiscard]] const std::optional<node_id>& asked() const noexcept { return asked_; }

  [[nodiscard]] static hearing_step begin() { return tell_accused{}; }
  /// Precondition of each: the signature holds, and it is about the draft. Nothing where it is not
  /// the accused's turn.
  [[nodiscard]] std::optional<hearing_step> admitted(const audit_admission& said);
  [[nodiscard]] std::optional<hearing_step> contested();
  /// From the host that was asked; of others, nothing.
  [[nodiscard]] std::optional<hearing_step> answered(const audit_verdict& verdict,
                                                     const digest& computed);
  /// The time of whoever was to speak is over.
  [[nodiscard]] hearing_step silent();

private:
  [[nodiscard]] hearing_step ask_next();

  ovir::conviction draft_;
  std::vector<node_id> left_; ///< to ask, last first
  std::optional<node_id> asked_;
  bool heard_{false}; ///< the accused had its turn
};

} // namespace ovir::ledger
