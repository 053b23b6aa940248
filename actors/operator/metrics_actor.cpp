#include "actors/operator/metrics_actor.hpp"

#include "actors/operator/metrics_pages_actor.hpp"
#include "actors/payment/ledger_keeper_actor.hpp"
#include "actors/request/scheduler_actor.hpp"
#include "actors/reuse/block_exchange_actor.hpp"
#include "actors/reuse/cache_protocol_actor.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/limits/metrics.hpp"

#include <caf/all.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

constexpr const char* tree_source = "tree";

void finish(metrics_pointer self) {
  metrics_state& state = self->state;
  metrics_state::page page = std::move(*state.making);
  state.making.reset();
  gateway::metric_list{page.families}.counters(
      "ovir_metrics_unanswered_total",
      "Parts of this page that were left out, by who did not answer in time", "actor",
      state.unanswered);
  std::sort(page.families.begin(), page.families.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const auto& answer : page.askers) {
    answer(page.families);
  }
}

/// `source` of the page of this number gave, or will not give, what it knows.
void answered(metrics_pointer self, std::uint64_t number, const std::string& source,
              const std::function<void(gateway::metric_list&)>& add) {
  metrics_state& state = self->state;
  if (!state.making || state.making->number != number || state.making->open.erase(source) == 0) {
    return; // too late
  }
  if (add) {
    gateway::metric_list list{state.making->families};
    add(list);
  } else {
    ++state.unanswered[source];
  }
  if (state.making->open.empty()) {
    finish(self);
  }
}

template <class Report, class Question>
void ask(metrics_pointer self, const std::string& source, Question question,
         void (*add)(gateway::metric_list&, const Report&)) {
  const std::uint64_t number = self->state.making->number;
  const caf::actor who = self->state.environment.find(source);
  if (!who) {
    return answered(self, number, source, nullptr);
  }
  self->request(who, limits::metrics_wait, std::move(question))
      .then(
          [self, number, source, add](const Report& report) {
            answered(self, number, source, [&](gateway::metric_list& list) { add(list, report); });
          },
          [self, number, source](const caf::error&) { answered(self, number, source, nullptr); });
}

void ask_source(metrics_pointer self, const std::string& source) {
  if (source == "membership") {
    ask<members_changed>(self, source, list_members{}, add_members);
  } else if (source == "scheduler") {
    ask<scheduler_report>(self, source, describe_scheduler{}, add_scheduler);
  } else if (source == "host") {
    ask<host_report>(self, source, describe_host{}, add_host);
  } else if (source == "cache") {
    ask<cache_report>(self, source, describe_cache{}, add_cache);
  } else if (source == "blocks") {
    ask<exchange_report>(self, source, describe_exchange{}, add_exchange);
  } else if (source == "ledger") {
    ask<keeper_report>(self, source, describe_keeper{}, add_keeper);
  } else if (source == "payments") {
    ask<payments_report>(self, source, describe_payments{}, add_payments);
  }
}

void count_restarts(metrics_state& state, const nlohmann::json& node, const std::string& above) {
  const std::string name = node.at("name");
  const std::string place = above + "/" + name;
  const auto now = node.at("restarts").get<std::uint64_t>();
  std::uint64_t& seen = state.restarts_seen[place];
  state.restarts[kind_of_actor(name)] += now >= seen ? now - seen : now;
  seen = now;
  if (node.contains("children")) {
    for (const nlohmann::json& child : node.at("children")) {
      count_restarts(state, child, place);
    }
  }
}

/// Places that are gone, such as leads, are not remembered.
void forget_places(metrics_state& state, const nlohmann::json& tree) {
  std::set<std::string> there;
  const std::function<void(const nlohmann::json&, const std::string&)> walk =
      [&](const nlohmann::json& node, const std::string& above) {
        const std::string place = above + "/" + node.at("name").get<std::string>();
        there.insert(place);
        if (node.contains("children")) {
          for (const nlohmann::json& child : node.at("children")) {
            walk(child, place);
          }
        }
      };
  walk(tree, "");
  std::erase_if(state.restarts_seen, [&](const auto& s) { return !there.contains(s.first); });
}

void ask_tree(metrics_pointer self) {
  self->state.environment.tree(
      self, [self, number = self->state.making->number](const result<std::string>& text) {
        const nlohmann::json tree =
            text ? nlohmann::json::parse(*text, nullptr, false) : nlohmann::json{};
        if (!tree.is_object()) {
          return answered(self, number, tree_source, nullptr);
        }
        count_restarts(self->state, tree, "");
        forget_places(self->state, tree);
        answered(self, number, tree_source, [self](gateway::metric_list& list) {
          list.counters("ovir_restarts_total", "Actors that were restarted, by what they are",
                        "actor", self->state.restarts);
        });
      });
}

void add_own(metrics_pointer self) {
  const metrics_environment& around = self->state.environment;
  gateway::metric_list list{self->state.making->families};
  add_links(list, around.links->count(), *around.traffic);
  if (const auto strangers = around.links->strangers()) {
    add_strangers(list, *strangers);
  }
  add_pools(list, around.pools());
  const node_counts counts = around.meter->read();
  add_audits(list, counts.audits);
  if (around.drives) {
    add_requests(list, counts);
  }
  if (around.computes) {
    add_statements(list, counts);
  }
}

void measure(metrics_pointer self, measure_node& asked) {
  metrics_state& state = self->state;
  if (state.making) {
    if (state.making->askers.size() >= limits::metrics_askers_max) {
      return asked.answer({});
    }
    state.making->askers.push_back(std::move(asked.answer));
    return;
  }
  state.making = metrics_state::page{};
  state.making->number = ++state.pages;
  state.making->askers.push_back(std::move(asked.answer));
  add_own(self);
  const std::vector<std::string> sources = state.environment.sources;
  state.making->open = {sources.begin(), sources.end()};
  state.making->open.insert(tree_source);
  self->delayed_send(self, limits::metrics_wait, measure_over{state.pages});
  for (const std::string& source : sources) {
    ask_source(self, source);
  }
  ask_tree(self); // last: the page cannot be over before
}

void give_up(metrics_pointer self, const measure_over& e) {
  metrics_state& state = self->state;
  if (!state.making || state.making->number != e.number) {
    return;
  }
  for (const std::string& source : std::exchange(state.making->open, {})) {
    ++state.unanswered[source];
  }
  finish(self);
}

/// A question is answered once, also when whoever was asked crashes and forgets it.
struct question {
  std::function<void(gateway::metric_families)> give;

  explicit question(std::function<void(gateway::metric_families)> how) : give(std::move(how)) {}
  question(const question&) = delete;
  question& operator=(const question&) = delete;
  ~question() {
    if (give) {
      give({});
    }
  }
};

} // namespace

std::string kind_of_actor(std::string_view name) {
  return std::string{name.substr(0, name.find('-'))};
}

void metrics_desk::use(caf::actor metrics) {
  const std::lock_guard lock{guard_};
  metrics_ = std::move(metrics);
}

void metrics_desk::measure(poster post, answer done) {
  caf::actor metrics;
  {
    const std::lock_guard lock{guard_};
    metrics = metrics_;
  }
  const auto asked = std::make_shared<question>(
      [post = std::move(post), done = std::move(done)](gateway::metric_families families) {
        post([done, families = std::move(families)]() mutable { done(std::move(families)); });
      });
  if (metrics) {
    caf::anon_send(metrics, measure_node{[asked](gateway::metric_families families) {
                     std::exchange(asked->give, nullptr)(std::move(families));
                   }});
  }
}

caf::behavior metrics_behavior(metrics_pointer self, metrics_environment environment) {
  make_quiet(self);
  self->state.environment = std::move(environment);
  return {
      [self](measure_node& asked) { measure(self, asked); },
      [self](const measure_over& e) { give_up(self, e); },
  };
}

} // namespace ovir::actors
