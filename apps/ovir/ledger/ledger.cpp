#include "apps/ovir/ledger/ledger_commands.hpp"

namespace ovir::apps {

void add_ledger(CLI::App& app, chosen_command& chosen) {
  CLI::App* const ledger = app.add_subcommand("ledger", "Credits: rules, accounts and their log");
  ledger->require_subcommand(1);
  ledger->footer("One process at a time may change a ledger. Amounts are credits with up to six "
                 "decimals.\n\nExamples:\n"
                 "  ovir ledger create --policy config/ledger.toml --mint-key PUBLIC_KEY\n"
                 "  ovir ledger mint PUBLIC_KEY 100\n  ovir ledger transfer PUBLIC_KEY 12.5\n"
                 "  ovir ledger statement PUBLIC_KEY --csv\n  ovir ledger verify --json");
  add_ledger_accounts(*ledger, chosen);
  add_ledger_join(*ledger, chosen);
  add_ledger_vouchers(*ledger, chosen);
  add_ledger_log(*ledger, chosen);
  add_ledger_statement(*ledger, chosen);
  add_ledger_policy(*ledger, chosen);
  add_ledger_clock(*ledger, chosen);
}

} // namespace ovir::apps
