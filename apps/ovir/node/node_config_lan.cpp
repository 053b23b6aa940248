#include "apps/ovir/node/node_config_lan.hpp"

namespace ovir::apps {

result<void> read_lan(const config_reader& in, const toml::table& root,
                      supervision::node_options& out) {
  OVIR_ASSIGN(const toml::table* const table, in.section(root, "lan"));
  if (table == nullptr) {
    return {};
  }
  OVIR_TRY(in.known_keys(*table, "[lan]", lan_keys));
  OVIR_ASSIGN(out.announce, in.boolean(*table, "announce", out.announce));
  if (out.announce && (out.admins.empty() || out.listen.empty())) {
    return in.refuse(table->get("announce")->source(),
                     "'announce' tells the first key of 'admins', and where the node listens; set "
                     "'admins' and 'listen', or take 'announce' out");
  }
  return {};
}

} // namespace ovir::apps
