#include "apps/ovir/node/node_config.hpp"

#include "apps/ovir/base/config_table.hpp"
#include "apps/ovir/base/node_address.hpp"
#include "apps/ovir/ledger/ledger_policy_file.hpp"
#include "apps/ovir/node/node_config_cache.hpp"
#include "apps/ovir/node/node_config_gateway.hpp"
#include "apps/ovir/node/node_config_keys.hpp"
#include "apps/ovir/node/node_config_lan.hpp"
#include "apps/ovir/node/node_config_ledger.hpp"
#include "apps/ovir/node/node_config_link.hpp"
#include "apps/ovir/node/node_config_log.hpp"
#include "apps/ovir/node/node_config_membership.hpp"
#include "apps/ovir/node/node_config_privacy.hpp"
#include "apps/ovir/node/node_config_probe.hpp"
#include "apps/ovir/node/node_config_reach.hpp"
#include "compute/base/printable.hpp"
#include "messages/cid.hpp"
#include "messages/invitation.hpp"
#include "messages/limits/fetch.hpp"
#include "messages/limits/general.hpp"
#include "messages/signing.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <map>

namespace ovir::apps {

namespace {

using supervision::access_option;
using supervision::model_option;
using supervision::node_options;

constexpr text_rule path_rule{"path", limits::path_bytes_max};
constexpr text_rule address_rule{"address", limits::address_bytes_max};
constexpr text_rule word_rule{"word", limits::node_name_bytes_max};
constexpr text_rule key_rule{"key", 2 * node_id::size};
constexpr text_rule token_rule{"join token", limits::hello_bytes_max};

class reader {
public:
  explicit reader(const std::string& path)
      : in_(path), folder_(std::filesystem::path{path}.parent_path()) {}

  result<node_options> read(std::string_view text);

private:
  result<void> identity(const toml::table& root);
  result<void> addresses(const toml::table& root);
  result<void> reachable(const toml::table& root) const;
  result<void> seeds(const toml::table& root);
  result<void> admins(const toml::table& root);
  result<void> joining(const toml::table& root);
  result<void> access(const toml::table& root);
  result<void> add_access(const toml::table& table);
  result<void> models(const toml::table& root);
  result<void> add_model(const toml::table& table);
  result<void> resources(const toml::table& root);
  result<void> fetching(const toml::table& root);
  result<void> auditing(const toml::table& root);
  result<void> draining(const toml::table& root);
  result<void> logging(const toml::table& root);
  result<void> chaos(const toml::table& root);
  result<void> gateway(const toml::table& root);
  result<void> metrics(const toml::table& root);
  result<void> reuse(const toml::table& root);

  result<role_set> roles(const toml::table& table, role_set may_be) const;
  result<node_id> key(const toml::node& value, std::string_view name) const;
  result<std::string> address(const toml::node& value, std::string_view key, address_use use) const;
  result<std::string> address(const toml::table& table, std::string_view key,
                              address_use use) const;
  result<std::string> file_path(const toml::table& table, std::string_view key) const;
  gateway_places places_in(const toml::table& table) const;

  config_reader in_;
  std::filesystem::path folder_;
  node_options options_;
};

/// Where `key` is set, else where its table begins.
const toml::source_region& place_of(const toml::table& table, std::string_view key) {
  const toml::node* const node = table.get(key);
  return node != nullptr ? node->source() : table.source();
}

result<role_set> reader::roles(const toml::table& table, role_set may_be) const {
  OVIR_ASSIGN(const toml::array* const words, in_.array(table, "roles", 16));
  if (words == nullptr) {
    return in_.refuse(table.source(), "the key 'roles' is missing");
  }
  if (words->empty()) {
    return in_.refuse(words->source(), "'roles' is empty; name at least one");
  }
  role_set set;
  for (const toml::node& word : *words) {
    OVIR_ASSIGN(const std::string text, in_.text_of(word, "roles", word_rule));
    const result<role> parsed = role_from_text(text);
    if (!parsed) {
      return in_.refuse(word.source(), "'roles': {}", parsed.error().message);
    }
    if (set.has(*parsed)) {
      return in_.refuse(word.source(), "'roles' names {} twice", text);
    }
    set.add(*parsed);
    if (!set.within(may_be)) {
      return in_.refuse(word.source(), "a node cannot be {}; its roles are among {}", text,
                        to_string(may_be));
    }
  }
  return set;
}

result<node_id> reader::key(const toml::node& value, std::string_view name) const {
  OVIR_ASSIGN(const std::string text, in_.text_of(value, name, key_rule));
  const result<node_id> parsed = node_id_from_hex(text);
  if (!parsed || parsed->empty()) {
    return in_.refuse(value.source(),
                      "'{}' must be a node's key: 64 lower-case hexadecimal digits, as the node "
                      "and `ovir keygen` print it",
                      name);
  }
  return *parsed;
}

result<std::string> reader::address(const toml::node& value, std::string_view key,
                                    address_use use) const {
  OVIR_ASSIGN(std::string text, in_.text_of(value, key, address_rule));
  if (const result<void> checked = check_address(text, use); !checked) {
    return in_.refuse(value.source(), "'{}' {}", key, checked.error().message);
  }
  return text;
}

/// Empty when the key is absent.
result<std::string> reader::address(const toml::table& table, std::string_view key,
                                    address_use use) const {
  const toml::node* const value = table.get(key);
  return value == nullptr ? result<std::string>{std::string{}} : address(*value, key, use);
}

/// Relative to the file's folder. Empty when the key is absent.
result<std::string> reader::file_path(const toml::table& table, std::string_view key) const {
  OVIR_ASSIGN(const std::string text, in_.text(table, key, path_rule, std::string{}));
  if (text.empty()) {
    return text;
  }
  if (text.front() == '~' || text.find('$') != std::string::npos) {
    return in_.refuse(table.get(key)->source(),
                      "'{}' is taken as it stands: ~ and environment variables are not expanded; "
                      "write the whole path, or one relative to this file's folder",
                      key);
  }
  return (folder_ / text).lexically_normal().string();
}

result<void> reader::identity(const toml::table& root) {
  OVIR_ASSIGN(options_.name,
              in_.text(root, "name", text_rule{"name", limits::node_name_bytes_max}));
  OVIR_ASSIGN(options_.cluster,
              in_.text(root, "cluster", text_rule{"name", limits::cluster_name_bytes_max}));
  OVIR_ASSIGN(options_.roles, roles(root, member_roles));
  OVIR_ASSIGN(options_.state, file_path(root, "state"));
  return {};
}

result<void> reader::addresses(const toml::table& root) {
  OVIR_ASSIGN(options_.listen, address(root, "listen", address_use::listen));
  OVIR_ASSIGN(options_.advertise, address(root, "advertise", address_use::connect));
  OVIR_ASSIGN(options_.admin_listen, address(root, "admin_listen", address_use::listen));
  OVIR_TRY(reachable(root));
  return seeds(root);
}

result<void> reader::reachable(const toml::table& root) const {
  if (options_.listen.empty() && options_.admin_listen.empty()) {
    return in_.refuse(root.source(), "nobody could reach this node; set 'listen' to HOST:PORT, or "
                                     "'admin_listen' for a node on its own");
  }
  if (options_.listen.empty() && !options_.advertise.empty()) {
    return in_.refuse(root.get("advertise")->source(),
                      "'advertise' tells others where this node listens, but 'listen' is not set");
  }
  if (options_.advertise.empty() && is_wildcard(options_.listen)) {
    return in_.refuse(root.get("listen")->source(),
                      "'listen' is every address of this machine, which others cannot connect to; "
                      "set 'advertise' to the HOST:PORT they should use");
  }
  if (!options_.admin_listen.empty() && options_.admin_listen == options_.listen &&
      !has_any_port(options_.listen)) {
    return in_.refuse(root.get("admin_listen")->source(),
                      "'admin_listen' is the same as 'listen'; leave it out, and shells are "
                      "answered on 'listen'");
  }
  return {};
}

result<void> reader::seeds(const toml::table& root) {
  OVIR_ASSIGN(const toml::array* const list, in_.array(root, "seeds", limits::seeds_max));
  if (list == nullptr) {
    return {};
  }
  if (!list->empty() && options_.listen.empty()) {
    return in_.refuse(list->source(), "'seeds' joins a cluster, whose nodes connect to one "
                                      "another; set 'listen' as well");
  }
  for (const toml::node& value : *list) {
    OVIR_ASSIGN(std::string seed, address(value, "seeds", address_use::connect));
    if (seed == options_.listen || seed == options_.advertise) {
      return in_.refuse(value.source(), "'seeds' names {}, which is this node itself", seed);
    }
    if (std::find(options_.seeds.begin(), options_.seeds.end(), seed) != options_.seeds.end()) {
      return in_.refuse(value.source(), "'seeds' names {} twice", seed);
    }
    options_.seeds.push_back(std::move(seed));
  }
  return {};
}

result<void> reader::admins(const toml::table& root) {
  OVIR_ASSIGN(const toml::array* const list, in_.array(root, "admins", limits::admins_max));
  if (list == nullptr) {
    return {};
  }
  for (const toml::node& value : *list) {
    OVIR_ASSIGN(const node_id admin, key(value, "admins"));
    if (std::find(options_.admins.begin(), options_.admins.end(), admin) != options_.admins.end()) {
      return in_.refuse(value.source(), "'admins' names {}... twice", short_name(admin));
    }
    options_.admins.push_back(admin);
  }
  return {};
}

result<void> reader::joining(const toml::table& root) {
  const toml::node* const value = root.get("join_token");
  if (value == nullptr) {
    return {};
  }
  OVIR_ASSIGN(options_.join_token, in_.text_of(*value, "join_token", token_rule));
  const result<shown_token> token = shown_token_from_text(options_.join_token);
  if (!token) {
    // The codec's sentence is not repeated: it might quote the token, and logs are not secret.
    return in_.refuse(value->source(), "'join_token' is damaged; copy the whole text that begins "
                                       "with ovir-join-, as it was issued");
  }
  if (options_.seeds.empty() && options_.admins.empty()) {
    return in_.refuse(value->source(), "'join_token' is shown to other members, but 'seeds' names "
                                       "none, and without 'admins' none comes by a token");
  }
  if (!options_.roles.within(token->token.roles)) {
    return in_.refuse(value->source(),
                      "'join_token' is for the roles {}, but 'roles' has {}; change 'roles' or ask "
                      "for another token",
                      to_string(token->token.roles), to_string(options_.roles));
  }
  return {};
}

result<void> reader::access(const toml::table& root) {
  OVIR_ASSIGN(const toml::array* const list, in_.tables(root, "access"));
  if (list == nullptr) {
    return {};
  }
  if (list->size() > limits::access_entries_max) {
    return in_.refuse(list->source(), "there are {} [[access]], more than the {} there may be",
                      list->size(), limits::access_entries_max);
  }
  for (const toml::node& entry : *list) {
    OVIR_TRY(add_access(*entry.as_table()));
  }
  return {};
}

result<void> reader::add_access(const toml::table& table) {
  OVIR_TRY(in_.known_keys(table, "[[access]]", access_keys));
  const toml::node* const value = table.get("key");
  if (value == nullptr) {
    return in_.refuse(table.source(), "the key 'key' is missing");
  }
  access_option entry;
  OVIR_ASSIGN(entry.key, key(*value, "key"));
  if (std::any_of(options_.access.begin(), options_.access.end(),
                  [&](const access_option& a) { return a.key == entry.key; })) {
    return in_.refuse(value->source(), "an [[access]] for {}... came before",
                      short_name(entry.key));
  }
  role_set anything = member_roles;
  anything.bits = static_cast<std::uint16_t>(anything.bits | admin_roles.bits);
  OVIR_ASSIGN(entry.roles, roles(table, anything));
  if (!entry.roles.within(member_roles) && !entry.roles.within(admin_roles)) {
    return in_.refuse(table.get("roles")->source(),
                      "'roles' mixes those of nodes and of people's shells ({}); give the person "
                      "a key of their own",
                      to_string(entry.roles));
  }
  OVIR_ASSIGN(entry.operated_by, in_.text(table, "operator", word_rule, ""));
  options_.access.push_back(entry);
  return {};
}

result<void> reader::models(const toml::table& root) {
  OVIR_ASSIGN(const toml::array* const list, in_.tables(root, "model"));
  if (list == nullptr) {
    if (options_.roles.has(role::worker)) {
      return in_.refuse(place_of(root, "roles"),
                        "a worker needs a model to hold; write a [[model]] with its path, or take "
                        "worker out of 'roles'");
    }
    return {};
  }
  if (list->size() > limits::node_models_max) {
    return in_.refuse(list->source(), "there are {} [[model]], more than the {} there may be",
                      list->size(), limits::node_models_max);
  }
  for (const toml::node& entry : *list) {
    OVIR_TRY(add_model(*entry.as_table()));
  }
  return {};
}

result<void> reader::add_model(const toml::table& table) {
  OVIR_TRY(in_.known_keys(table, "[[model]]", model_keys));
  model_option model;
  OVIR_ASSIGN(model.path, in_.text(table, "path", path_rule));
  if (model.path.starts_with(cid_begin)) {
    const auto content = digest_from_cid(model.path);
    if (!content) {
      return in_.refuse(place_of(table, "path"), "'path': {}", content.error().message);
    }
    if (!options_.roles.has(role::worker)) {
      return in_.refuse(place_of(table, "path"),
                        "models named by content are fetched by workers, and this node's roles are "
                        "{}; name a file, or add worker to 'roles'",
                        to_string(options_.roles));
    }
    model.content = *content;
  } else if (model.path != embedded_model_path) {
    OVIR_ASSIGN(model.path, file_path(table, "path"));
  }
  if (const toml::node* const value = table.get("layers"); value != nullptr) {
    OVIR_ASSIGN(model.layers, in_.layers(*value));
    if (!options_.roles.has(role::worker)) {
      return in_.refuse(value->source(),
                        "'layers' are held by workers, and this node's roles are "
                        "{}; leave 'layers' out or add worker to 'roles'",
                        to_string(options_.roles));
    }
  }
  OVIR_ASSIGN(model.draft, file_path(table, "draft"));
  if (!model.draft.empty() && (model.content || !options_.roles.has(role::scheduler))) {
    return in_.refuse(
        place_of(table, "draft"),
        "'draft' guesses for requests that a scheduler drives, of a model whose 'path' "
        "is a file; leave it out, or change 'roles' or 'path'");
  }
  for (const model_option& other : options_.models) {
    const bool same = other.path == model.path;
    if (same && (!other.layers || !model.layers)) {
      return in_.refuse(place_of(table, "path"),
                        "a [[model]] with this path came before; two of one model must both say "
                        "'layers', without overlap");
    }
    if (same && other.layers->first < model.layers->last &&
        model.layers->first < other.layers->last) {
      return in_.refuse(place_of(table, "layers"),
                        "these layers overlap the {}-{} of a [[model]] before; hold each once",
                        other.layers->first, other.layers->last - 1);
    }
  }
  options_.models.push_back(std::move(model));
  return {};
}

result<void> reader::resources(const toml::table& root) {
  OVIR_ASSIGN(const toml::table* const table, in_.section(root, "limits"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in_.known_keys(*table, "[limits]", limits_keys));
  OVIR_ASSIGN(const std::uint64_t memory_mib,
              in_.whole(*table, "memory_mib", {0, limits::node_memory_mib_max},
                        options_.memory_bytes >> 20U));
  options_.memory_bytes = memory_mib << 20U;
  OVIR_ASSIGN(const std::uint64_t threads,
              in_.whole(*table, "threads", {0, limits::threads_max}, options_.threads));
  options_.threads = static_cast<std::uint32_t>(threads);
  OVIR_ASSIGN(const std::uint64_t context,
              in_.whole(*table, "context", {0, limits::context_max}, options_.context_max));
  options_.context_max = static_cast<std::uint32_t>(context);
  OVIR_ASSIGN(
      const std::uint64_t chunk,
      in_.whole(*table, "prefill_chunk", {1, limits::prefill_chunk_max}, options_.prefill_chunk));
  options_.prefill_chunk = static_cast<std::uint32_t>(chunk);
  return {};
}

result<void> reader::fetching(const toml::table& root) {
  OVIR_ASSIGN(const toml::table* const table, in_.section(root, "fetch"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in_.known_keys(*table, "[fetch]", fetch_keys));
  OVIR_ASSIGN(const std::uint64_t window, in_.whole(*table, "window_mib",
                                                    {limits::fetch_window_bytes_min >> 20U,
                                                     limits::fetch_window_bytes_max >> 20U},
                                                    options_.fetch_window_bytes >> 20U));
  options_.fetch_window_bytes = window << 20U;
  OVIR_ASSIGN(const std::uint64_t rate,
              in_.whole(*table, "mib_s", {0, limits::fetch_rate_mib_max}, 0));
  options_.fetch_bytes_per_second = rate << 20U;
  OVIR_ASSIGN(const std::uint64_t serve,
              in_.whole(*table, "serve_mib_s", {0, limits::fetch_rate_mib_max}, 0));
  options_.serve_bytes_per_second = serve << 20U;
  OVIR_ASSIGN(options_.fetch_orders, in_.boolean(*table, "orders", options_.fetch_orders));
  OVIR_ASSIGN(const std::uint64_t spare,
              in_.whole(*table, "spare_mib", {0, limits::fetch_spare_mib_max},
                        options_.spare_bytes >> 20U));
  options_.spare_bytes = spare << 20U;
  return {};
}

result<void> reader::auditing(const toml::table& root) {
  OVIR_ASSIGN(const toml::table* const table, in_.section(root, "audit"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in_.known_keys(*table, "[audit]", audit_keys));
  OVIR_ASSIGN(const std::uint64_t rate, in_.whole(*table, "least_rate_ppm", {1, 1'000'000}, 0));
  options_.audit_least_rate_ppm =
      rate > 0 ? std::optional{static_cast<std::uint32_t>(rate)} : std::nullopt;
  OVIR_ASSIGN(const std::uint64_t twice,
              in_.whole(*table, "twice_tokens", {0, 2 * std::uint64_t{limits::context_max}}, 0));
  options_.audit_twice_tokens = static_cast<std::uint32_t>(twice);
  OVIR_ASSIGN(options_.audit_every_request, in_.boolean(*table, "every_request", true));
  OVIR_ASSIGN(const std::string reveal, in_.text(*table, "reveal", word_rule, "at_once"));
  const auto when = reveal_from(reveal);
  if (!when) {
    return in_.refuse(table->get("reveal")->source(), "{}", when.error().message);
  }
  options_.audit_reveal = *when;
  return {};
}

result<void> reader::draining(const toml::table& root) {
  OVIR_ASSIGN(const toml::table* const table, in_.section(root, "drain"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in_.known_keys(*table, "[drain]", drain_keys));
  const auto otherwise = std::chrono::duration_cast<std::chrono::seconds>(options_.drain_wait);
  OVIR_ASSIGN(const std::uint64_t wait,
              in_.whole(*table, "wait_s",
                        {0, static_cast<std::uint64_t>(limits::drain_wait_max.count())},
                        static_cast<std::uint64_t>(otherwise.count())));
  options_.drain_wait = std::chrono::seconds{wait};
  return {};
}

result<void> reader::logging(const toml::table& root) {
  OVIR_ASSIGN(const toml::table* const table, in_.section(root, "log"));
  return table == nullptr ? result<void>{}
                          : read_log(in_, *table, places_in(*table).file_path, options_);
}

result<void> reader::chaos(const toml::table& root) {
  OVIR_ASSIGN(const toml::table* const table, in_.section(root, "chaos"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in_.known_keys(*table, "[chaos]", chaos_keys));
  OVIR_ASSIGN(options_.chaos, in_.boolean(*table, "enabled", options_.chaos));
  return {};
}

result<void> reader::gateway(const toml::table& root) {
  OVIR_ASSIGN(const toml::table* const table, in_.section(root, "gateway"));
  if (table == nullptr) {
    return {};
  }
  if (!options_.roles.has(role::scheduler)) {
    return in_.refuse(table->source(),
                      "[gateway] is for a scheduler, which drives what clients ask "
                      "for; add scheduler to 'roles'");
  }
  OVIR_ASSIGN(options_.gateway, read_gateway(in_, *table, places_in(*table)));
  return {};
}

result<void> reader::metrics(const toml::table& root) {
  OVIR_ASSIGN(const toml::table* const table, in_.section(root, "metrics"));
  if (table != nullptr) {
    OVIR_ASSIGN(options_.metrics, read_metrics(in_, *table, places_in(*table)));
  }
  return {};
}

gateway_places reader::places_in(const toml::table& table) const {
  return {[this, &table](std::string_view key) { return address(table, key, address_use::listen); },
          [this, &table](std::string_view key) { return file_path(table, key); }};
}

result<void> reader::reuse(const toml::table& root) {
  OVIR_ASSIGN(const toml::table* const table, in_.section(root, "cache"));
  if (table == nullptr) {
    return {};
  }
  OVIR_ASSIGN(options_.cache, read_cache(in_, *table, [&](std::string_view name) {
                return file_path(*table, name);
              }));
  return {};
}

result<node_options> reader::read(std::string_view text) {
  OVIR_ASSIGN(const toml::table root, in_.parse(text));
  OVIR_TRY(in_.known_keys(root, "the file", file_keys));
  OVIR_TRY(identity(root));
  OVIR_TRY(addresses(root));
  OVIR_TRY(admins(root));
  OVIR_TRY(joining(root));
  OVIR_TRY(read_attestations(in_, root, options_));
  OVIR_TRY(read_membership(in_, root, options_));
  OVIR_TRY(read_lan(in_, root, options_));
  OVIR_TRY(read_link(in_, root, options_));
  OVIR_TRY(read_reach(in_, root, options_));
  OVIR_TRY(access(root));
  OVIR_TRY(models(root));
  OVIR_TRY(resources(root));
  OVIR_TRY(fetching(root));
  OVIR_TRY(auditing(root));
  OVIR_TRY(read_privacy(in_, root, options_));
  OVIR_TRY(read_group(in_, root, options_));
  OVIR_TRY(read_probe(in_, root, options_));
  OVIR_TRY(draining(root));
  OVIR_TRY(logging(root));
  OVIR_TRY(chaos(root));
  OVIR_TRY(gateway(root));
  OVIR_TRY(metrics(root));
  OVIR_TRY(reuse(root));
  OVIR_TRY(read_ledger_section(in_, root, folder_, options_));
  return std::move(options_);
}

} // namespace

result<node_options> parse_node_config(const std::string& path, std::string_view text) {
  return reader{path}.read(text);
}

result<node_options> read_node_config(storage::env& environment, const std::string& path) {
  OVIR_ASSIGN(const std::string text, environment.read(path, limits::config_file_bytes_max));
  OVIR_ASSIGN(node_options how, parse_node_config(path, text));
  if (!how.ledger.policy.empty() && !how.ledger.rules) {
    OVIR_ASSIGN(const std::string rules,
                environment.read(how.ledger.policy, limits::config_file_bytes_max));
    OVIR_ASSIGN(how.ledger.rules, parse_ledger_policy(how.ledger.policy, rules));
  }
  return how;
}

std::vector<std::string> node_config_keys() {
  std::vector<std::string> keys;
  for (const std::string_view key : file_keys) {
    if (std::none_of(tables_of_file.begin(), tables_of_file.end(),
                     [&](const table_keys& t) { return t.table == key; })) {
      keys.emplace_back(key);
    }
  }
  for (const table_keys& t : tables_of_file) {
    for (const std::string_view key : t.keys) {
      keys.push_back(fmt::format("{}.{}", t.table, key));
    }
  }
  return keys;
}

} // namespace ovir::apps
