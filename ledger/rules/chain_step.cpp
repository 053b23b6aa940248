#include "ledger/rules/chain_step.hpp"

namespace ovir::ledger {

digest link_before(digest link, std::uint64_t steps) {
  for (; steps > 0; --steps) {
    link = hasher{"ovir/audit/v1/chain"}.update(link).finish();
  }
  return link;
}

} // namespace ovir::ledger
