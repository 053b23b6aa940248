#pragma once

#include "actors/members/membership_actor.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/runtime/log.hpp"
#include "actors/weights/fetch_core.hpp"
#include "actors/weights/fetch_layers.hpp"
#include "actors/weights/fetch_order.hpp"
#include "actors/weights/fetch_progress.hpp"
#include "actors/weights/fetched_model.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

struct fetch_tick {};
/// What `ovir shell` shows; asked with `list_fetches`.
struct list_fetches {};
struct fetch_list {
  std::vector<fetch_progress> fetches; ///< under way, waiting, and the last ones that ended
};

struct fetcher_environment {
  node_id self;
  peers* links{nullptr};
  model_catalog* models{nullptr};
  log* journal{nullptr};
  storage::env* env{nullptr};
  std::string state; ///< folder
  fetch_room room;
  fetch_settings settings;
  std::vector<fetch_order> configured; ///< begun whenever the actor begins
  /// Hears in words what is fetched, now and then, and nothing once nothing is; may be empty.
  std::function<void(std::string)> tell{};
};

/// Fetches segments of models from other members, one segment at a time; one that finds no source
/// lets others go first. The shell around `fetch_core` and `fetched_model`.
struct fetcher_state {
  /// A member that may have the model.
  struct source_link {
    std::optional<connection_id> connection;
    bool connected{false};
    bool ready{false}; ///< it said what it has
    std::vector<piece_range> holds;
    fetch_core::time_point next_try{};
    std::uint32_t tries{0}; ///< in vain, one after another
    bool banned{false};
  };
  enum class stage : std::uint8_t { manifest, tokenizer, pieces };
  struct fetch {
    fetch_order order;
    fetch_progress shown; ///< without what `core` counts
    std::optional<fetched_model> store;
    stage at{stage::manifest};
    std::optional<fetch_core> core; ///< of the tokenizer, then of the pieces
    std::map<node_id, source_link> links;
    std::map<connection_id, node_id> nodes; ///< of the connections there are
    std::optional<node_id> manifest_asked_of;
    fetch_core::time_point manifest_asked{};
    fetch_core::time_point idle_since{}; ///< nobody owes anything
    fetch_core::time_point begun_at{};
    fetch_core::time_point told{}; ///< in words
    std::vector<std::uint32_t> wanted;
    std::optional<first_layers> begun; ///< from stage `pieces` on
  };
  const char* name{"fetcher"};
  fetcher_environment environment;
  std::deque<fetch_order> waiting;
  std::optional<fetch> active;
  std::string told;                 ///< last, in words
  bool ticks{false};                ///< while there is something to fetch
  std::deque<fetch_progress> ended; ///< the last few
  members_view members;
};

using fetcher_pointer = caf::stateful_actor<fetcher_state>*;

/// Spawned apart: it waits for the disk, and hashes.
[[nodiscard]] caf::behavior fetcher_behavior(fetcher_pointer self, fetcher_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::fetch_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::fetch_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::list_fetches)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::fetch_list)
