#include "apps/ovir/node/node_config_ledger.hpp"

#include "apps/ovir/ledger/ledger_policy_file.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <utility>

namespace ovir::apps {

namespace {

constexpr text_rule path_rule{"path", limits::path_bytes_max};
constexpr text_rule key_rule{"key", 2 * node_id::size};
constexpr text_rule word_rule{"word", limits::node_name_bytes_max};

const toml::source_region& place_of(const toml::table& table, std::string_view key) {
  return table.get(key)->source();
}

result<std::string> path_at(const config_reader& in, const toml::table& table, std::string_view key,
                            const std::filesystem::path& folder) {
  OVIR_ASSIGN(const std::string text, in.text(table, key, path_rule, std::string{}));
  if (text.empty()) {
    return text;
  }
  if (text.front() == '~' || text.find('$') != std::string::npos) {
    return in.refuse(place_of(table, key),
                     "'{}' is taken as it stands: ~ and environment variables are not expanded; "
                     "write the whole path, or one relative to this file's folder",
                     key);
  }
  return (folder / text).lexically_normal().string();
}

result<node_id> key_of(const config_reader& in, const toml::node& value, std::string_view name) {
  OVIR_ASSIGN(const std::string text, in.text_of(value, name, key_rule));
  const result<node_id> parsed = node_id_from_hex(text);
  if (!parsed || parsed->empty()) {
    return in.refuse(value.source(),
                     "'{}' must be a key: 64 lower-case hexadecimal digits, as the "
                     "node and `ovir keygen` print it",
                     name);
  }
  return *parsed;
}

/// Only a keeper has a ledger of its own. That a keeper's own key is the one named, if any, is
/// looked at when the node starts and has a key.
result<void> check_side(const config_reader& in, const toml::table& table, bool keeps) {
  for (const std::string_view key : {"folder", "policy", "mint_keys"}) {
    if (table.contains(key) && !keeps) {
      return in.refuse(place_of(table, key),
                       "'{}' is for who keeps the ledger; add ledger to 'roles', or set 'keeper'",
                       key);
    }
  }
  return {};
}

/// A file, or the rules that the program knows.
result<void> read_policy(const config_reader& in, const toml::table& table,
                         const std::filesystem::path& folder, supervision::ledger_option& o) {
  OVIR_ASSIGN(const std::string text, in.text(table, "policy", path_rule, std::string{}));
  if (text == free_policy_name) {
    o.policy = text;
    o.rules = ledger::free_policy();
    return {};
  }
  OVIR_ASSIGN(o.policy, path_at(in, table, "policy", folder));
  return {};
}

/// One key, or those of several keepers, or of some of them.
result<void> read_keepers(const config_reader& in, const toml::table& table,
                          std::vector<node_id>& keys) {
  const toml::node* const value = table.get("keeper");
  if (value == nullptr) {
    return {};
  }
  if (!value->is_array()) {
    OVIR_ASSIGN(const node_id key, key_of(in, *value, "keeper"));
    keys.push_back(key);
    return {};
  }
  OVIR_ASSIGN(keys, read_node_keys(in, table, "keeper", limits::ledger_keepers_max));
  return {};
}

} // namespace

result<std::vector<node_id>> read_node_keys(const config_reader& in, const toml::table& table,
                                            std::string_view name, std::size_t most) {
  std::vector<node_id> keys;
  OVIR_ASSIGN(const toml::array* const list, in.array(table, name, most));
  if (list == nullptr) {
    return keys;
  }
  for (const toml::node& value : *list) {
    OVIR_ASSIGN(const node_id key, key_of(in, value, name));
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) {
      return in.refuse(value.source(), "'{}' names {}... twice", name, short_name(key));
    }
    keys.push_back(key);
  }
  return keys;
}

result<void> read_ledger_section(const config_reader& in, const toml::table& root,
                                 const std::filesystem::path& folder,
                                 supervision::node_options& options) {
  OVIR_ASSIGN(const toml::table* const table, in.section(root, "ledger"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in.known_keys(*table, "[ledger]", ledger_section_keys));
  OVIR_TRY(check_side(in, *table, options.roles.has(role::ledger)));
  supervision::ledger_option& o = options.ledger;
  OVIR_ASSIGN(o.folder, path_at(in, *table, "folder", folder));
  OVIR_TRY(read_policy(in, *table, folder, o));
  OVIR_ASSIGN(o.mint_keys, read_node_keys(in, *table, "mint_keys", limits::ledger_mint_keys_max));
  OVIR_TRY(read_keepers(in, *table, o.keepers));
  OVIR_ASSIGN(const std::string away, in.text(*table, "when_away", word_rule, "refuse"));
  if (away != "refuse" && away != "serve") {
    return in.refuse(place_of(*table, "when_away"), "'when_away' is \"refuse\" or \"serve\"");
  }
  o.serves_unpaid = away == "serve";
  OVIR_ASSIGN(o.follow, in.boolean(*table, "follow", o.follow));
  OVIR_ASSIGN(const std::string rewards, in.text(*table, "rewards", word_rule, "work"));
  const auto rule = ledger::reward_rule_from(rewards);
  if (!rule) {
    return in.refuse(place_of(*table, "rewards"), "'rewards' is \"work\", \"factors\" or \"divy\"");
  }
  o.rewards = *rule;
  OVIR_ASSIGN(const std::string clients, in.text(*table, "clients", word_rule, "node"));
  if (clients != "node" && clients != "self") {
    return in.refuse(place_of(*table, "clients"), "'clients' is \"node\" or \"self\"");
  }
  o.clients_pay = clients == "self";
  for (const auto& [key, ask] :
       {std::pair{"ask_ppm", &o.ask_ppm}, std::pair{"ask_max_ppm", &o.ask_max_ppm}}) {
    OVIR_ASSIGN(const std::uint64_t ppm,
                in.whole(*table, key, {1, limits::ledger_ask_ppm_max}, *ask));
    *ask = static_cast<std::uint32_t>(ppm);
  }
  if (table->contains("stake")) {
    OVIR_ASSIGN(o.stake, in.whole(*table, "stake", {0, limits::ledger_supply_max}, 0));
  }
  return {};
}

} // namespace ovir::apps
