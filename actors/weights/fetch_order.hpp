#pragma once

#include "actors/members/member_table.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/weights/fetch_progress.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace ovir::actors {

/// To the fetcher: see that these layers are on this node's disk. What is there already, or in
/// another model's file here, is not fetched.
struct fetch_order {
  digest model;
  /// Absent: from the first as many as fit the memory. Empty: the tokenizer alone.
  std::optional<layer_range> layers;
  bool patient{false}; ///< waits for sources for ever
  std::shared_ptr<fetch_answer> answer;
  /// Gets the first layers while the rest is fetched (`first_layers`), on the fetcher's thread; may
  /// be empty.
  std::function<void(const fetched_segment&)> part{};
  bool beside{false}; ///< only what fits beside all that is held
  bool spare{false};  ///< for the disk alone
};

/// What a node has room for.
struct fetch_room {
  std::uint64_t memory{0}; ///< bytes, of all weights
  std::uint64_t spares{0}; ///< bytes of the disk, of all spare layers
};

/// Bytes of weights that this order may bring beside what the node has.
[[nodiscard]] std::uint64_t room_for(const fetch_order& order, const fetch_room& all,
                                     const model_catalog& models);
/// `over_limit`, in words for people, where so many bytes are more than `room`.
[[nodiscard]] result<void> check_room(const fetch_order& order, layer_range layers,
                                      std::uint64_t bytes, std::uint64_t room);

/// Members that can be asked for the model: those that say they have some of it on their disks
/// first.
[[nodiscard]] std::vector<const member*>
possible_sources(const digest& model, const std::vector<member>& members, const node_id& self);

} // namespace ovir::actors
