#include "actors/operator/admin_call_actor.hpp"
#include "messages/caf/errors.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

json top_json(const admin_state& state) {
  json nodes = json::array();
  for (const member& m : *state.members) {
    nodes.push_back({{"node", to_hex(m.node)},
                     {"name", m.advert.name},
                     {"health", m.health == member_health::alive ? "alive" : "suspect"},
                     {"tokens_per_second", nullptr},
                     {"slack_ms", nullptr},
                     {"queue", nullptr},
                     {"sessions", m.advert.sessions},
                     {"memory_bytes", m.advert.memory_bytes},
                     {"memory_used", m.advert.memory_bytes -
                                         std::min(m.advert.memory_free, m.advert.memory_bytes)}});
  }
  return {{"nodes", std::move(nodes)}, {"jobs", json::array()}};
}

/// What a shell that may see these jobs is shown of those that run.
json running_jobs(const admin_call& c, const std::vector<job_view>& list) {
  json shown = json::array();
  for (const job_view& job : list) {
    if (job.state == job_state::running) {
      shown.push_back(shown_job(c, job));
    }
  }
  return shown;
}

/// Answers the `top` that is not followed.
result<void> send_top(const admin_call& c) {
  return with_members(c, [c](const members_view& members) {
    c.self->state.members = members;
    if (!find_actor(c, "jobs")) {
      return c.done(top_json(c.self->state));
    }
    const auto asked = with_jobs(c, [c](const std::vector<job_view>& list) {
      json shown = top_json(c.self->state);
      shown["jobs"] = running_jobs(c, list);
      c.done(std::move(shown));
    });
    if (!asked) {
      c.refuse(asked.error());
    }
  });
}

void tell_tops(admin_pointer self, const std::vector<job_view>& list) {
  json shown = top_json(self->state);
  for (auto& [tag, watch] : self->state.watches) {
    if (std::exchange(watch.due, false)) {
      const admin_call c{self, watch.connection, watch.command};
      shown["jobs"] = running_jobs(c, list);
      c.send({{"event", shown}});
    }
  }
}

void ask_for_jobs(admin_pointer self) {
  const caf::actor jobs = self->state.environment.find("jobs");
  if (!jobs) {
    self->state.asks_for_tops = false;
    return tell_tops(self, {});
  }
  self->request(jobs, admin_ask_wait, list_jobs{})
      .then(
          [self](const std::vector<job_view>& list) {
            self->state.asks_for_tops = false;
            tell_tops(self, list);
          },
          [self](const caf::error&) { self->state.asks_for_tops = false; });
}

} // namespace

void ask_for_tops(admin_pointer self) {
  const auto& watches = self->state.watches;
  const caf::actor membership = self->state.environment.find("membership");
  if (!membership || self->state.asks_for_tops ||
      std::none_of(watches.begin(), watches.end(), [](const auto& w) { return w.second.due; })) {
    return;
  }
  self->state.asks_for_tops = true;
  self->request(membership, admin_ask_wait, list_members{})
      .then(
          [self](const members_changed& now) {
            self->state.members = now.members;
            ask_for_jobs(self);
          },
          [self](const caf::error&) { self->state.asks_for_tops = false; });
}

result<void> show_top(const admin_call& c, admin_arguments& args) {
  OVIR_ASSIGN(const bool follow, args.boolean("follow", false));
  OVIR_ASSIGN(const std::uint64_t every, args.whole("every_ms", 100, 60'000, 1'000));
  OVIR_TRY(args.done());
  if (!follow) {
    return send_top(c);
  }
  admin_state& state = c.self->state;
  const auto other = std::find_if(state.watches.begin(), state.watches.end(), [&](const auto& w) {
    return w.second.top && w.second.connection == c.connection;
  });
  if (other != state.watches.end()) {
    return fail(errc::busy, "this connection follows 'top' by command {} already; stop that first",
                other->second.command);
  }
  keep_ticking(c.self);
  state.watches[state.next_tag++] = {
      c.connection,
      c.id,
      {},
      true,
      static_cast<std::uint32_t>(every / static_cast<std::uint64_t>(admin_tick_interval.count())),
      0,
      false};
  return {};
}

} // namespace ovir::actors
