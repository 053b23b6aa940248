#pragma once

#include "actors/members/membership_actor.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/request/jobs_actor.hpp"
#include "actors/reuse/cache_owner.hpp"
#include "gateway/api/generator.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

/// To the gateway's actor: drive this, or find who does.
struct gateway_start {
  std::uint64_t tag{0};
  generation_request request;
  bool may_run{false};
  bool may_begin{true}; ///< else it is only watched
  digest terms;         ///< of the request: another one of its id is not what is asked for
};

/// To the gateway's actor: what the ledger says of an API key's budget. `done` runs on the server's
/// thread.
struct gateway_budget {
  budget_use use;
  std::optional<std::uint64_t> from;
  gateway::budget_told done;
};

/// Where the HTTP server's thread and the actors meet: calls of the one become messages of the
/// others, and the other way round. Thread-safe; outlives both.
class gateway_desk final : public gateway::generator {
public:
  using poster = std::function<void(std::function<void()>)>;

  explicit gateway_desk(const model_catalog& models, cache_policy cache = {})
      : models_(models), cache_(cache) {}

  /// Who listens, on the thread that `post` runs things on; null: nobody any more.
  void use(gateway::generation_events* events, poster post);
  /// The actor that answers, as it is now.
  void use(caf::actor actor);
  /// For the actor: `act` on the server's thread.
  void deliver(std::function<void(gateway::generation_events&)> act);
  void set_ready(bool ready) { ready_.store(ready); }
  void set_members(members_view members);
  /// How members are called; from any thread.
  [[nodiscard]] std::map<node_id, std::string> names() const;
  /// For people who wait until this node is ready; from any thread.
  void set_doing(std::string words);

  void start(std::uint64_t tag, const gateway::generation_order& order, bool may_run) override;
  void watch(std::uint64_t tag, request_id id, const digest& terms) override;
  void forget(std::uint64_t tag) override;
  void cancel(request_id id, bool asked) override;
  [[nodiscard]] std::vector<gateway::served_model> models() override;
  void show_budget(const budget_use& use, std::optional<std::uint64_t> from,
                   gateway::budget_told done) override;
  [[nodiscard]] bool ready() override { return ready_.load(); }
  [[nodiscard]] std::string doing() override;

private:
  [[nodiscard]] caf::actor actor() const;
  void send(gateway_start command);

  const model_catalog& models_;
  const cache_policy cache_; ///< of requests that come from HTTP clients
  std::atomic<bool> ready_{false};
  mutable std::mutex guard_;
  caf::actor actor_;
  gateway::generation_events* events_{nullptr};
  poster post_;
  std::string doing_;
  members_view members_;
};

struct gateway_forget {
  std::uint64_t tag{0};
};
/// Sent to oneself: look for the request again.
struct gateway_search {
  std::uint64_t tag{0};
};
/// Sent to oneself once whoever drives requests is back.
struct gateway_back {};

struct gateway_environment {
  gateway_desk* desk{nullptr};
  const model_catalog* models{nullptr};
  storage::env* env{nullptr};
  /// "jobs", "membership" and "payments", as they are at the moment.
  std::function<caf::actor(const std::string& name)> find;
};

/// Asks this node's jobs for what the desk wants, and tells the desk what comes of it.
struct gateway_state {
  struct interest {
    gateway_start what;
    storage::env::time_point search_until;
    std::optional<bool> cancelled{}; ///< `cancel_job::asked`
  };
  const char* name{"gateway"};
  gateway_environment environment;
  std::map<std::uint64_t, interest> interests; ///< by tag
  caf::actor jobs;                             ///< being monitored
};

using gateway_pointer = caf::stateful_actor<gateway_state>*;

[[nodiscard]] caf::behavior gateway_behavior(gateway_pointer self, gateway_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::gateway_start)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::gateway_budget)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::gateway_forget)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::gateway_search)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::gateway_back)
