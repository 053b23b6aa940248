#pragma once

#include "apps/ovir/base/command.hpp"

namespace ovir::apps {

/// A command over a ledger's folder. `Options` has its `folder`, and `as_json`.
template <class Options>
CLI::App* add_ledger_command(CLI::App& parent, chosen_command& chosen, const char* name,
                             const char* what, const std::shared_ptr<Options>& given,
                             result<exit_code> (*run)(const Options&, surroundings&)) {
  CLI::App* const command = parent.add_subcommand(name, what);
  command->add_option("--ledger", given->folder,
                      "Folder of the ledger (default: ledger in the state folder)");
  add_json(*command, given->as_json);
  command->callback([given, run, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given, run](surroundings& around) { return run(*given, around); };
  });
  return command;
}

// The parts of `ovir ledger`, one file each.

/// `create`, `mint`, `transfer`, `stake`, `unstake`, `balance`.
void add_ledger_accounts(CLI::App& ledger, chosen_command& chosen);
/// `voucher`, `revoke`, `vouchers`.
void add_ledger_vouchers(CLI::App& ledger, chosen_command& chosen);
/// `join`.
void add_ledger_join(CLI::App& ledger, chosen_command& chosen);
/// `log`, `verify`, `head`, `prove`.
void add_ledger_log(CLI::App& ledger, chosen_command& chosen);
/// `statement`.
void add_ledger_statement(CLI::App& ledger, chosen_command& chosen);
/// `policy`.
void add_ledger_policy(CLI::App& ledger, chosen_command& chosen);

/// `clock`.
void add_ledger_clock(CLI::App& ledger, chosen_command& chosen);

} // namespace ovir::apps
