#include "apps/ovir/node/node_config_reach.hpp"

namespace ovir::apps {

result<void> read_reach(const config_reader& in, const toml::table& root,
                        supervision::node_options& out) {
  OVIR_ASSIGN(const toml::table* const table, in.section(root, "reach"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in.known_keys(*table, "[reach]", reach_keys));
  OVIR_ASSIGN(out.reach.enabled, in.boolean(*table, "through_nat", out.reach.enabled));
  constexpr text_rule word{"word", 8};
  OVIR_ASSIGN(const std::string mapping,
              in.text(*table, "port_mapping", word, out.reach.maps_ports ? "auto" : "off"));
  if (mapping != "auto" && mapping != "off") {
    return in.refuse(table->get("port_mapping")->source(), "'port_mapping' is none of auto, off");
  }
  out.reach.maps_ports = mapping == "auto";
  return {};
}

} // namespace ovir::apps
