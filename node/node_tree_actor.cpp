#include "node/node_tree_actor.hpp"

#include "actors/audit/addendum_shelf.hpp"
#include "actors/audit/verifier_actor.hpp"
#include "actors/path/pathfinder_actor.hpp"
#include "actors/path/shard_directory_actor.hpp"
#include "actors/payment/ledger_keeper_actor.hpp"
#include "actors/payment/payments_actor.hpp"
#include "actors/placement/placer_actor.hpp"
#include "actors/request/jobs_actor.hpp"
#include "actors/request/scheduler_actor.hpp"
#include "actors/reuse/block_exchange_actor.hpp"
#include "actors/stage/shard_actor.hpp"
#include "actors/stage/stage_host_actor.hpp"
#include "actors/weights/scrubber_actor.hpp"
#include "actors/weights/weights_source_actor.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/spawn_apart.hpp"
#include "node/held_layers_actor.hpp"
#include "node/lead_launch_actor.hpp"
#include "node/request_rules.hpp"
#include "node/unit_pool.hpp"
#include "supervision/start_once.hpp"

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
/// The whole begins with this many times the first back-off of a part.
constexpr std::uint32_t whole_backoff_factor = 20;
/// Of supervisors whose children are never restarted.
restart_policy temporary() { return {1, 1s}; }

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

/// Those of `names` that are there.
std::vector<caf::actor> those_of(const known_pointer& known,
                                 const std::vector<const char*>& names) {
  std::vector<caf::actor> list;
  for (const char* const name : names) {
    if (caf::actor one = known->get(name)) {
      list.push_back(std::move(one));
    }
  }
  return list;
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

supervisor_spec shard_supervisor(const node_parts& parts, const std::string& name,
                                 const std::shared_ptr<actors::stage_bench>& bench,
                                 const caf::actor& watcher) {
  child_spec shard;
  shard.rules = {"shard", restart_kind::permanent, worker_shutdown};
  shard.start = [bench,
                 executor = parts.executor](caf::actor_system& system) -> result<caf::actor> {
    return caf::actor_cast<caf::actor>(system.spawn(actors::shard_behavior, bench, executor));
  };
  return {name, strategy::one_for_one, parts.policies.part, {std::move(shard)}, watcher};
}

std::string stage_name(std::size_t index) { return fmt::format("stage-{}", index); }

/// The stages of this process; in a cluster's node the host adds those that are in use.
supervisor_spec shards_tree(const parts_pointer& parts, const known_pointer& known) {
  const auto& benches = parts->local.benches;
  supervisor_spec tree{"shards",
                       strategy::one_for_one,
                       benches.empty() ? temporary() : parts->policies.whole,
                       {},
                       {}};
  for (std::size_t i = 0; i < benches.size(); ++i) {
    tree.children.push_back(supervisor_child(
        {stage_name(i), restart_kind::permanent, limits::shutdown_wait},
        [parts, bench = benches[i], name = stage_name(i), watcher = known->get("paths")] {
          return shard_supervisor(*parts, name, bench, watcher);
        }));
  }
  return tree;
}

// A shard's supervisor joins as a temporary child: when it gives up, the host forgets the segment,
// and the next request for it starts anew. A host that was started again may ask for what the one
// before had while that is ending: children are named by their host as well.
actors::shard_launcher shard_launcher_for(const parts_pointer& parts, const known_pointer& known) {
  return [parts, known](caf::event_based_actor* self, const std::string& name,
                        std::shared_ptr<actors::stage_bench> bench) {
    const caf::actor host = caf::actor_cast<caf::actor>(self);
    const std::string id = fmt::format("{}@{}", name, self->id());
    child_spec spec = supervisor_child({id, restart_kind::temporary, limits::shutdown_wait},
                                       [parts, name, bench = std::move(bench), host] {
                                         return shard_supervisor(*parts, name, bench, host);
                                       });
    start_once(self, known->get("shards"), std::move(spec), start_wait,
               [host, name](result<caf::actor> made) {
                 if (made) {
                   caf::anon_send(host, actors::host_slot_started{name, *made});
                 } else {
                   caf::anon_send(
                       host,
                       child_event{child_event::kind::abandoned, name, "shard", {}, made.error()});
                 }
               });
  };
}

caf::actor start_paths(caf::actor_system& system, const parts_pointer& parts,
                       const known_pointer& known) {
  if (!parts->local.benches.empty()) {
    std::vector<std::string> names;
    std::vector<layer_range> segments;
    for (std::size_t i = 0; i < parts->local.benches.size(); ++i) {
      names.push_back(stage_name(i));
      segments.push_back(parts->local.benches[i]->segment->layers());
    }
    return caf::actor_cast<caf::actor>(
        system.spawn(actors::directory_behavior, std::move(names), segments));
  }
  // The placer starts after the paths, so it is looked up when there is something to say.
  const auto asked = [known](const digest& model) {
    if (const caf::actor placer = known->get("placer")) {
      caf::anon_send(placer, actors::model_asked{model});
    }
  };
  return caf::actor_cast<caf::actor>(system.spawn(
      actors::pathfinder_behavior,
      actors::pathfinder_environment{parts->key->id(), parts->links, parts->models,
                                     parts->journal_of("paths"), !parts->keepers.empty(),
                                     parts->options->ledger.ask_max_ppm, parts->forecasts, asked,
                                     [env = parts->env] { return env->unix_seconds(); }}));
}

caf::actor start_placer(caf::actor_system& system, const parts_pointer& parts,
                        const known_pointer& /*known*/) {
  return system.spawn(actors::placer_behavior,
                      actors::placer_environment{parts->key->id(), parts->links, parts->models,
                                                 parts->journal_of("placer")});
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
  around.keep = parts->keep_ordered;
  around.drop = parts->drop_ordered;
  around.groups = parts->groups;
  around.desk = parts->desk;
  around.claim = claims_to(parts, known);
  around.cache = parts->reuse.handle;
  around.reuses = parts->reuse.enabled;
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
  return spawn_apart(system, actors::source_behavior,
                     actors::source_environment{parts->links, parts->models,
                                                parts->journal_of("source"), parts->env,
                                                parts->options->serve_bytes_per_second});
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
  around.room = {parts->memory_bytes, parts->options->spare_bytes};
  around.settings.window_bytes = parts->options->fetch_window_bytes;
  around.settings.bytes_per_second = parts->options->fetch_bytes_per_second;
  around.configured = parts->fetches;
  if (parts->gateway != nullptr) {
    around.tell = [desk = parts->gateway](std::string words) { desk->set_doing(std::move(words)); };
  }
  return spawn_apart(system, actors::fetcher_behavior, std::move(around));
}

/// Names of the roles that are told who comes and goes.
std::vector<const char*> hearers_of_members();

caf::actor start_membership(caf::actor_system& system, const parts_pointer& parts,
                            const known_pointer& known) {
  actors::membership_environment around = parts->membership;
  around.journal = parts->journal_of("membership");
  // What was loaded or dropped since the node began, and that it drains.
  say_layers(around.advert, *parts->models, parts->options->spare_bytes);
  around.advert.draining = parts->drains != nullptr && parts->drains->load();
  // A restart must not look older than what the others know already.
  around.incarnation = std::max(around.incarnation, parts->env->unix_seconds() * 1'000);
  around.watchers = [known] { return those_of(known, hearers_of_members()); };
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
  around.addenda = parts->addenda;
  around.parts = parts->groups == nullptr ? nullptr : &parts->groups->parts();
  around.software = parts->desk->software;
  around.audits = parts->options->roles.has(role::verifier);
  around.how.least_rate_ppm = parts->options->least_audit_rate();
  around.watchers = [known] { return those_of(known, {"paths", "placer"}); };
  if (parts->reuse.quarantine) {
    // Weakly: what waits for the disk may outlive the actors.
    around.quarantine = [quarantine = parts->reuse.quarantine,
                         all = std::weak_ptr{known}](const node_id& guilty) {
      quarantine([all, guilty] {
        const auto names = all.lock();
        if (const caf::actor verifier = names ? names->get("verifier") : caf::actor{}) {
          caf::anon_send(verifier, actors::quarantine_written{guilty});
        }
      });
    };
  }
  if (!parts->keepers.empty()) {
    around.payments = [known] { return known->get("payments"); };
  }
  around.keep = parts->keep_ordered;
  around.exchange = [known] { return known->get("blocks"); };
  around.cache = [known] { return known->get("cache"); };
  return spawn_apart(system, actors::verifier_behavior, std::move(around));
}

caf::actor start_ledger(caf::actor_system& system, const parts_pointer& parts,
                        const known_pointer& known) {
  return spawn_apart(system, actors::ledger_keeper_behavior,
                     actors::ledger_keeper_environment{parts->ledger, parts->links,
                                                       parts->journal_of("ledger"), parts->env,
                                                       [known] { return known->get("verifier"); }});
}

caf::actor start_payments(caf::actor_system& system, const parts_pointer& parts,
                          const known_pointer& known) {
  const ledger_option& wants = parts->options->ledger;
  actors::payments_environment around{parts->key, parts->keepers, wants.serves_unpaid,
                                      wants.rewards, wants.stake.value_or(0)};
  around.operator_of = parts->operator_of;
  around.links = parts->links;
  around.journal = parts->journal_of("payments");
  around.env = parts->env;
  around.folder = parts->options->state + "/payments";
  around.copy = parts->ledger_copy;
  around.verifier = [known] { return known->get("verifier"); };
  around.paths = [known] { return known->get("paths"); };
  around.drives = [parts](const node_id& who) {
    return who == parts->key->id() || parts->access->roles_of(who).has(role::scheduler);
  };
  around.obeys = parts->obeys;
  around.carried = parts->carried;
  around.eject = [parts](const node_id& node) {
    if (const auto kicked = parts->access->kick(node); !kicked) {
      parts->journal->say(actors::log_level::error, std::nullopt, "{}", kicked.error().message);
    }
    parts->links->disconnect(node, {errc::invalid_argument, "convicted by the ledger"});
  };
  return spawn_apart(system, actors::payments_behavior, std::move(around));
}

caf::actor start_jobs(caf::actor_system& system, const parts_pointer& parts,
                      const known_pointer& known) {
  actors::jobs_environment around{parts->key->id(),          parts->links, parts->models,
                                  parts->journal_of("jobs"), parts->env,   parts->requests,
                                  known->get("scheduler")};
  around.settings = request_rules(*parts->options, *parts->key);
  around.finished = [known, addenda = parts->addenda](const actors::receipt_effect& e) {
    if (addenda != nullptr && !e.part) {
      addenda->hold(e.request, e.bytes, !e.kept);
    }
    if (const caf::actor verifier = e.kept ? caf::actor{} : known->get("verifier")) {
      caf::anon_send(verifier, actors::receipt_finished{e.bytes, e.suspect});
    }
  };
  const caf::actor made = system.spawn(actors::jobs_behavior, std::move(around));
  // What an earlier life left: also after a crash of this part of the tree.
  caf::anon_send(made, actors::resume_jobs{});
  return made;
}

caf::actor start_scheduler(caf::actor_system& system, const parts_pointer& parts,
                           const known_pointer& known) {
  return system.spawn(actors::scheduler_behavior, lead_launcher_for(parts, known));
}

caf::actor start_cache(caf::actor_system& system, const parts_pointer& parts,
                       const known_pointer& known) {
  actors::cache_environment around = parts->reuse.around;
  if (parts->reuse.peers) {
    around.exchange = [known] { return known->get("blocks"); };
  }
  const caf::actor made = system.spawn(actors::cache_behavior, std::move(around));
  parts->reuse.handle->set(made);
  return made;
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
  add(!parts.keepers.empty(), "payments");
  add(parts.reuse.handle != nullptr && parts.reuse.enabled, "cache");
  add(parts.reuse.peers, "blocks");
  return sources;
}

caf::actor start_metrics(caf::actor_system& system, const parts_pointer& parts,
                         const known_pointer& known) {
  actors::metrics_environment around = parts->measured;
  around.find = [known](const std::string& name) { return known->get(name); };
  around.sources = metric_sources(*parts);
  const caf::actor made = spawn_apart(system, actors::metrics_behavior, std::move(around));
  parts->metrics->use(made);
  return made;
}

caf::actor start_admin(caf::actor_system& system, const parts_pointer& parts,
                       const known_pointer& known) {
  actors::admin_environment around = parts->admin;
  around.clients_pay = parts->options->ledger.clients_pay;
  around.keeper = parts->keepers.empty() ? node_id{} : parts->keepers.front();
  around.find = [known](const std::string& name) { return known->get(name); };
  // On a thread of its own: shells may send megabytes to be parsed; probes do not wait for it.
  const caf::actor made = spawn_apart(system, actors::admin_behavior, std::move(around));
  if (parts->console != nullptr) {
    parts->console->use(made);
  }
  return made;
}

caf::actor start_scrubber(caf::actor_system& system, const parts_pointer& parts,
                          const known_pointer& known) {
  return caf::actor_cast<caf::actor>(system.spawn(
      actors::scrubber_behavior,
      actors::scrubber_environment{parts->models, parts->journal_of("scrubber"), [known] {
                                     return caf::actor_cast<actors::unit_dispatcher_actor>(
                                         known->get("dispatcher"));
                                   }}));
}

caf::actor start_blocks(caf::actor_system& system, const parts_pointer& parts,
                        const known_pointer& known) {
  const actors::cache_environment& cache = parts->reuse.around;
  return system.spawn(actors::exchange_behavior,
                      actors::exchange_environment{
                          parts->key->id(), parts->links, parts->journal_of("blocks"), parts->env,
                          cache.tiers, cache.front, known->get("membership"), parts->reuse.peers});
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
bool linked(const node_parts& parts) { return parts.links != nullptr; }
bool works(const node_parts& parts) {
  return linked(parts) && parts.options->roles.has(role::worker);
}
bool schedules(const node_parts& parts) {
  return !linked(parts) || parts.options->roles.has(role::scheduler);
}
bool places(const node_parts& parts) { return linked(parts) && schedules(parts); }

using heard = actors::peers::receivers;

constexpr role_row paths_row{"paths", always, start_paths, &heard::paths, true};

/// Those before the requests, which rest on them, in the order in which they start.
constexpr std::array roles_below{
    role_row{"host", works, start_host, &heard::host, true},
    role_row{"source", linked, start_source, &heard::source, false},
    role_row{"fetcher", works, start_fetcher, &heard::fetcher, true},
    role_row{"verifier", linked, start_verifier, &heard::verifier, true},
    role_row{"placer", places, start_placer, &heard::placer, true},
    role_row{"membership", linked, start_membership, &heard::membership, false},
    role_row{"ledger", [](const node_parts& p) { return p.ledger != nullptr; }, start_ledger,
             &heard::ledger, false},
    role_row{"payments", [](const node_parts& p) { return !p.keepers.empty(); }, start_payments,
             &heard::payments, false}};

constexpr std::array roles_of_requests{
    role_row{"scheduler", always, start_scheduler, nullptr, false},
    role_row{"jobs", linked, start_jobs, &heard::jobs, false}};

constexpr std::array roles_above{role_row{"gateway",
                                          [](const node_parts& p) { return p.gateway != nullptr; },
                                          start_gateway, nullptr, true},
                                 role_row{"metrics", linked, start_metrics, nullptr, false},
                                 role_row{"admin", linked, start_admin, &heard::admin, true}};

constexpr std::array roles_of_reuse{role_row{"cache", always, start_cache, nullptr, false},
                                    role_row{"blocks", linked, start_blocks, &heard::blocks, true}};

constexpr std::array roles_of_upkeep{role_row{"scrubber", always, start_scrubber, nullptr, false}};

std::vector<const char*> hearers_of_members() {
  std::vector<const char*> names;
  const auto add = [&names](const auto&... rows) {
    const auto add_row = [&names](const role_row& row) {
      if (row.hears_members) {
        names.push_back(row.name);
      }
    };
    (std::for_each(rows.begin(), rows.end(), add_row), ...);
  };
  add(std::array{paths_row}, roles_below, roles_of_requests, roles_above, roles_of_reuse);
  return names;
}

child_spec child_of(const role_row& row, const parts_pointer& parts, const known_pointer& known) {
  return kept(row.name, known, [row, parts, known](caf::actor_system& system) {
    caf::actor made = row.start(system, parts, known);
    if (row.hears != nullptr && parts->links != nullptr) {
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

child_spec requests_child(const parts_pointer& parts, const known_pointer& known) {
  return kept_supervisor("requests", known, [parts, known] {
    supervisor_spec tree{"requests", strategy::one_for_all, parts->policies.part, {}, {}};
    tree.children.push_back(kept_supervisor("leads", known, [] {
      return supervisor_spec{"leads", strategy::one_for_one, temporary(), {}, {}};
    }));
    add_children(tree, roles_of_requests, parts, known);
    return tree;
  });
}

/// What a node does when nothing else is to be done, on the pool of work units.
child_spec upkeep_child(const parts_pointer& parts, const known_pointer& known) {
  return kept_supervisor("upkeep", known, [parts, known] {
    unit_pool_options options;
    options.workers = 1;
    options.detached = true;
    options.started = [known](const actors::unit_dispatcher_actor& made) {
      known->put("dispatcher", caf::actor_cast<caf::actor>(made));
    };
    supervisor_spec tree{"upkeep", strategy::one_for_one, parts->policies.part, {}, {}};
    tree.children.push_back(
        supervisor_child({"units", restart_kind::permanent, limits::shutdown_wait}, [options] {
          return unit_pool_tree(options, std::make_shared<const actors::digest_work>()).value();
        }));
    add_children(tree, roles_of_upkeep, parts, known);
    return tree;
  });
}

child_spec reuse_child(const parts_pointer& parts, const known_pointer& known) {
  return kept_supervisor("reuse", known, [parts, known] {
    supervisor_spec tree{"reuse", strategy::one_for_one, parts->policies.part, {}, {}};
    add_children(tree, roles_of_reuse, parts, known);
    return tree;
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

tree_policies policies_for(const cluster_options& options) {
  const std::chrono::nanoseconds first = options.restart_backoff * whole_backoff_factor;
  return {{options.restarts_max, options.restart_period, options.restart_backoff, 1s},
          {std::max<std::size_t>(options.restarts_max, 5), options.restart_period, first,
           std::max<std::chrono::nanoseconds>(first, 5s)}};
}

supervisor_spec node_tree(const std::shared_ptr<const node_parts>& parts,
                          const std::shared_ptr<directory>& known) {
  supervisor_spec tree{"ovir", strategy::rest_for_one, parts->policies.whole, {}, {}};
  tree.children.push_back(child_of(paths_row, parts, known));
  tree.children.push_back(
      kept_supervisor("shards", known, [parts, known] { return shards_tree(parts, known); }));
  add_children(tree, roles_below, parts, known);
  if (schedules(*parts)) {
    tree.children.push_back(requests_child(parts, known));
  }
  add_children(tree, roles_above, parts, known);
  if (parts->reuse.handle) {
    tree.children.push_back(reuse_child(parts, known));
  }
  if (works(*parts)) {
    tree.children.push_back(upkeep_child(parts, known));
  }
  return tree;
}

} // namespace ovir::supervision
