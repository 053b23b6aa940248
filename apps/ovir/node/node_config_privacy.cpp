#include "apps/ovir/node/node_config_privacy.hpp"

#include "apps/ovir/node/node_config_ledger.hpp"

namespace ovir::apps {

result<void> read_privacy(const config_reader& in, const toml::table& root,
                          supervision::node_options& out) {
  OVIR_ASSIGN(const toml::table* const table, in.section(root, "privacy"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in.known_keys(*table, "[privacy]", privacy_keys));
  if (!out.roles.has(role::scheduler)) {
    return in.refuse(table->source(), "[privacy] is for a scheduler, which drives requests; add "
                                      "scheduler to 'roles'");
  }
  constexpr text_rule word{"word", 8};
  OVIR_ASSIGN(const std::string requests, in.text(*table, "requests", word, "none"));
  const auto mode = privacy_from(requests);
  if (!mode) {
    return in.refuse(table->get("requests")->source(), "{}", mode.error().message);
  }
  out.privacy.requests = *mode;
  // This node is one, too.
  OVIR_ASSIGN(out.privacy.nodes, read_node_keys(in, *table, "nodes", limits::ends_nodes_max - 1));
  constexpr whole_range layers{1, limits::ends_layers_max};
  OVIR_ASSIGN(const std::uint64_t first,
              in.whole(*table, "first_layers", layers, out.privacy.first_layers));
  OVIR_ASSIGN(const std::uint64_t last,
              in.whole(*table, "last_layers", layers, out.privacy.last_layers));
  out.privacy.first_layers = static_cast<std::uint32_t>(first);
  out.privacy.last_layers = static_cast<std::uint32_t>(last);
  return {};
}

result<void> read_attestations(const config_reader& in, const toml::table& root,
                               supervision::node_options& out) {
  OVIR_ASSIGN(const toml::array* const list,
              in.array(root, "attestations", limits::attestations_per_node_max));
  if (list == nullptr) {
    return {};
  }
  constexpr text_rule word{"attestation", 2 * limits::attestation_bytes_max};
  for (const toml::node& value : *list) {
    OVIR_ASSIGN(const std::string text, in.text_of(value, "attestations", word));
    auto one = attestation_from_text(text);
    if (!one) {
      return in.refuse(value.source(), "'attestations': {}", one.error().message);
    }
    if (!out.attestations.empty() && out.attestations.front().node != one->node) {
      return in.refuse(value.source(),
                       "'attestations' are about {}... and {}...; a node shows its "
                       "own alone",
                       short_name(out.attestations.front().node), short_name(one->node));
    }
    out.attestations.push_back(std::move(*one));
  }
  return {};
}

} // namespace ovir::apps
