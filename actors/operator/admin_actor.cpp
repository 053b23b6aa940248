#include "actors/operator/admin_actor.hpp"

#include "actors/operator/admin_call_actor.hpp"
#include "actors/operator/admin_json_actor.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/hex.hpp"
#include "messages/limits/console.hpp"
#include "messages/limits/evidence.hpp"
#include "messages/limits/ledger.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

constexpr std::size_t commands_max = 16; // of one connection at once
constexpr std::uint32_t beat_ticks = 5;
constexpr std::uint64_t protocol = 1;

using call = admin_call;

// Looking

result<void> show_version(const call& c, admin_arguments& args) {
  OVIR_TRY(args.done());
  const admin_environment& around = c.self->state.environment;
  const role_set roles = c.self->state.clients.at(c.connection).peer.roles;
  json list = json::array();
  for (const role r : {role::reader, role::operate}) {
    if (roles.has(r)) {
      list.push_back(to_string(role_set{}.add(r)));
    }
  }
  c.done({{"version", around.version},
          {"protocol", protocol},
          {"node", to_hex(around.self)},
          {"name", around.name},
          {"cluster", around.cluster},
          {"roles", std::move(list)}});
  return {};
}

/// How this node is reached, and which members it reaches through others.
void add_reach(json& page, const nat_board& reach) {
  const nat_report r = reach.report();
  page["reach"] = {{"verdict", r.verdict}, {"outside", r.outside},          {"router", r.router},
                   {"helpers", r.helpers}, {"relayed", r.relayed},          {"guests", r.guests},
                   {"streams", r.streams}, {"passed_bytes", r.passed_bytes}};
  for (json& one : page["nodes"]) {
    const auto node = node_id_from_hex(one["node"].get<std::string>());
    one["relayed"] = node && reach.is_relayed(*node);
  }
}

/// Who is here without leave (`access_list::is_stranger`).
void add_strangers(json& page, const access_list& access) {
  for (json& one : page["nodes"]) {
    const auto node = node_id_from_hex(one["node"].get<std::string>());
    one["newcomer"] = node && access.is_stranger(*node);
  }
}

result<void> show_nodes(const call& c, admin_arguments& args) {
  OVIR_TRY(args.done());
  return with_members(c, [c](const members_view& members) {
    const admin_environment& around = c.self->state.environment;
    json page = members_json(*members, around.self);
    if (around.reach) {
      add_reach(page, *around.reach);
    }
    add_strangers(page, *around.access);
    c.done(std::move(page));
  });
}

result<void> show_models(const call& c, admin_arguments& args) {
  OVIR_TRY(args.done());
  return with_members(c, [c](const members_view& members) {
    c.done(models_json(*members, *c.self->state.environment.models));
  });
}

result<void> show_tree(const call& c, admin_arguments& args) {
  OVIR_TRY(args.done());
  c.self->state.environment.tree(c.self, [c](const result<std::string>& tree) {
    if (!tree) {
      return c.refuse(tree.error());
    }
    c.done({{"tree", json::parse(*tree)}});
  });
  return {};
}

// Adds the path to a job's document, then goes on.
void locate(const call& c, const job_view& job, const std::function<void(json)>& use) {
  const auto paths = caf::actor_cast<pathfinder_actor>(find_actor(c, "paths"));
  c.self->request(paths, admin_ask_wait, locate_request{job.request})
      .then(
          [c, job, use](const request_location& where) {
            json out = shown_job(c, job);
            out["path"] = path_json(where.stages, *c.self->state.members);
            out["paths"] = json::array();
            for (const job_path& taken : job.paths) {
              out["paths"].push_back(
                  {{"from", taken.from}, {"path", path_json(taken.path, *c.self->state.members)}});
            }
            use(std::move(out));
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
}

result<void> show_jobs(const call& c, admin_arguments& args) {
  OVIR_TRY(args.done());
  return with_jobs(c, [c](const std::vector<job_view>& list) {
    auto rest = std::make_shared<std::vector<job_view>>();
    std::copy_if(list.begin(), list.end(), std::back_inserter(*rest),
                 [](const job_view& job) { return job.state == job_state::running; });
    if (rest->empty()) {
      return c.done({{"jobs", json::array()}});
    }
    auto shown = std::make_shared<json>(json::array());
    for (const job_view& job : *rest) {
      locate(c, job, [c, shown, count = rest->size()](json document) {
        shown->push_back(std::move(document));
        if (shown->size() == count) {
          c.done({{"jobs", *shown}});
        }
      });
    }
  });
}

result<void> show_job(const call& c, admin_arguments& args) {
  OVIR_ASSIGN(const request_id id, args.request());
  OVIR_TRY(args.done());
  return with_jobs(c, [c, id](const std::vector<job_view>& list) {
    const request_id own = own_request(c, id);
    const auto found = std::find_if(list.begin(), list.end(), [&](const job_view& job) {
      return job.request == id || job.request == own;
    });
    if (found == list.end()) {
      return c.refuse({errc::not_found, "this node does not drive this request"});
    }
    locate(c, *found, [c, outcome = found->outcome, pace = found->pace](json document) {
      if (pace) {
        document["pace"] = pace_json(*pace, *c.self->state.members);
      }
      if (outcome) {
        const json all = outcome_json(*outcome, *c.self->state.members);
        for (const char* const key :
             {"units", "answer_reused", "transcript", "timing", "speculation", "recoveries"}) {
          document[key] = all[key];
        }
      }
      c.done({{"job", std::move(document)}});
    });
  });
}

void answer_plan(const call& c, const digest& model, std::uint32_t positions,
                 std::optional<double> measured) {
  c.self
      ->request(caf::actor_cast<pathfinder_actor>(find_actor(c, "paths")), admin_ask_wait,
                describe_path{model, positions})
      .then(
          [c, model, positions, measured](const path_description& what) {
            if (!what.planned) {
              return c.refuse(what.planned.error());
            }
            c.done(plan_json(what, model, positions, measured));
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
}

result<void> show_plan(const call& c, admin_arguments& args) {
  OVIR_ASSIGN(const std::string name, args.text("model", ""));
  OVIR_ASSIGN(const std::uint64_t context, args.whole("context", 0, limits::context_max, 0));
  OVIR_TRY(args.done());
  OVIR_ASSIGN(const auto model, find_model(*c.self->state.environment.models, name));
  const auto positions = context == 0 ? model->context : static_cast<std::uint32_t>(context);
  if (!find_actor(c, "jobs")) { // drives no requests, so it measured none
    answer_plan(c, model->id, positions, std::nullopt);
    return {};
  }
  return with_jobs(c, [c, model = model->id, positions](const std::vector<job_view>& jobs) {
    answer_plan(c, model, positions, measured_speed(jobs, model));
  });
}

result<void> stop_watch(const call& c, admin_arguments& args) {
  OVIR_ASSIGN(const std::uint64_t id, args.whole("id", 1, std::uint64_t{1} << 53U, std::nullopt));
  OVIR_TRY(args.done());
  admin_state& state = c.self->state;
  const auto found = std::find_if(state.watches.begin(), state.watches.end(), [&](const auto& w) {
    return w.second.connection == c.connection && w.second.command == id;
  });
  if (found == state.watches.end()) {
    return fail(errc::not_found, "command {} of this connection watches nothing", id);
  }
  const auto [tag, watch] = *found;
  state.watches.erase(found);
  const call other{c.self, c.connection, id};
  if (watch.top) {
    other.done(json::object());
  } else {
    if (const caf::actor jobs = find_actor(c, "jobs")) {
      c.self->send(jobs, unwatch_job{caf::actor_cast<caf::actor>(c.self), tag});
    }
    other.done({{"request", request_text(watch.request)}});
  }
  c.done(json::object());
  return {};
}

// Requests

/// Refuses with the id that the shell gave instead of the cluster's.
void refuse_named(const call& c, error why, request_id named) {
  const std::string own = request_text(own_request(c, named));
  if (const std::size_t at = why.message.find(own); at != std::string::npos) {
    why.message.replace(at, own.size(), request_text(named));
  }
  c.refuse(why);
}

/// Events and the end of one of this shell's own requests.
result<void> watch(const call& c, request_id id, std::uint32_t from, std::uint32_t bunch,
                   reveal_when reveal) {
  OVIR_ASSIGN(const caf::actor jobs, jobs_of(c));
  admin_state& state = c.self->state;
  if (!state.clients.contains(c.connection)) {
    return {}; // gone while its request was taken: nobody to tell
  }
  const std::uint64_t tag = state.next_tag++;
  keep_ticking(c.self);
  state.watches[tag] = {c.connection, c.id, id, false, 0, 0, false};
  c.self
      ->request(jobs, admin_ask_wait,
                watch_job{own_request(c, id), from, caf::actor_cast<caf::actor>(c.self), tag, bunch,
                          std::nullopt, id, false, reveal})
      .then([](bool) {},
            [c, tag, id](const caf::error& e) {
              c.self->state.watches.erase(tag);
              refuse_named(c, from_caf(e), id);
            });
  return {};
}

result<void> run(const call& c, admin_arguments& args) {
  OVIR_ASSIGN(run_order order, read_run(c, args));
  OVIR_ASSIGN(const std::string payment, args.text("payment", ""));
  OVIR_TRY(args.done());
  generation_request& request = order.request;
  if (!payment.empty() && request.reveal == reveal_when::after) {
    return fail(errc::unsupported,
                "a reservation pays for one run, and reveal after takes two; run "
                "it without --pay or without --reveal");
  }
  if (!payment.empty()) {
    OVIR_ASSIGN(std::vector<std::byte> entry,
                bytes_from_hex(payment, "a payment", limits::ledger_entry_bytes_max));
    request.payment = std::make_shared<const std::vector<std::byte>>(std::move(entry));
  } else if (c.self->state.environment.clients_pay) {
    return fail(errc::invalid_argument, "requests here are paid for by who asks: run it with --pay "
                                        "and the most it may cost, in micro-credits");
  }
  OVIR_ASSIGN(const caf::actor jobs, jobs_of(c));
  const request_id id = order.named;
  const reveal_when reveal = request.reveal;
  c.self->request(jobs, admin_ask_wait, submit_job{std::move(request), id})
      .then(
          [c, id, wait = order.wait, bunch = order.bunch, reveal](bool) {
            if (!wait) {
              return c.done({{"request", request_text(id)}});
            }
            if (const auto watching = watch(c, id, 0, bunch, reveal); !watching) {
              c.refuse(watching.error());
            }
          },
          [c, id](const caf::error& e) { refuse_named(c, from_caf(e), id); });
  return {};
}

result<void> attach(const call& c, admin_arguments& args) {
  OVIR_ASSIGN(const request_id id, args.request());
  OVIR_ASSIGN(const std::uint64_t from, args.whole("from", 0, limits::context_max, 0));
  OVIR_ASSIGN(const std::uint32_t bunch, read_bunch(args));
  OVIR_ASSIGN(const std::string name, args.text("reveal", "at_once"));
  OVIR_ASSIGN(const reveal_when reveal, reveal_from(name));
  OVIR_TRY(args.done());
  return watch(c, id, static_cast<std::uint32_t>(from), bunch, reveal);
}

/// Its own of this id, else the cluster's.
void cancel_either(const call& c, const caf::actor& jobs, request_id id, bool own) {
  c.self->request(jobs, admin_ask_wait, cancel_job{own ? own_request(c, id) : id})
      .then(
          [c, id](bool) {
            c.done({{"request", request_text(id)}});
          },
          [c, jobs, id, own](const caf::error& e) {
            const error why = from_caf(e);
            if (own && why.code == errc::not_found) {
              return cancel_either(c, jobs, id, false);
            }
            refuse_named(c, why, id);
          });
}

/// Its own, by the id it gave, or any by the cluster's id, which `jobs` lists: who operates a node
/// stops what runs there, and reads none of it.
result<void> cancel(const call& c, admin_arguments& args) {
  OVIR_ASSIGN(const request_id id, args.request());
  OVIR_TRY(args.done());
  OVIR_ASSIGN(const caf::actor jobs, jobs_of(c));
  cancel_either(c, jobs, id, true);
  return {};
}

/// A page of a receipt, from one of its bytes on.
result<void> show_receipt(const call& c, admin_arguments& args) {
  OVIR_ASSIGN(const request_id id, args.request());
  OVIR_ASSIGN(const std::uint64_t from, args.whole("from", 0, limits::receipt_bytes_max, 0));
  OVIR_TRY(args.done());
  OVIR_ASSIGN(const caf::actor jobs, jobs_of(c));
  c.self->request(jobs, admin_ask_wait, read_receipt{own_request(c, id)})
      .then(
          [c, id, from](const kept_receipt& kept) {
            json page = receipt_page(**kept.made, from);
            page["request"] = request_text(id);
            c.done(std::move(page));
          },
          [c, id](const caf::error& e) { refuse_named(c, from_caf(e), id); });
  return {};
}

struct command_entry {
  std::string_view name;
  bool operates;
  result<void> (*act)(const call&, admin_arguments&);
};

constexpr command_entry commands[] = {
    {"version", false, show_version},
    {"nodes", false, show_nodes},
    {"models", false, show_models},
    {"tree", false, show_tree},
    {"jobs", false, show_jobs},
    {"job", false, show_job},
    {"why", false, show_job},
    {"fetches", false, show_fetches},
    {"plan", false, show_plan},
    {"placement", false, show_placement},
    {"top", false, show_top},
    {"attach", false, attach},
    {"stop", false, stop_watch},
    {"run", true, run},
    {"cancel", true, cancel},
    {"drain", true, drain_node},
    {"kick", true, kick_node},
    {"invitations", false, show_invitations},
    {"revoke", true, revoke_invitation},
    {"load", true, load_model},
    {"unload", true, unload_model},
    {"log", true, set_log_level},
    {"chaos", true, make_chaos},
    {"audits", false, show_audits},
    {"cache", false, show_cache},
    {"ledger", false, use_ledger},
    {"quote", true, quote_run},
    {"receipt", false, show_receipt},
    {"reputation", false, show_reputation},
};

void act_on(const call& c, const std::string& name, const json& given, role_set roles) {
  const auto* const entry = std::find_if(std::begin(commands), std::end(commands),
                                         [&](const command_entry& e) { return e.name == name; });
  if (entry == std::end(commands)) {
    return c.refuse(fail(errc::unsupported, "there is no command '{}'", name.substr(0, 32)));
  }
  if (entry->operates && !roles.has(role::operate)) {
    return c.refuse("forbidden", fmt::format("'{}' needs the role operator", entry->name));
  }
  admin_arguments args{given};
  if (const auto acted = entry->act(c, args); !acted) {
    c.refuse(acted.error());
  }
}

void answer(admin_pointer self, const command_turns::command& request) {
  admin_state& state = self->state;
  const auto client = state.clients.find(request.peer.connection);
  if (client == state.clients.end()) {
    return;
  }
  const auto parsed =
      parse_command({reinterpret_cast<const char*>(request.bytes->data()), request.bytes->size()});
  if (!parsed || client->second.open.contains(parsed->id)) {
    state.environment.links->close(request.peer.connection,
                                   parsed ? error{errc::malformed, "a command's id is in use"}
                                          : parsed.error());
    return;
  }
  const call c{self, request.peer.connection, parsed->id};
  if (client->second.open.size() >= commands_max) {
    return c.send({{"ok", false},
                   {"done", true},
                   {"error", {{"code", "busy"}, {"message", "too many commands at once"}}}});
  }
  client->second.open.insert(parsed->id);
  act_on(c, parsed->name, parsed->args, request.peer.roles);
}

void take_turn(admin_pointer self) {
  if (const auto next = self->state.waiting.take()) {
    answer(self, *next);
    self->send(self, admin_turn{});
  } else {
    self->state.turn_taken = false;
  }
}

/// Queued here rather than in the mailbox, where a shell's flood would keep all others waiting.
void take_request(admin_pointer self, const admin_request& request) {
  self->state.clients.try_emplace(request.peer.connection, admin_state::client{request.peer, {}});
  self->state.waiting.add({request.peer, request.bytes});
  if (!std::exchange(self->state.turn_taken, true)) {
    self->send(self, admin_turn{});
  }
}

/// A question of the console: what a reader may ask, and one answer ends it.
void take_look(admin_pointer self, console_look& look) {
  admin_state& state = self->state;
  if (state.looks.size() >= limits::console_looks_max) {
    return look.answer(
        {{"ok", false},
         {"error", {{"code", "busy"}, {"message", "too many questions of the console at once"}}}});
  }
  admin_state::client& console = state.clients[console_connection];
  console.peer.connection = console_connection;
  console.peer.roles = role_set{}.add(role::reader);
  const call c{self, console_connection, state.next_tag++};
  console.open.insert(c.id);
  state.looks[c.id] = std::move(look.answer);
  act_on(c, look.command, look.args, console.peer.roles);
}

void take_token(admin_pointer self, const job_token& token) {
  const auto found = self->state.watches.find(token.tag);
  if (found != self->state.watches.end()) {
    call{self, found->second.connection, found->second.command}.send(
        {{"event", {{"index", token.index}, {"token", token.token}, {"text", token.text}}}});
  }
}

void take_end(admin_pointer self, const job_over& over) {
  const auto found = self->state.watches.find(over.tag);
  if (found == self->state.watches.end()) {
    return;
  }
  const call c{self, found->second.connection, found->second.command};
  const request_id shown = found->second.request;
  self->state.watches.erase(found);
  if (!over.outcome->report) {
    return c.refuse(over.outcome->report.error());
  }
  job_outcome outcome = *over.outcome;
  outcome.request.id = shown; // the shell's own name of it
  json data = outcome_json(outcome, *self->state.members);
  for (const char* const large : {"prompt_tokens", "tokens", "text"}) {
    if (data.dump(-1, ' ', false, json::error_handler_t::replace).size() + 256 >
        limits::admin_bytes_max) {
      data.erase(large);
    }
  }
  c.done(std::move(data));
}

void forget_client(admin_pointer self, connection_id connection) {
  admin_state& state = self->state;
  state.clients.erase(connection);
  state.waiting.forget(connection);
  const caf::actor jobs = state.environment.find("jobs");
  for (auto it = state.watches.begin(); it != state.watches.end();) {
    if (it->second.connection == connection) {
      if (jobs && !it->second.top) {
        self->send(jobs, unwatch_job{caf::actor_cast<caf::actor>(self), it->first});
      }
      it = state.watches.erase(it);
    } else {
      ++it;
    }
  }
}

void tick(admin_pointer self) {
  for (auto& [tag, watch] : self->state.watches) {
    if (watch.top) {
      watch.due = watch.due || watch.ticks % std::max(watch.every_ticks, 1U) == 0;
    } else if (watch.ticks % beat_ticks == 0) {
      // A client cannot tell a slow request from a frozen node otherwise.
      call{self, watch.connection, watch.command}.send({{"event", {{"beat", true}}}});
    }
    ++watch.ticks;
  }
  ask_for_tops(self);
  self->state.ticking = false;
  if (!self->state.watches.empty()) {
    keep_ticking(self);
  }
}

} // namespace

void keep_ticking(admin_pointer self) {
  if (!std::exchange(self->state.ticking, true)) {
    self->delayed_send(self, admin_tick_interval, admin_tick{});
  }
}

result<caf::actor> jobs_of(const call& c) {
  caf::actor jobs = find_actor(c, "jobs");
  if (!jobs) {
    return fail(errc::unsupported, "this node is no scheduler; connect to one, 'nodes' lists them");
  }
  return jobs;
}

json shown_job(const call& c, const job_view& job) {
  json out = job_json(job);
  if (c.self->state.clients.contains(c.connection) && job.named.value != 0 &&
      own_request(c, job.named) == job.request) {
    out["request"] = request_text(job.named);
  }
  return out;
}

result<void> with_jobs(const call& c, std::function<void(const std::vector<job_view>&)> use) {
  OVIR_ASSIGN(const caf::actor jobs, jobs_of(c));
  c.self->request(jobs, admin_ask_wait, list_jobs{})
      .then([use = std::move(use)](const std::vector<job_view>& list) { use(list); },
            [c](const caf::error& e) { c.refuse(from_caf(e)); });
  return {};
}

caf::behavior admin_behavior(admin_pointer self, admin_environment environment) {
  make_quiet(self);
  self->state.environment = std::move(environment);
  self->state.members = std::make_shared<const std::vector<member>>();
  if (const caf::actor membership = self->state.environment.find("membership")) {
    self->request(membership, admin_ask_wait, list_members{})
        .then([self](const members_changed& m) { self->state.members = m.members; },
              [](const caf::error&) {});
  }
  return {
      [self](const admin_request& request) { take_request(self, request); },
      [self](const admin_turn&) { take_turn(self); },
      [self](console_look& look) { take_look(self, look); },
      [self](const admin_closed& news) { forget_client(self, news.connection); },
      [self](const members_changed& news) { self->state.members = news.members; },
      [self](const job_token& token) { take_token(self, token); },
      [self](const job_over& over) { take_end(self, over); },
      [self](const model_loaded& news) { take_loaded(self, news); },
      [self](const admin_tick&) { tick(self); },
  };
}

} // namespace ovir::actors
