#include "apps/ovir/node/ledger_part.hpp"

#include "apps/ovir/ledger/ledger_policy_file.hpp"

#include <fmt/format.h>

namespace ovir::apps {

std::string ledger_part(std::span<const node_id> keepers, const node_id& node) {
  if (keepers.empty()) {
    return {};
  }
  if (keepers.size() == 1 && keepers.front() == node) {
    return fmt::format("\n# What was computed, by whom, and who audited it; nothing is charged. "
                       "Prices: ledger.toml\n# among the examples.\n[ledger]\npolicy = \"{}\"\n"
                       "when_away = \"serve\"\n",
                       free_policy_name);
  }
  std::string names;
  for (const node_id& one : keepers) {
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ",\n          ", to_hex(one));
  }
  return fmt::format("\n# Who keeps the ledger. Requests go on without it.\n[ledger]\n"
                     "keeper = {}\nwhen_away = \"serve\"\n",
                     keepers.size() == 1 ? names : "[" + names + "]");
}

} // namespace ovir::apps
