#include "actors/payment/joint_ledger.hpp"

#include "actors/payment/journal_folder.hpp"
#include "ledger/group/keeper_group.hpp"
#include "ledger/log/head.hpp"

#include <algorithm>
#include <optional>

namespace ovir::actors {

std::vector<std::byte> first_entry_of(const ledger::genesis& rules, std::uint64_t unix_s) {
  std::vector<std::byte> bytes;
  ledger::encode({unix_s, rules, {}}, bytes);
  return bytes;
}

result<ledger::genesis> rules_in(std::span<const std::byte> first_entry) {
  OVIR_ASSIGN(ledger::entry first, ledger::decode_entry(first_entry));
  auto* const rules = std::get_if<ledger::genesis>(&first.what);
  if (rules == nullptr) {
    return fail(errc::malformed, "this is no first entry of a ledger, but a {}",
                to_string(ledger::kind_of(first.what)));
  }
  return std::move(*rules);
}

namespace {

result<void> check_beginning(const ledger::genesis& rules, const node_id& self) {
  if (rules.keepers.size() < 2) {
    return fail(errc::invalid_argument,
                "this ledger has one keeper; a node that keeps it alone makes it itself");
  }
  if (!std::ranges::binary_search(rules.keepers, self)) {
    return fail(errc::invalid_argument, "this ledger is kept by {} and this node is {}",
                ledger::names_of(rules.keepers), short_name(self));
  }
  return ledger::check(rules.rules);
}

/// The journal of a keeper that has promised nothing yet.
result<void> found_group(storage::env& environment, const std::string& folder, ledger::ledger book,
                         const secret_key& key) {
  ledger::keeper_surroundings needs;
  needs.key = &key;
  OVIR_ASSIGN(ledger::keeper own, ledger::keeper::make(std::move(book), std::move(needs)));
  journal_folder files{environment, folder};
  ledger::group_surroundings around;
  around.key = &key;
  around.own = &own;
  around.files = &files;
  return ledger::keeper_group::found(around);
}

} // namespace

result<void> make_joint_ledger(storage::env& environment, const std::string& folder,
                               std::span<const std::byte> first_entry, const secret_key& key,
                               joint_use use) {
  OVIR_ASSIGN(const ledger::genesis rules, rules_in(first_entry));
  OVIR_ASSIGN(const ledger::entry first, ledger::decode_entry(first_entry));
  OVIR_TRY(check_beginning(rules, key.id()));
  OVIR_TRY(environment.make_folder(folder));
  OVIR_ASSIGN(const auto lock, environment.lock(folder));
  OVIR_ASSIGN(const auto names, environment.list(folder));
  if (std::ranges::find(names, "log") != names.end()) {
    return fail(errc::invalid_argument, "{}: there is a ledger already; name another folder",
                folder);
  }
  const std::string path = folder + "/log";
  OVIR_ASSIGN(const auto file, environment.open_durable(path, storage::durable_use::make));
  ledger::ledger_options options;
  environment.random(std::as_writable_bytes(std::span{&options.seed, 1}));
  OVIR_ASSIGN(ledger::ledger book, ledger::ledger::create(*file, rules, first.time, options));
  OVIR_ASSIGN(const auto copy, environment.stage(folder + "/" + std::string{first_entry_name}));
  OVIR_TRY(copy->append(first_entry));
  OVIR_TRY(copy->commit());
  if (use == joint_use::replace) {
    return {}; // without a journal it asks the others what it forgot
  }
  auto done = found_group(environment, folder, std::move(book), key);
  if (!done) {
    (void)environment.remove(path); // with a log and no journal it would wait for others
  }
  return done;
}

} // namespace ovir::actors
