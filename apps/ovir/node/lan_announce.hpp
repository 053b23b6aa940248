#pragma once

#include "actors/reach/lan.hpp"
#include "actors/runtime/log.hpp"
#include "messages/node_id.hpp"
#include "node/node_options.hpp"

#include <memory>
#include <optional>
#include <string>

namespace ovir::apps {

/// What the local network hears of a node, and of where it is.
struct lan_notice {
  actors::announcement told;
  actors::announced_place place;
};

/// What `node`, which listens on `listening` (HOST:PORT, HOST numeric), announces. None: it is not
/// to, or nothing but this machine reaches it.
[[nodiscard]] std::optional<lan_notice>
notice_of(const supervision::node_options& how, const std::string& listening, const node_id& node);

/// Announces the node while what is returned lives; null where it is not to. A network that cannot
/// be told is a warning in the journal. `where` and `journal` outlive what is returned.
[[nodiscard]] std::unique_ptr<actors::announced>
announce_node(actors::lan& where, const supervision::node_options& how,
              const std::string& listening, const node_id& node, actors::log& journal);

} // namespace ovir::apps
