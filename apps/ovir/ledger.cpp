#include "apps/ovir/ledger_commands.hpp"

namespace ovir::apps {

void add_ledger(CLI::App& app, chosen_command& chosen) {
  CLI::App* const ledger = app.add_subcommand("ledger", "Credits: rules, accounts and their log");
  ledger->require_subcommand(1);
  add_ledger_policy(*ledger, chosen);
}

} // namespace ovir::apps
