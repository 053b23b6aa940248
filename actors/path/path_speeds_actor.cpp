#include "actors/path/path_speeds_actor.hpp"

#include "actors/path/path_choice.hpp"

#include <algorithm>

namespace ovir::actors {

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

void learn_speeds(pathfinder_state& state, const steps_seen& news, seen_speeds::time_point now) {
  const auto found = state.requests.find(news.request);
  const bool same = found != state.requests.end() && news.took.size() == news.path.size() &&
                    std::equal(news.path.begin(), news.path.end(), found->second.path.begin(),
                               found->second.path.end(), [](const auto& seen, const auto& p) {
                                 return seen.first == p.node && seen.second == p.layers;
                               });
  const auto model = same ? state.environment.models->find(found->second.model) : nullptr;
  if (!model) {
    return;
  }
  const member* const self = state.holders.find(state.environment.self);
  std::vector<const member*> who;
  std::vector<double> to_lead;
  std::vector<double> between;
  for (const auto& [node, layers] : news.path) {
    const member* const m = state.holders.find(node);
    if (m == nullptr) {
      return;
    }
    if (!who.empty()) {
      between.push_back(rtt_between(*who.back(), *m));
    }
    who.push_back(m);
    to_lead.push_back(m == self ? 0 : rtt_of(*m));
  }
  const model_shape shape = shape_of(model->weights, model->prefill_chunk);
  const auto seconds = without_ways(news.took, to_lead, between);
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    if (!seconds[i]) {
      continue;
    }
    const layer_range layers = news.path[i].second;
    const auto others = std::max(requests_on(state, who[i]->node, nullptr), 1U) - 1;
    const double sharing = slowed_by(others);
    const double weights = static_cast<double>(decode_bytes(shape, layers));
    const double word = decode_word(who[i]->advert);
    const double planned = state.speeds.believed(who[i]->node, word, now).value_or(word);
    state.reputation.note_step(who[i]->node, *seconds[i], weights / planned * sharing, now);
    state.speeds.add(who[i]->node, weights / *seconds[i] * sharing, word, now);
  }
}

} // namespace ovir::actors
