#pragma once

#include "actors/link/network_traffic.hpp"
#include "actors/operator/admin_actor.hpp"
#include "actors/path/node_meter.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "gateway/http/metrics.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ovir::actors {

/// To the metrics actor: what the node counts. `answer` is called on its thread, once.
struct measure_node {
  std::function<void(gateway::metric_families)> answer;
};
/// Sent to oneself: who has not answered is left out.
struct measure_over {
  std::uint64_t number{0};
};

struct metrics_environment {
  /// The actors to ask, by name, as they are at the moment.
  std::function<caf::actor(const std::string& name)> find;
  std::vector<std::string> sources; ///< of these names
  tree_writer tree;
  const peers* links{nullptr};
  std::shared_ptr<const network_traffic> traffic;
  const node_meter* meter{nullptr};
  bool drives{false}; ///< requests
  bool computes{false};
  std::function<std::vector<std::pair<const char*, compute_executor::load>>()> pools;
};

/// Makes the node's part of Prometheus' page (docs/metrics.md): asks whoever knows, all at once,
/// and answers after limits::metrics_wait at the latest. One page is made at a time, and only when
/// somebody asks. Spawned apart, so that no token waits for it.
struct metrics_state {
  const char* name{"metrics"};
  metrics_environment environment;
  struct page {
    std::uint64_t number{0};
    gateway::metric_families families;
    std::set<std::string> open; ///< sources that owe an answer
    std::vector<std::function<void(gateway::metric_families)>> askers;
  };
  std::optional<page> making;
  std::uint64_t pages{0};
  std::map<std::string, std::uint64_t> unanswered; ///< by source
  /// Restarts by kind of actor, and as the tree said them last, by place: a child that is forgotten
  /// takes its restarts along, and a counter never goes back.
  std::map<std::string, std::uint64_t> restarts;
  std::map<std::string, std::uint64_t> restarts_seen;
};

using metrics_pointer = caf::stateful_actor<metrics_state>*;

[[nodiscard]] caf::behavior metrics_behavior(metrics_pointer self, metrics_environment environment);

/// Brings questions of HTTP servers to the metrics actor. Thread-safe; outlives both.
class metrics_desk final : public gateway::metrics_source {
public:
  /// The actor that answers, as it is now. It is to be let go when no more are started: a system
  /// waits at its end for a detached actor's thread as long as anybody holds the actor.
  void use(caf::actor metrics);
  void measure(poster post, answer done) override;

private:
  std::mutex guard_;
  caf::actor metrics_;
};

/// "shard-1a2b3c4d-0-3" is a "shard": of a name that is made of something, only its kind.
[[nodiscard]] std::string kind_of_actor(std::string_view name);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::measure_node)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::measure_over)
