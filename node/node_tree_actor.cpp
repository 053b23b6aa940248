#include "node/node_tree_actor.hpp"

#include "actors/audit/verifier_actor.hpp"
#include "actors/path/pathfinder_actor.hpp"
#include "actors/payment/ledger_keeper_actor.hpp"
#include "actors/payment/payments_actor.hpp"
#include "actors/request/jobs_actor.hpp"
#include "actors/request/scheduler_actor.hpp"
#include "actors/reuse/block_exchange_actor.hpp"
#include "actors/stage/shard_actor.hpp"
#include "actors/stage/stage_host_actor.hpp"
#include "actors/weights/weights_source_actor.hpp"
#include "messages/caf/errors.hpp"
#include "messages/limits/credit.hpp"
#include "node/tree.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace ovir::supervision {

namespace {

using namespace std::chrono_literals;

using parts_pointer = std::shared_ptr<const node_parts>;
using known_pointer = std::shared_ptr<directory>;

constexpr std::chrono::milliseconds worker_shutdown{500};
constexpr std::chrono::milliseconds start_wait{5'000};
/// Beyond what the payments wait for themselves.
constexpr std::chrono::milliseconds reserve_answer_wait = 2 * limits::reserve_wait;

/// A child that is known under its name while it lives.
child_spec kept(std::string name, const known_pointer& known,
                std::function<caf::actor(caf::actor_system&)> start) {
  child_spec spec;
  spec.rules = {name, restart_kind::permanent, worker_shutdown};
  spec.start = [name = std::move(name), known,
                start = std::move(start)](caf::actor_system& system) -> result<caf::actor> {
    caf::actor made = start(system);
    known->put(name, made);
    return made;
  };
  return spec;
}

child_spec kept_supervisor(std::string name, const known_pointer& known,
                           std::function<supervisor_spec()> make) {
  child_spec spec =
      supervisor_child({name, restart_kind::permanent, limits::shutdown_wait}, std::move(make));
  spec.start = [name = std::move(name), known,
                start = spec.start](caf::actor_system& system) -> result<caf::actor> {
    auto made = start(system);
    if (made) {
      known->put(name, *made);
    }
    return made;
  };
  return spec;
}

supervisor_spec shard_supervisor(const std::string& name,
                                 const std::shared_ptr<actors::stage_bench>& bench,
                                 actors::compute_executor* executor, const caf::actor& watcher) {
  child_spec shard;
  shard.rules = {"shard", restart_kind::permanent, worker_shutdown};
  shard.start = [bench, executor](caf::actor_system& system) -> result<caf::actor> {
    return caf::actor_cast<caf::actor>(system.spawn(actors::shard_behavior, bench, executor));
  };
  return {
      name, strategy::one_for_one, restart_policy{5, 5s, 10ms, 1s}, {std::move(shard)}, watcher};
}

// A shard's supervisor joins as a temporary child: when it gives up, the host forgets the segment,
// and the next request for it starts anew.
actors::shard_launcher shard_launcher_for(const parts_pointer& parts, const known_pointer& known) {
  return [parts, known](caf::event_based_actor* self, const std::string& name,
                        std::shared_ptr<actors::stage_bench> bench) {
    const caf::actor host = caf::actor_cast<caf::actor>(self);
    child_spec spec =
        supervisor_child({name, restart_kind::temporary, limits::shutdown_wait},
                         [name, bench = std::move(bench), executor = parts->executor, host] {
                           return shard_supervisor(name, bench, executor, host);
                         });
    self->request(known->get("shards"), start_wait, start_child{std::move(spec)})
        .then([](const caf::actor&) {},
              [host, name](const caf::error& reason) {
                caf::anon_send(
                    host,
                    child_event{child_event::kind::abandoned, name, "shard", {}, from_caf(reason)});
              });
  };
}

actors::lead_environment lead_parts(const node_parts& parts,
                                    const actors::model_catalog::entry& model,
                                    const caf::actor& paths) {
  actors::lead_environment around;
  const compute::model_config& config = model->weights.config;
  around.shape.stages = 1;
  around.shape.prefill_chunk = prefill_chunk_for(config, model->prefill_chunk);
  around.shape.hashed_layers = config.layers - 1;
  around.shape.context = std::min(config.context, model->context);
  around.shape.dim = config.dim;
  around.vocabulary = model->vocabulary.get();
  around.env = parts.env;
  around.executor = parts.draws;
  around.paths = caf::actor_cast<actors::path_provider>(paths);
  around.journal = parts.requests;
  around.desk = parts.desk;
  around.keeps = model;
  around.tells_path = true;
  around.meter = parts.meter;
  around.forecasts = parts.forecasts;
  around.cache = {parts.cache == nullptr ? nullptr : parts.cache->handle(), model->id};
  return around;
}

using lead_started = std::function<void(result<caf::actor>)>;

/// `payments` is empty for a request that nobody pays for, and `reserved` the path of one that is.
void start_lead(const parts_pointer& parts, const known_pointer& known,
                caf::event_based_actor* self, actors::submit_request command,
                const actors::model_catalog::entry& model, const caf::actor& payments,
                layer_places reserved, lead_started done) {
  actors::lead_environment around = lead_parts(*parts, model, known->get("paths"));
  around.payments = payments;
  around.reserved = std::move(reserved);
  const request_id id = command.request.id;
  // What is signed is what is paid for.
  command.request.receipt = command.request.receipt || payments;
  child_spec spec;
  spec.rules = {fmt::format("lead-{:016x}", id.value), restart_kind::temporary, worker_shutdown};
  spec.start = [command = std::move(command),
                around = std::move(around)](caf::actor_system& system) -> result<caf::actor> {
    return caf::actor_cast<caf::actor>(
        system.spawn(actors::lead_behavior, command.request, command.requester, around));
  };
  self->request(known->get("leads"), start_wait, start_child{std::move(spec)})
      .then(
          [done, payments, id](caf::actor& lead) {
            if (payments) {
              caf::anon_send(payments, actors::paid_lead{id, lead});
            }
            done(std::move(lead));
          },
          [done, payments, id](const caf::error& reason) {
            if (payments) {
              caf::anon_send(payments, actors::work_over{id, 0});
            }
            done(from_caf(reason));
          });
}

/// Nothing is computed before its quote is reserved.
actors::lead_launcher lead_launcher_for(const parts_pointer& parts, const known_pointer& known) {
  return [parts, known](caf::event_based_actor* self, const actors::submit_request& command,
                        std::function<void(result<caf::actor>)> done) {
    const auto model = parts->models->find(command.request.model);
    if (!model) {
      done(fail(errc::not_found, "the model of this request was unloaded"));
      return;
    }
    const caf::actor payments = known->get("payments");
    if (!payments) {
      return start_lead(parts, known, self, command, model, nullptr, {}, std::move(done));
    }
    actors::reserve_credit quote{command.request, model->weights.config.layers,
                                 actors::model_bytes(*model)};
    self->request(payments, reserve_answer_wait, std::move(quote))
        .then(
            [parts, known, self, command, model, payments, done](actors::credit_reserved& given) {
              start_lead(parts, known, self, command, model, given.paid ? payments : nullptr,
                         std::move(given.path), done);
            },
            [done](const caf::error& reason) { done(from_caf(reason)); });
  };
}

caf::actor start_paths(caf::actor_system& system, const parts_pointer& parts,
                       const known_pointer& /*known*/) {
  return caf::actor_cast<caf::actor>(system.spawn(
      actors::pathfinder_behavior,
      actors::pathfinder_environment{parts->key->id(), parts->links, parts->models,
                                     parts->journal_of("paths"), !parts->keeper.empty(),
                                     parts->options->ledger.ask_max_ppm, parts->forecasts}));
}

caf::actor start_host(caf::actor_system& system, const parts_pointer& parts,
                      const known_pointer& known) {
  actors::host_environment around;
  around.self = parts->key->id();
  around.links = parts->links;
  around.models = parts->models;
  around.journal = parts->journal_of("host");
  around.env = parts->env;
  around.launch = shard_launcher_for(parts, known);
  around.memory_bytes = parts->memory_bytes;
  around.fetch = parts->fetch_ordered;
  around.desk = parts->desk;
  around.cache = parts->cache == nullptr ? nullptr : parts->cache->handle();
  // Membership starts after the host, so it is looked up when there is something to say.
  around.report = [known](actors::load_changed load) {
    if (const caf::actor membership = known->get("membership")) {
      caf::anon_send(membership, load);
    }
  };
  return system.spawn(actors::host_behavior, std::move(around));
}

caf::actor start_source(caf::actor_system& system, const parts_pointer& parts,
                        const known_pointer& /*known*/) {
  return system.spawn<caf::detached>(
      actors::source_behavior,
      actors::source_environment{parts->links, parts->models, parts->journal_of("source"),
                                 parts->env, parts->options->serve_bytes_per_second});
}

caf::actor start_fetcher(caf::actor_system& system, const parts_pointer& parts,
                         const known_pointer& /*known*/) {
  actors::fetcher_environment around;
  around.self = parts->key->id();
  around.links = parts->links;
  around.models = parts->models;
  around.journal = parts->journal_of("fetcher");
  around.env = parts->env;
  around.state = parts->options->state;
  around.memory_bytes = parts->memory_bytes;
  around.settings.window_bytes = parts->options->fetch_window_bytes;
  around.settings.bytes_per_second = parts->options->fetch_bytes_per_second;
  around.configured = parts->fetches;
  return system.spawn<caf::detached>(actors::fetcher_behavior, std::move(around));
}

/// Names of the roles that are told who comes and goes.
std::vector<const char*> hearers_of_members();

caf::actor start_membership(caf::actor_system& system, const parts_pointer& parts,
                            const known_pointer& known) {
  actors::membership_environment around = parts->membership;
  around.journal = parts->journal_of("membership");
  // A restart must not look older than what the others know already.
  around.incarnation = std::max(around.incarnation, parts->env->unix_seconds() * 1'000);
  around.watchers = [known] {
    std::vector<caf::actor> list;
    for (const char* name : hearers_of_members()) {
      if (caf::actor watcher = known->get(name)) {
        list.push_back(std::move(watcher));
      }
    }
    return list;
  };
  return system.spawn(actors::membership_behavior, std::move(around));
}

// Detached: it computes for seconds at a time, which nobody else shall wait for.
caf::actor start_verifier(caf::actor_system& system, const parts_pointer& parts,
                          const known_pointer& known) {
  actors::verifier_environment around;
  around.key = parts->key;
  around.links = parts->links;
  around.access = parts->access;
  around.operators = parts->operators;
  around.models = parts->models;
  around.journal = parts->journal_of("verifier");
  around.env = parts->env;
  around.state = parts->options->state;
  around.meter = parts->meter;
  around.software = parts->desk->software;
  around.audits = parts->options->roles.has(role::verifier);
  around.how.least_rate_ppm = parts->options->audit_least_rate_ppm;
  around.watchers = [known] {
    std::vector<caf::actor> list;
    if (caf::actor paths = known->get("paths")) {
      list.push_back(std::move(paths));
    }
    return list;
  };
  if (parts->cache != nullptr) {
    // Weakly: what waits for the disk may outlive the actors.
    around.quarantine = [cache = parts->cache, all = std::weak_ptr{known}](const node_id& guilty) {
      cache->quarantine([all, guilty] {
        const auto names = all.lock();
        if (const caf::actor verifier = names ? names->get("verifier") : caf::actor{}) {
          caf::anon_send(verifier, actors::quarantine_written{guilty});
        }
      });
    };
  }
  if (!parts->keeper.empty()) {
    around.payments = [known] { return known->get("payments"); };
  }
  return system.spawn<caf::detached>(actors::verifier_behavior, std::move(around));
}

caf::actor start_ledger(caf::actor_system& system, const parts_pointer& parts,
                        const known_pointer& /*known*/) {
  return system.spawn<caf::detached>(actors::ledger_keeper_behavior,
                                     actors::ledger_keeper_environment{parts->ledger, parts->links,
                                                                       parts->journal_of("ledger"),
                                                                       parts->env});
}

caf::actor start_payments(caf::actor_system& system, const parts_pointer& parts,
                          const known_pointer& known) {
  actors::payments_environment around;
  around.key = parts->key;
  around.keeper = parts->keeper;
  around.serves_unpaid = parts->options->ledger.serves_unpaid;
  around.weighs_factors = parts->options->ledger.weighs_factors;
  around.links = parts->links;
  around.journal = parts->journal_of("payments");
  around.env = parts->env;
  around.folder = parts->options->state + "/payments";
  around.copy = parts->ledger_copy;
  around.paths = [known] { return known->get("paths"); };
  around.drives = [parts](const node_id& who) {
    return who == parts->key->id() || parts->access->roles_of(who).has(role::scheduler);
  };
  around.eject = [parts](const node_id& node) {
    if (const auto kicked = parts->access->kick(node); !kicked) {
      parts->journal->say(actors::log_level::error, std::nullopt, "{}", kicked.error().message);
    }
    parts->links->disconnect(node, {errc::invalid_argument, "convicted by the ledger"});
  };
  return system.spawn<caf::detached>(actors::payments_behavior, std::move(around));
}

supervisor_spec requests_tree_of(const parts_pointer& parts, const known_pointer& known) {
  child_spec leads = kept_supervisor("leads", known, [] {
    return supervisor_spec{"leads", strategy::one_for_one, restart_policy{1, 1s}, {}, {}};
  });
  child_spec scheduler = kept("scheduler", known, [parts, known](caf::actor_system& system) {
    return caf::actor{system.spawn(actors::scheduler_behavior, lead_launcher_for(parts, known))};
  });
  child_spec jobs = kept("jobs", known, [parts, known](caf::actor_system& system) {
    actors::jobs_environment around{parts->key->id(),          parts->links, parts->models,
                                    parts->journal_of("jobs"), parts->env,   parts->requests,
                                    known->get("scheduler")};
    around.signs_all = parts->options->audit_every_request;
    around.twice_tokens = parts->options->audit_twice_tokens;
    around.finished = [known](std::shared_ptr<const std::vector<std::byte>> bytes, bool suspect) {
      if (const caf::actor verifier = known->get("verifier")) {
        caf::anon_send(verifier, actors::receipt_finished{std::move(bytes), suspect});
      }
    };
    const caf::actor made = system.spawn(actors::jobs_behavior, std::move(around));
    actors::peers::receivers receivers;
    receivers.jobs = made;
    parts->links->use(receivers);
    // What an earlier life left: also after a crash of this part of the tree.
    caf::anon_send(made, actors::resume_jobs{});
    return made;
  });
  return {"requests",
          strategy::one_for_all,
          restart_policy{5, 5s, 10ms, 1s},
          {std::move(leads), std::move(scheduler), std::move(jobs)},
          {}};
}

caf::actor start_gateway(caf::actor_system& system, const parts_pointer& parts,
                         const known_pointer& known) {
  actors::gateway_environment around;
  around.desk = parts->gateway;
  around.models = parts->models;
  around.env = parts->env;
  around.find = [known](const std::string& name) { return known->get(name); };
  const caf::actor made = system.spawn(actors::gateway_behavior, std::move(around));
  parts->gateway->use(made);
  return made;
}

/// Who is asked for what Prometheus is told.
std::vector<std::string> metric_sources(const node_parts& parts) {
  const role_set roles = parts.options->roles;
  std::vector<std::string> sources{"membership"};
  const auto add = [&](bool there, const char* name) {
    if (there) {
      sources.emplace_back(name);
    }
  };
  add(roles.has(role::scheduler), "scheduler");
  add(roles.has(role::worker), "host");
  add(parts.ledger != nullptr, "ledger");
  add(!parts.keeper.empty(), "payments");
  add(parts.cache != nullptr, "cache");
  add(parts.cache != nullptr && parts.options->cache.peers, "blocks");
  return sources;
}

caf::actor start_metrics(caf::actor_system& system, const parts_pointer& parts,
                         const known_pointer& known) {
  actors::metrics_environment around = parts->measured;
  around.find = [known](const std::string& name) { return known->get(name); };
  around.sources = metric_sources(*parts);
  const caf::actor made = system.spawn<caf::detached>(actors::metrics_behavior, std::move(around));
  parts->metrics->use(made);
  return made;
}

caf::actor start_admin(caf::actor_system& system, const parts_pointer& parts,
                       const known_pointer& known) {
  actors::admin_environment around = parts->admin;
  around.clients_pay = parts->options->ledger.clients_pay;
  around.keeper = parts->keeper;
  around.find = [known](const std::string& name) { return known->get(name); };
  // On a thread of its own: shells may send megabytes to be parsed, and probes do not wait for
  // it.
  const caf::actor made = system.spawn<caf::detached>(actors::admin_behavior, std::move(around));
  if (parts->console != nullptr) {
    parts->console->use(made);
  }
  return made;
}

caf::actor start_blocks(caf::actor_system& system, const parts_pointer& parts,
                        const known_pointer& known) {
  const actors::cache_environment& cache = parts->cache->around();
  return system.spawn(
      actors::exchange_behavior,
      actors::exchange_environment{parts->key->id(), parts->links, parts->journal_of("blocks"),
                                   parts->env, cache.tiers, cache.front, known->get("membership")});
}

/// A role: an actor of its own, kept under its name while it lives.
struct role_row {
  const char* name;
  bool (*wanted)(const node_parts&);
  caf::actor (*start)(caf::actor_system&, const parts_pointer&, const known_pointer&);
  /// What it hears from other nodes; null: nothing.
  caf::actor actors::peers::receivers::*hears;
  bool hears_members; ///< who comes and goes
};

bool always(const node_parts&) { return true; }
bool works(const node_parts& parts) { return parts.options->roles.has(role::worker); }

using heard = actors::peers::receivers;

constexpr role_row blocks_row{"blocks", always, start_blocks, &heard::blocks, true};

/// Those before the requests, which rest on them, in the order in which they start.
constexpr std::array roles_below{
    role_row{"paths", always, start_paths, &heard::paths, true},
    role_row{"host", works, start_host, &heard::host, true},
    role_row{"source", always, start_source, &heard::source, false},
    role_row{"fetcher", works, start_fetcher, &heard::fetcher, true},
    role_row{"verifier", always, start_verifier, &heard::verifier, true},
    role_row{"membership", always, start_membership, &heard::membership, false},
    role_row{"ledger", [](const node_parts& p) { return p.ledger != nullptr; }, start_ledger,
             &heard::ledger, false},
    role_row{"payments", [](const node_parts& p) { return !p.keeper.empty(); }, start_payments,
             &heard::payments, false}};

constexpr std::array roles_above{role_row{"gateway",
                                          [](const node_parts& p) { return p.gateway != nullptr; },
                                          start_gateway, nullptr, true},
                                 role_row{"metrics", always, start_metrics, nullptr, false},
                                 role_row{"admin", always, start_admin, &heard::admin, true}};

std::vector<const char*> hearers_of_members() {
  std::vector<const char*> names;
  const auto add = [&names](const role_row& row) {
    if (row.hears_members) {
      names.push_back(row.name);
    }
  };
  std::for_each(roles_below.begin(), roles_below.end(), add);
  std::for_each(roles_above.begin(), roles_above.end(), add);
  add(blocks_row);
  return names;
}

child_spec child_of(const role_row& row, const parts_pointer& parts, const known_pointer& known) {
  return kept(row.name, known, [row, parts, known](caf::actor_system& system) {
    caf::actor made = row.start(system, parts, known);
    if (row.hears != nullptr) {
      actors::peers::receivers receivers;
      receivers.*row.hears = made;
      parts->links->use(receivers);
    }
    return made;
  });
}

template <class Rows>
void add_children(supervisor_spec& tree, const Rows& rows, const parts_pointer& parts,
                  const known_pointer& known) {
  for (const role_row& row : rows) {
    if (row.wanted(*parts)) {
      tree.children.push_back(child_of(row, parts, known));
    }
  }
}

child_spec reuse_child(const parts_pointer& parts, const known_pointer& known) {
  return kept_supervisor("reuse", known, [parts, known] {
    std::vector<child_spec> children;
    children.push_back(kept("cache", known, [parts, known](caf::actor_system& system) {
      actors::cache_environment around = parts->cache->around();
      if (parts->options->cache.peers) {
        around.exchange = [known] { return known->get("blocks"); };
      }
      const caf::actor made = system.spawn(actors::cache_behavior, std::move(around));
      parts->cache->handle()->set(made);
      return made;
    }));
    if (parts->options->cache.peers) {
      children.push_back(child_of(blocks_row, parts, known));
    }
    return supervisor_spec{
        "reuse", strategy::one_for_one, restart_policy{5, 5s, 10ms, 1s}, std::move(children), {}};
  });
}

} // namespace

void directory::put(const std::string& name, caf::actor actor) {
  const std::lock_guard lock{guard_};
  actors_[name] = std::move(actor);
}

caf::actor directory::get(const std::string& name) const {
  const std::lock_guard lock{guard_};
  const auto found = actors_.find(name);
  return found == actors_.end() ? nullptr : found->second;
}

supervisor_spec cluster_node_tree(const std::shared_ptr<const node_parts>& parts,
                                  const std::shared_ptr<directory>& known) {
  supervisor_spec tree{"ovir", strategy::rest_for_one, restart_policy{5, 10s, 200ms, 5s}, {}, {}};
  tree.children.push_back(kept_supervisor("shards", known, [] {
    return supervisor_spec{"shards", strategy::one_for_one, restart_policy{1, 1s}, {}, {}};
  }));
  add_children(tree, roles_below, parts, known);
  if (parts->options->roles.has(role::scheduler)) {
    tree.children.push_back(kept_supervisor(
        "requests", known, [parts, known] { return requests_tree_of(parts, known); }));
  }
  add_children(tree, roles_above, parts, known);
  if (parts->cache != nullptr) {
    tree.children.push_back(reuse_child(parts, known));
  }
  return tree;
}

} // namespace ovir::supervision
