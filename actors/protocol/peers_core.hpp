#pragma once

#include "actors/protocol/wire.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/wire/frame.hpp"

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace ovir::actors {

/// Decides which actor of this node gets a peer's message, from the peer's role and the requests at
/// hand. Orders come from schedulers, answers and frames from the nodes of the request's own path.
/// A core: no actors, no lock.
class peers_core {
public:
  enum class receiver : std::uint8_t { none, host, jobs, paths, placer, lead, stage };
  struct verdict {
    receiver to{receiver::none};
    stage_index stage{};        ///< that answers, where the message goes to a lead
    std::string_view refused{}; ///< what is dropped, for the log; empty where it is delivered
    bool closes{false};         ///< its sender keeps a stage that no lead here counts on
  };

  /// A path's nodes, each with the first layer of its stage.
  using path = std::vector<std::pair<node_id, layer_index>>;

  void route_lead(request_id request, path nodes) { leads_[request] = std::move(nodes); }
  void drop_lead(request_id request) { leads_.erase(request); }
  /// The paths of all leads, which are dropped.
  [[nodiscard]] std::map<request_id, path> take_leads() { return std::exchange(leads_, {}); }
  /// A stage of this node, named by its first layer, gets its frames from `previous`.
  void route_stage(request_id request, layer_index stage, node_id previous) {
    stages_[{request, stage}] = previous;
  }
  void drop_stage(request_id request, layer_index stage) { stages_.erase({request, stage}); }
  void clear();
  /// Whether a request that runs here needs this node.
  [[nodiscard]] bool involves(const node_id& node) const;

  /// `roles`: what the peer was admitted as.
  [[nodiscard]] verdict judge(const node_id& from, role_set roles,
                              const wire_message& message) const;
  /// `target`: `frame_to_lead`, or the stage that the frame is for.
  [[nodiscard]] verdict judge(const node_id& from, std::uint32_t target,
                              const frame_header& header) const;

  [[nodiscard]] std::size_t lead_routes() const noexcept { return leads_.size(); }
  [[nodiscard]] std::size_t stage_routes() const noexcept { return stages_.size(); }

private:
  [[nodiscard]] verdict judge_answer(const node_id& from, const wire_message& message) const;

  std::map<request_id, path> leads_;
  std::map<std::pair<request_id, layer_index>, node_id> stages_; ///< who is before it
};

} // namespace ovir::actors
