#pragma once

#include "ledger/rules/command.hpp"
#include "ledger/rules/wide.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <optional>

/// A reservation as a scheduler offers it to a client that pays for itself
/// (docs/adr/0017-payments.md): what the client looks at before it signs, for the signature is all
/// that bounds what is spent.
namespace ovir::ledger {

struct offer_terms {
  node_id payer;
  node_id scheduler;                   ///< whom the client talks to
  micro_credits most{0};               ///< it is willing to pay
  std::optional<std::uint64_t> prompt; ///< tokens, where the client knows them
  std::uint64_t completion_max{0};     ///< tokens it asked for
  std::uint64_t now{0};                ///< seconds since 1970
};

/// What the whole request may cost. `invalid_argument` for an offer that is not for this payer,
/// this scheduler and this request, or lasts longer than limits::offer_lasts_s_max; `over_limit`
/// where it costs more than the client is willing to pay.
[[nodiscard]] result<micro_credits> check_offer(const reserve& offered, const offer_terms& terms);

} // namespace ovir::ledger
