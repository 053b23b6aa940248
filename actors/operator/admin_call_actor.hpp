#pragma once

#include "actors/operator/admin_actor.hpp"
#include "actors/operator/admin_json_actor.hpp"

#include <caf/all.hpp>

/// A command of a shell while it is answered, and the commands that change something.
namespace ovir::actors {

inline constexpr std::chrono::milliseconds admin_ask_wait{5'000};
inline constexpr std::chrono::milliseconds admin_tick_interval{100};

/// A command being answered; cheap to copy into what answers it later.
struct admin_call {
  admin_pointer self;
  connection_id connection;
  std::uint64_t id;

  void send(json reply) const {
    if (connection == console_connection) {
      if (const auto look = self->state.looks.extract(id); !look.empty()) {
        look.mapped()(std::move(reply));
      }
      return;
    }
    reply["id"] = id;
    self->state.environment.links->send_admin(
        connection, reply.dump(-1, ' ', false, json::error_handler_t::replace));
  }
  void close() const {
    const auto client = self->state.clients.find(connection);
    if (client != self->state.clients.end()) {
      client->second.open.erase(id);
    }
  }
  void done(json data) const {
    close();
    send({{"ok", true}, {"done", true}, {"data", std::move(data)}});
  }
  void refuse(const error& e) const { refuse(to_string(e.code), e.message); }
  void refuse(std::string_view code, std::string_view message) const {
    refuse_with(json{{"code", code}, {"message", message}});
  }
  void refuse_with(json why) const {
    close();
    send({{"ok", false}, {"done", true}, {"error", std::move(why)}});
  }
};

/// What a shell wants to have run.
struct run_order {
  generation_request request; ///< its id is the cluster's
  request_id named;           ///< as the shell calls it
  model_catalog::entry model;
  bool wait{true};
  std::uint32_t bunch{1};
};
/// What the cluster calls the request that this call's shell calls `named`. Another shell that says
/// the same names another request, so no shell reads what is not its own.
[[nodiscard]] request_id own_request(const admin_call& c, request_id named);
/// How many tokens are told at once.
[[nodiscard]] result<std::uint32_t> read_bunch(admin_arguments& args);
/// From the arguments of `run`, all of them but `payment`.
[[nodiscard]] result<run_order> read_run(const admin_call& c, admin_arguments& args);

/// An actor of this node by name; empty while it is not there.
[[nodiscard]] caf::actor find_actor(const admin_call& c, const std::string& name);
/// Hands the members to `use` on the actor's turn.
[[nodiscard]] result<void> with_members(const admin_call& c,
                                        std::function<void(const members_view&)> use);

/// The actor that keeps this node's jobs; `unsupported` on a node that drives no requests.
[[nodiscard]] result<caf::actor> jobs_of(const admin_call& c);
/// Hands all jobs to `use` on the actor's turn.
[[nodiscard]] result<void> with_jobs(const admin_call& c,
                                     std::function<void(const std::vector<job_view>&)> use);
/// A job's document. Its own requests a shell sees by the ids it gave them, all others by the
/// cluster's.
[[nodiscard]] json shown_job(const admin_call& c, const job_view& job);
/// Sends the actor its next tick, unless one is under way. Called while a shell watches something.
void keep_ticking(admin_pointer self);
/// Tells each `top` that is due of the same members and jobs. They are asked for once at a time,
/// however many follow and however often; what is not answered is asked again at the next tick.
void ask_for_tops(admin_pointer self);

// Each answers the command, now or later, or returns why not.
[[nodiscard]] result<void> show_top(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> drain_node(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> kick_node(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> show_invitations(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> revoke_invitation(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> set_log_level(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> make_chaos(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> load_model(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> quote_run(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> use_ledger(const admin_call& c, admin_arguments& args);
/// Who keeps the ledger, who leads, and how far each is.
void show_keepers(const admin_call& c, const caf::actor& payments);
[[nodiscard]] result<void> prove_or_verify(const admin_call& c, const std::string& action,
                                           const std::string& subject, const std::string& given);
[[nodiscard]] result<void> show_fetches(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> show_reputation(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> show_placement(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> show_audits(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> show_cache(const admin_call& c, admin_arguments& args);
[[nodiscard]] result<void> unload_model(const admin_call& c, admin_arguments& args);
void take_loaded(admin_pointer self, const model_loaded& news);

} // namespace ovir::actors
