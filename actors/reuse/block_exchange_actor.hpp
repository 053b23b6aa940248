#pragma once

#include "actors/members/membership_actor.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/reuse/block_exchange_core.hpp"
#include "actors/reuse/cache_tiers.hpp"
#include "actors/reuse/input_fetch_core.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "actors/runtime/log.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace ovir::actors {

/// Asks for blocks of other nodes; answered by `blocks_fetched`, at once where computing them is
/// predicted to be faster or nobody claims to have them.
struct fetch_blocks {
  digest model;
  std::vector<wanted_window> windows;
  std::uint64_t unit_us{0}; ///< what computing one takes; 0: not known
};
struct blocks_fetched {
  std::vector<fetched_block> blocks; ///< of the first windows wanted, without a gap
  fetch_told told;
};
/// A unit was computed here.
struct unit_computed {
  digest model;
  std::uint64_t unit_us{0};
};
/// Computing them again showed that blocks of this node are wrong.
struct author_refuted {
  node_id author;
};

/// Asks one node for inputs of windows; answered by `inputs_fetched`. Where the source is this
/// node, they are looked up here. A member that is not linked is reached for as long as it takes.
struct fetch_inputs {
  node_id source;
  std::vector<wanted_input> inputs;
};
/// Of the sizes wanted; who asked checks the digests.
struct inputs_fetched {
  std::vector<input_fetch_core::bytes_pointer> bytes; ///< in the order wanted; null: missing
  bool reached{true};                                 ///< else the source may have what is missing
};

/// What `ovir shell` shows; asked with `describe_exchange`.
struct describe_exchange {};
struct exchange_report {
  block_exchange_counts counts;
  std::vector<fetch_decision> decisions;
  std::vector<block_exchange_core::claimant> claimants;
  std::uint64_t claims_sent{0};
  std::uint64_t claims_bytes{0};
  std::uint64_t questions_refused{0};
};

// What the front's jobs and the clock tell the actor.
struct exchange_tick {};
struct places_ready {
  std::optional<std::vector<digest>> places; ///< none: they are the same
};
struct block_served {
  connection_id connection;
};
struct inputs_looked_up {
  input_fetch_core::finished found;
};

struct exchange_environment {
  node_id self;
  peers* links{nullptr};
  log* journal{nullptr};
  storage::env* env{nullptr};
  std::shared_ptr<cache_tiers> tiers;
  compute_executor* front{nullptr}; ///< what is looked up for others, and what is claimed
  caf::actor membership;
  bool blocks{true}; ///< else it serves and fetches inputs of windows alone
};

/// Blocks between nodes: tells members what this node has (a filter of at most
/// limits::block_filter_bytes_max, limits::block_claims_bytes_per_second to each), serves what they
/// ask for, and fetches for the cache. Over the same connections it fetches inputs of windows from
/// who is to have them. A shell around `block_exchange_core` and `input_fetch_core`. It reads no
/// file itself. When it crashes, lookups under way go on without it.
struct exchange_state {
  /// A member that is linked, or that inputs are fetched from.
  struct member_link {
    bool linked{false};
    std::optional<connection_id> bulk;                  ///< begun here
    bool up{false};                                     ///< the bulk connection
    std::vector<block_exchange_core::ask> waiting;      ///< for it to be up
    std::shared_ptr<const std::vector<std::byte>> told; ///< the claims it has
    storage::env::time_point tell_at;                   ///< not before
  };
  const char* name{"blocks"};
  exchange_environment environment;
  block_exchange_core core;
  input_fetch_core inputs;
  std::map<node_id, member_link> linked;
  std::map<node_id, std::string> addresses;
  std::map<std::uint64_t, caf::typed_response_promise<blocks_fetched>> waiting;        ///< by fetch
  std::map<std::uint64_t, caf::typed_response_promise<inputs_fetched>> inputs_waiting; ///< likewise
  std::map<connection_id, std::size_t> serving; ///< blocks still to be answered
  std::shared_ptr<const std::vector<std::byte>> claims;
  bool looking{false}; ///< at what there is to claim
  std::uint64_t fetches{0};
  std::uint64_t claims_sent{0};
  std::uint64_t claims_bytes{0};
  std::uint64_t refused{0};
};

using exchange_pointer = caf::stateful_actor<exchange_state>*;

[[nodiscard]] caf::behavior exchange_behavior(exchange_pointer self,
                                              exchange_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::fetch_blocks)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::blocks_fetched)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::unit_computed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::author_refuted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::fetch_inputs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::inputs_fetched)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_exchange)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::exchange_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::exchange_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::places_ready)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::block_served)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::inputs_looked_up)
