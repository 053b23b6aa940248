#include "apps/ovir/node/node_config_membership.hpp"

namespace ovir::apps {

result<void> read_membership(const config_reader& in, const toml::table& root,
                             supervision::node_options& out) {
  constexpr text_rule word{"word", 8};
  OVIR_ASSIGN(const std::string membership,
              in.text(root, "membership", word, out.open ? "open" : "invited"));
  if (membership != "open" && membership != "invited") {
    return in.refuse(root.get("membership")->source(), "'membership' is none of invited, open");
  }
  out.open = membership == "open";
  if (out.open && out.listen.empty()) {
    return in.refuse(root.get("membership")->source(),
                     "'membership' lets other nodes in, and this one listens nowhere; set 'listen' "
                     "as well");
  }
  return {};
}

} // namespace ovir::apps
