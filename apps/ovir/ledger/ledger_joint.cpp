// `ovir ledger create --with | join`.
#include "apps/ovir/ledger/ledger_joint.hpp"

#include "apps/key_file.hpp"
#include "apps/ovir/ledger/ledger_commands.hpp"
#include "apps/ovir/ledger/ledger_folder.hpp"
#include "apps/state_folder.hpp"
#include "ledger/log/merkle.hpp"
#include "ledger/rules/policy.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace ovir::apps {

namespace {

struct join_options {
  std::string folder;
  std::string file;
  std::string key; ///< the node's; empty: the state folder's
  bool replaces{false};
  bool as_json{false};
};

result<joint_beginning> make_joint(storage::env& environment, const std::string& folder,
                                   std::span<const std::byte> first, const secret_key& key,
                                   actors::joint_use use) {
  OVIR_TRY(actors::make_joint_ledger(environment, folder, first, key, use));
  return joint_beginning{ledger::leaf_hash(first), folder,
                         folder + "/" + std::string{actors::first_entry_name}};
}

result<exit_code> join_ledger(const join_options& given, surroundings& around) {
  storage::env& env = around.environment;
  OVIR_ASSIGN(const std::string folder, ledger_folder_from(given.folder));
  std::string path = given.key;
  if (path.empty()) {
    OVIR_ASSIGN(const std::string state, state_folder());
    path = key_path_in(state);
  }
  OVIR_ASSIGN(const secret_key key, load_key(env, path));
  OVIR_ASSIGN(const std::string text, env.read(given.file, limits::ledger_entry_bytes_max));
  auto made = make_joint(env, folder, bytes_of(text), key,
                         given.replaces ? actors::joint_use::replace : actors::joint_use::begin);
  if (!made) {
    return in_context(given.file, made.error());
  }
  return tell_joint_ledger(*made, given.as_json);
}

} // namespace

result<joint_beginning> begin_joint_ledger(storage::env& environment, const std::string& folder,
                                           ledger::genesis rules, std::span<const std::string> with,
                                           const secret_key& key) {
  for (const std::string& name : with) {
    OVIR_ASSIGN(const node_id other, node_id_from_hex(name));
    rules.keepers.push_back(other);
  }
  std::ranges::sort(rules.keepers);
  return make_joint(environment, folder, actors::first_entry_of(rules, environment.unix_seconds()),
                    key, actors::joint_use::begin);
}

result<exit_code> tell_joint_ledger(const joint_beginning& made, bool as_json) {
  if (as_json) {
    OVIR_TRY(write_document(
        json{{"ledger", to_hex(made.ledger)}, {"folder", made.folder}, {"first", made.first}}));
    return exit_code::done;
  }
  write_note("for the other keepers: ovir ledger join " + made.first + "\n");
  OVIR_TRY(write_output(fmt::format("{}\n", to_hex(made.ledger))));
  return exit_code::done;
}

result<void> make_free_joint_ledger(storage::env& environment,
                                    std::span<const std::string> states) {
  std::vector<secret_key> keys;
  ledger::genesis rules;
  rules.rules = ledger::free_policy();
  std::size_t there = 0;
  for (const std::string& state : states) {
    OVIR_ASSIGN(secret_key key, load_key(environment, key_path_in(state)));
    rules.keepers.push_back(key.id());
    keys.push_back(std::move(key));
    OVIR_ASSIGN(const auto names, environment.list(state + "/ledger"));
    there += std::ranges::find(names, "log") != names.end() ? 1 : 0;
  }
  if (there == states.size()) {
    return {};
  }
  if (there > 0) {
    return fail(errc::invalid_argument,
                "{} of {} keepers have a ledger; those that lost theirs get it back with: ovir "
                "ledger join FILE --replace",
                there, states.size());
  }
  std::ranges::sort(rules.keepers);
  rules.mint_keys = rules.keepers;
  environment.random(std::as_writable_bytes(std::span{rules.salt.bytes}));
  const auto first = actors::first_entry_of(rules, environment.unix_seconds());
  for (std::size_t i = 0; i < states.size(); ++i) {
    OVIR_TRY(actors::make_joint_ledger(environment, states[i] + "/ledger", first, keys[i],
                                       actors::joint_use::begin));
  }
  return {};
}

void add_ledger_join(CLI::App& ledger, chosen_command& chosen) {
  const auto given = std::make_shared<join_options>();
  CLI::App* const command = add_ledger_command(
      ledger, chosen, "join", "Keep a ledger together with the nodes that its first entry names",
      given, join_ledger);
  command->add_option("FILE", given->file, "Its first entry: \"first\" in another keeper's folder")
      ->required();
  command->add_option("--key", given->key,
                      "Secret key of this node (default: node.key in the state folder)");
  command->add_flag(
      "--replace", given->replaces,
      "This node kept it before and lost its disk: it takes no vote before it has what "
      "the others have");
}

} // namespace ovir::apps
