#include "actors/path/path_speeds_actor.hpp"

#include "actors/path/path_choice.hpp"
#include "actors/path/path_plans_actor.hpp"
#include "messages/limits/paths.hpp"

#include <algorithm>
#include <chrono>

namespace ovir::actors {

namespace {

using place = pathfinder_state::place;
using watched = pathfinder_state::watched;

/// Requests that have a path, but for one.
std::size_t leads_of(const pathfinder_state& state, const watched* apart_from) {
  return static_cast<std::size_t>(
      std::count_if(state.requests.begin(), state.requests.end(), [&](const auto& entry) {
        return &entry.second != apart_from && !entry.second.path.empty();
      }));
}

} // namespace

std::uint32_t requests_on(const pathfinder_state& state, const node_id& node,
                          const pathfinder_state::watched* apart_from) {
  std::uint32_t count = 0;
  for (const auto& [id, request] : state.requests) {
    const bool there =
        &request != apart_from &&
        std::any_of(request.path.begin(), request.path.end(),
                    [&](const pathfinder_state::place& p) { return p.node == node; });
    count += there ? 1U : 0U;
  }
  return count;
}

double lead_seconds(const pathfinder_state& state, const digest& model,
                    const pathfinder_state::watched* apart_from) {
  const auto found = state.lead_seconds.find(model);
  return found == state.lead_seconds.end()
             ? 0
             : found->second.value().value_or(0) * slowed_by(leads_of(state, apart_from));
}

void renew_forecasts(const pathfinder_state& state, const std::vector<place>& at,
                     const watched* apart_from, seen_speeds::time_point now) {
  if (state.environment.forecasts == nullptr) {
    return;
  }
  std::size_t renewed = 0;
  for (const auto& [id, request] : state.requests) {
    const auto shared = [&](const place& p) {
      return std::any_of(at.begin(), at.end(), [&](const place& q) { return p.node == q.node; });
    };
    if (&request == apart_from || std::none_of(request.path.begin(), request.path.end(), shared)) {
      continue;
    }
    if (const auto model = state.environment.models->find(request.model)) {
      layer_places path;
      for (const place& p : request.path) {
        path.emplace_back(p.node, p.layers);
      }
      state.environment.forecasts->tell(id, forecast_of(state, *model, path, request, now));
    }
    if (++renewed == limits::forecasts_renewed_max) {
      return;
    }
  }
}

std::vector<double> ways_on(const pathfinder_state& state, const layer_places& path) {
  const member* const self = state.holders.find(state.environment.self);
  const member* before = nullptr;
  std::vector<double> to_lead;
  std::vector<double> between;
  for (const auto& [node, layers] : path) {
    const member* const m = state.holders.find(node);
    if (m == nullptr) {
      return {};
    }
    if (before != nullptr) {
      between.push_back(rtt_between(*before, *m));
    }
    before = m;
    to_lead.push_back(m == self ? 0 : rtt_of(*m));
  }
  return seconds_on_ways(to_lead, between);
}

// A link that became slower since the path was given makes its node late, too, because a request
// with a deadline waits for the link as well. The node's speed is learned without the links.
void learn_speeds(pathfinder_state& state, const steps_seen& news, seen_speeds::time_point now) {
  const auto found = state.requests.find(news.request);
  const bool same = found != state.requests.end() && news.took.size() == news.path.size() &&
                    std::equal(news.path.begin(), news.path.end(), found->second.path.begin(),
                               found->second.path.end(), [](const auto& seen, const auto& p) {
                                 return seen.first == p.node && seen.second == p.layers;
                               });
  const auto model = same ? state.environment.models->find(found->second.model) : nullptr;
  const std::vector<double> ways = model ? ways_on(state, news.path) : std::vector<double>{};
  if (ways.empty()) {
    return;
  }
  if (news.lead.count() > 0) {
    const double alone = std::chrono::duration<double>(news.lead).count() /
                         slowed_by(leads_of(state, &found->second));
    state.lead_seconds[found->second.model].add(alone);
  }
  const std::vector<double>& expected = found->second.on_ways;
  const model_shape shape = shape_of(model->weights, model->prefill_chunk);
  for (std::size_t i = 0; i < ways.size(); ++i) {
    const auto& [node, layers] = news.path[i];
    const double took = std::chrono::duration<double>(news.took[i]).count();
    const auto others = std::max(requests_on(state, node, nullptr), 1U) - 1;
    const double sharing = slowed_by(others);
    const double weights = static_cast<double>(decode_bytes(shape, layers));
    const double word = decode_word(state.holders.find(node)->advert);
    const double believed = state.speeds.believed(node, word, now).value_or(word);
    const double planned = weights * sharing / believed;
    if (expected.size() == ways.size()) {
      state.reputation.note_step(node, took, planned + expected[i], now);
    }
    // A bound alone raises what is believed: the steps that took longest would else count alone.
    const computed_time computed = without_ways(took, ways[i]);
    const double seen = weights / computed.seconds * sharing;
    if (computed.exact || seen > believed) {
      state.speeds.add(node, seen, word, now);
    }
  }
}

} // namespace ovir::actors
