#pragma once

#include "messages/node_id.hpp"

#include <caf/allowed_unsafe_message_type.hpp>

#include <cstdint>
#include <map>
#include <string>

namespace ovir::actors {

/// To those who use others' work: this node was convicted, and nothing it had a part in stands.
/// Sent before its links are closed, so that nobody takes its going for a mere loss.
struct node_convicted {
  node_id node;
  std::string what; ///< one sentence
};

/// To those who choose nodes: what one verifier's log says of those it audited.
struct standing_told {
  node_id verifier;
  std::map<node_id, std::uint32_t> reputation_ppm;
};

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::standing_told)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::node_convicted)
