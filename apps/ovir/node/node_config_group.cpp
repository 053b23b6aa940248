#include "apps/ovir/node/node_config_group.hpp"

#include "apps/ovir/node/node_config_ledger.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/parts.hpp"

namespace ovir::apps {

result<void> read_group(const config_reader& in, const toml::table& root,
                        supervision::node_options& out) {
  OVIR_ASSIGN(const toml::table* const table, in.section(root, "group"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in.known_keys(*table, "[group]", group_keys));
  supervision::group_option& o = out.group;
  const toml::node* const lead = table->get("lead");
  if (lead != nullptr && !out.roles.has(role::worker)) {
    return in.refuse(lead->source(), "'lead' is for a worker, whose layers a group computes; add "
                                     "worker to 'roles'");
  }
  if (lead != nullptr && lead->is_string()) {
    OVIR_ASSIGN(const std::string word,
                in.text(*table, "lead", {"word", limits::node_name_bytes_max}));
    if (word != "auto") {
      return in.refuse(lead->source(), "'lead' is \"auto\" or a list of keys of nodes");
    }
    o.chooses = true;
  } else {
    OVIR_ASSIGN(o.lead, read_node_keys(in, *table, "lead", limits::group_members_max - 1));
  }
  OVIR_ASSIGN(o.join, read_node_keys(in, *table, "join", limits::group_candidates_max));
  constexpr whole_range range{static_cast<std::uint64_t>(limits::group_patience_min.count()),
                              static_cast<std::uint64_t>(limits::group_patience_max.count())};
  OVIR_ASSIGN(
      const std::uint64_t patience,
      in.whole(*table, "patience_ms", range, static_cast<std::uint64_t>(o.patience.count())));
  o.patience = std::chrono::milliseconds{patience};
  return {};
}

} // namespace ovir::apps
