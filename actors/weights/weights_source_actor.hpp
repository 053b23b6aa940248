#pragma once

#include "actors/protocol/peers_actor.hpp"
#include "actors/runtime/byte_rate.hpp"
#include "actors/runtime/log.hpp"
#include "actors/weights/held_pieces.hpp"
#include "messages/wire/fetch_frame.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace ovir::actors {

struct source_turn {};
/// What `ovir shell` shows; asked with `describe_source`.
struct describe_source {};
struct source_totals {
  std::uint64_t served_bytes{0}; ///< of pieces, since this actor began
  std::uint64_t served_pieces{0};
  std::uint64_t refused{0};
  std::size_t askers{0};
};

struct source_environment {
  peers* links{nullptr};
  model_catalog* models{nullptr};
  log* journal{nullptr};
  storage::env* env{nullptr};
  std::uint64_t bytes_per_second{0}; ///< to all askers together; 0: no limit
};

/// Serves the weights this node has in its mapped files to members that ask: workers and
/// schedulers. Askers take turns, a piece each. Bounds: limits::bulk_connections_served_max askers;
/// limits::pieces_waiting_max pieces one may be owed, or it loses its connection; of these at most
/// limits::fetch_source_bytes_max are sent before it says that they came.
struct source_state {
  struct want {
    digest model;
    std::uint32_t piece{0};
  };
  struct asker {
    peer_info peer;
    std::deque<want> waiting;
    std::uint64_t sent{0};
    std::uint64_t received{0}; ///< as it says
  };
  const char* name{"source"};
  source_environment environment;
  std::optional<byte_rate> rate;
  std::map<connection_id, asker> askers;
  std::optional<connection_id> served_last;
  bool turn_due{false};
  std::map<digest, std::vector<std::shared_ptr<const held_pieces>>> known; ///< of the catalogue
  source_totals totals;
};

using source_pointer = caf::stateful_actor<source_state>*;

/// Spawned apart: it waits for the disk.
[[nodiscard]] caf::behavior source_behavior(source_pointer self, source_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::source_turn)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_source)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::source_totals)
