#include "apps/ovir/node/ledger_part.hpp"

#include "apps/ovir/ledger/ledger_policy_file.hpp"

#include <fmt/format.h>

namespace ovir::apps {

std::string ledger_part(const node_id& keeper, const node_id& node) {
  if (keeper.empty()) {
    return {};
  }
  if (keeper == node) {
    return fmt::format("\n# What was computed, by whom, and who audited it; nothing is charged. "
                       "Prices: ledger.toml\n# among the examples.\n[ledger]\npolicy = \"{}\"\n"
                       "when_away = \"serve\"\n",
                       free_policy_name);
  }
  return fmt::format("\n# Who keeps the ledger. Requests go on without it.\n[ledger]\n"
                     "keeper = \"{}\"\nwhen_away = \"serve\"\n",
                     to_hex(keeper));
}

} // namespace ovir::apps
