#include "actors/path/path_choice.hpp"

#include "actors/path/path_candidates.hpp"
#include "actors/path/path_repair.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <utility>

namespace ovir::actors {

namespace {

/// Weight bytes per second of a machine that has not measured itself.
constexpr double unmeasured_decode = 8e9;
constexpr double unmeasured_prefill = 40e9;
/// Members say nothing of their bandwidth; this only ranks paths with much traffic below others.
constexpr double assumed_bandwidth = 125e6;

using candidates = std::vector<path_candidate>;

/// The round trip between two members where neither has told one. By the triangle inequality it
/// lies between the difference and the sum of their round trips to this node; the greater of the
/// two round trips is the middle of that.
double usual_rtt(const member& a, const member& b) { return std::max(rtt_of(a), rtt_of(b)); }

/// Requests share a machine; one that computes for others is slower for this one. What was seen of
/// it was seen beside the others' requests.
double share_of(const path_candidate& c) {
  const bool full = c.who->advert.sessions >= limits::sessions_max;
  return c.trust * c.by_word / c.price /
         slowed_by(c.seen && !full ? c.own_requests : c.who->advert.sessions);
}

/// What was seen of a node's decoding says as much of its prompts, but makes it no faster than its
/// word there.
double prefill_of(const path_candidate& c) {
  return share_of(c) * c.slower * prefill_word(c.who->advert);
}

layer_holder holder_of(const path_terms& wanted, const path_candidate& c, double layer_bytes) {
  const std::uint64_t kv = wanted.shape.kv_per_position * wanted.positions;
  const std::uint64_t room = stage_room(wanted.shape, c.memory, wanted.positions);
  const auto at_once = kv == 0 ? c.held.size() : std::min<std::uint64_t>(room / kv, c.held.size());
  const double way =
      c.who->node == wanted.self
          ? 0
          : rtt_of(*c.who) + 2 * static_cast<double>(wanted.shape.boundary) / assumed_bandwidth;
  return {c.who->node, c.held, static_cast<std::uint32_t>(at_once), layer_bytes / decode_speed(c),
          way};
}

/// Indices of those that a path over `runs` is searched among.
std::vector<std::size_t> few_of(const path_terms& wanted, const candidates& all,
                                const std::vector<layer_range>& runs) {
  double layer_bytes = 0;
  for (const std::uint64_t bytes : wanted.shape.layer_weights) {
    layer_bytes +=
        static_cast<double>(bytes) / static_cast<double>(wanted.shape.layer_weights.size());
  }
  std::vector<layer_holder> holders;
  holders.reserve(all.size());
  for (const path_candidate& c : all) {
    holders.push_back(holder_of(wanted, c, layer_bytes));
  }
  return chosen_holders(holders, runs, limits::path_nodes_few, limits::path_nodes_max);
}

candidates only(const candidates& all, const std::vector<std::size_t>& indices) {
  candidates some;
  for (const std::size_t i : indices) {
    some.push_back(all[i]);
  }
  return some;
}

layer_range whole(const path_terms& wanted) {
  return {0, static_cast<layer_index>(wanted.shape.layer_weights.size())};
}

// Both ends' word counts; that of one end only where the link is longer than what we measured of
// the two: nobody comes nearer to another by saying so.
std::vector<plan_link> known_links(const candidates& among) {
  std::map<node_id, std::vector<std::uint32_t>> places;
  for (std::uint32_t i = 0; i < among.size(); ++i) {
    places[among[i].who->node].push_back(i);
  }
  std::map<std::pair<node_id, node_id>, std::pair<double, int>> told;
  for (const auto& [node, at] : places) {
    const std::vector<measured_rtt>& rtts = among[at.front()].who->advert.rtts;
    for (std::size_t i = 0; i < std::min(rtts.size(), limits::plan_rtts_per_node_max); ++i) {
      if (rtts[i].node != node && places.contains(rtts[i].node)) {
        auto& [seconds, ends] = told[std::minmax(node, rtts[i].node)];
        seconds = std::max(seconds, rtts[i].microseconds * 1e-6);
        ++ends;
      }
    }
  }
  std::vector<plan_link> links;
  for (const auto& [ends, rtt] : told) {
    for (const std::uint32_t a : places.at(ends.first)) {
      for (const std::uint32_t b : places.at(ends.second)) {
        const double usual = usual_rtt(*among[a].who, *among[b].who);
        if (rtt.second > 1 || rtt.first > usual) {
          links.push_back({a, b, rtt.first, assumed_bandwidth / 2});
        }
      }
    }
  }
  return links;
}

/// Plans count ways over a middle. This node is half as far from it as the nearest other one is
/// from here: then nodes that are all equally far apart are so in the plan.
double way_to_middle(const path_terms& wanted, const candidates& all) {
  double least = 0;
  for (const path_candidate& c : all) {
    const double rtt = rtt_of(*c.who);
    if (c.who->node != wanted.self && rtt > 0 && (least == 0 || rtt < least)) {
      least = rtt;
    }
  }
  return least / 2;
}

/// `own`: `way_to_middle`.
plan_request plan_for(const path_terms& wanted, const candidates& among, double own) {
  plan_request asked;
  asked.shape = wanted.shape;
  asked.context = wanted.positions;
  asked.states_max = limits::path_states_max;
  asked.links = known_links(among);
  asked.lead_rtt_seconds = own;
  for (const path_candidate& c : among) {
    const node_advert& advert = c.who->advert;
    if (c.who->node == wanted.self) {
      asked.lead = static_cast<std::uint32_t>(asked.nodes.size());
    }
    plan_node node;
    node.name = advert.name + "/" + short_name(c.who->node);
    node.holds = c.held;
    node.loaded = true;
    node.memory = std::max<std::uint64_t>(c.memory, 1);
    node.decode_bytes_per_second = decode_speed(c);
    node.prefill_bytes_per_second = prefill_of(c);
    node.rtt_seconds = c.who->node == wanted.self ? own : std::max(rtt_of(*c.who) - own, 0.0);
    node.bandwidth_bytes_per_second = assumed_bandwidth;
    asked.nodes.push_back(std::move(node));
  }
  return asked;
}

result<chosen_path> plan_among(const path_terms& wanted, const candidates& all) {
  const std::string model = to_hex(wanted.model).substr(0, 8) + " (" + wanted.name + ")";
  if (all.empty()) {
    return fail(errc::segment_missing, "no node that is there holds layers of model {}", model);
  }
  candidates few = only(all, few_of(wanted, all, {whole(wanted)}));
  if (few.size() > limits::path_nodes_max) {
    return fail(errc::over_limit,
                "model {} is spread over so many nodes that a path needs more than {}; let nodes "
                "hold more layers each",
                model, limits::path_nodes_max);
  }
  OVIR_ASSIGN(plan planned, make_plan(plan_for(wanted, few, way_to_middle(wanted, all))));
  return chosen_path{std::move(planned), std::move(few)};
}

/// Of each layer: the model's rate, or the median of what its holders ask where that is more; of
/// two in the middle the lower one. Empty where none asks more than the rate.
std::vector<double> usual_prices(const candidates& all, std::uint32_t layers) {
  if (std::none_of(all.begin(), all.end(), [](const auto& c) { return c.price > 1; })) {
    return {};
  }
  std::vector<std::vector<double>> asked(layers);
  for (const path_candidate& c : all) {
    for (layer_index l = c.held.first; l < std::min(c.held.last, layers); ++l) {
      asked[l].push_back(c.price);
    }
  }
  std::vector<double> usual(layers, 1);
  for (layer_index l = 0; l < layers; ++l) {
    if (!asked[l].empty()) {
      const auto middle = asked[l].begin() + static_cast<std::ptrdiff_t>((asked[l].size() - 1) / 2);
      std::nth_element(asked[l].begin(), middle, asked[l].end());
      usual[l] = std::max(usual[l], *middle);
    }
  }
  return usual;
}

/// Each with its longest run of layers for which it asks no more than is usual; none without any.
candidates at_usual_price(const candidates& all, const std::vector<double>& usual) {
  candidates some;
  for (const path_candidate& c : all) {
    layer_range longest{};
    layer_range run{c.held.first, c.held.first};
    for (layer_index l = c.held.first; l < c.held.last; ++l) {
      const bool dear = c.price > (l < usual.size() ? usual[l] : 1);
      run = dear ? layer_range{l + 1, l + 1} : layer_range{run.first, l + 1};
      longest = run.size() > longest.size() ? run : longest;
    }
    if (longest.size() > 0) {
      some.push_back(c);
      some.back().held = longest;
    }
  }
  return some;
}

std::optional<layer_places> repaired(const path_terms& wanted, const candidates& among,
                                     const std::vector<path_place>& before) {
  std::vector<repair_node> able;
  for (const path_candidate& c : among) {
    able.push_back({true, c.held, stage_room(wanted.shape, c.memory, wanted.positions),
                    decode_speed(c), rtt_of(*c.who)});
  }
  able.push_back({}); // whoever takes no part any more
  std::vector<repair_layer> layers;
  for (const std::uint64_t weights : wanted.shape.layer_weights) {
    layers.push_back({wanted.shape.kv_per_position * wanted.positions, weights});
  }
  const auto mended = repair_path(before, able, layers);
  if (!mended) {
    return std::nullopt;
  }
  layer_places path;
  for (const path_place& p : *mended) {
    path.emplace_back(among[p.node].who->node, p.layers);
  }
  return path;
}

/// The candidate that can go on with a stage, as an index; absent where there is none.
std::optional<std::size_t> keeper_of(const candidates& all, const node_id& node,
                                     layer_range layers) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const path_candidate& c) {
    return c.who->node == node && c.held.first <= layers.first && layers.last <= c.held.last;
  });
  return found == all.end() ? std::nullopt
                            : std::optional{static_cast<std::size_t>(found - all.begin())};
}

} // namespace

double rtt_of(const member& m) { return m.rtt ? std::chrono::duration<double>(*m.rtt).count() : 0; }

double decode_word(const node_advert& advert) {
  return advert.decode_bytes_per_second > 0 ? static_cast<double>(advert.decode_bytes_per_second)
                                            : unmeasured_decode;
}

double prefill_word(const node_advert& advert) {
  return advert.prefill_bytes_per_second > 0 ? static_cast<double>(advert.prefill_bytes_per_second)
                                             : unmeasured_prefill;
}

double rtt_between(const member& a, const member& b) {
  double told = 0;
  int ends = 0;
  for (const auto& [from, to] : {std::pair{&a, &b}, std::pair{&b, &a}}) {
    const std::vector<measured_rtt>& rtts = from->advert.rtts;
    for (std::size_t i = 0; i < std::min(rtts.size(), limits::plan_rtts_per_node_max); ++i) {
      if (rtts[i].node == to->node) {
        told = std::max(told, rtts[i].microseconds * 1e-6);
        ++ends;
      }
    }
  }
  const double usual = usual_rtt(a, b);
  return ends > 1 || told > usual ? told : usual;
}

double slowed_by(std::size_t others) {
  constexpr double full = 1e6; // only where there is no other one
  return others >= limits::sessions_max ? full
                                        : 1 + limits::sharing_cost * static_cast<double>(others);
}

void add_seen(path_candidate& c, const seen_speeds& speeds, std::uint32_t own_requests,
              seen_speeds::time_point now) {
  const double word = decode_word(c.who->advert);
  c.seen = speeds.believed(c.who->node, word, now);
  c.own_requests = c.seen ? own_requests : 0;
  c.slower = c.seen ? speeds.slower(*c.seen, word) : 1;
  c.by_word = c.seen ? 1 : speeds.of_word();
}

double decode_speed(const path_candidate& c) {
  return share_of(c) * c.seen.value_or(decode_word(c.who->advert));
}

// The cover that is behind takes the node that reaches furthest. The other one has at most one node
// there, because each of its earlier ones ended before: of two holders of a layer, one is left.
std::vector<std::set<node_id>> two_covers(const std::vector<path_candidate>& candidates,
                                          std::uint32_t layers) {
  std::vector<std::set<node_id>> covers(2);
  std::array<layer_index, 2> reached{0, 0};
  while (std::min(reached[0], reached[1]) < layers) {
    const std::size_t behind = reached[1] < reached[0] ? 1 : 0;
    const path_candidate* furthest = nullptr;
    for (const path_candidate& c : candidates) {
      const node_id& node = c.who->node;
      if (c.held.first <= reached[behind] && reached[behind] < c.held.last &&
          !covers[1 - behind].contains(node) &&
          (furthest == nullptr || furthest->held.last < c.held.last)) {
        furthest = &c;
      }
    }
    if (furthest == nullptr) {
      return {};
    }
    reached[behind] = furthest->held.last;
    covers[behind].insert(furthest->who->node);
  }
  return covers;
}

std::vector<std::uint32_t> fault_levels(const std::vector<path_candidate>& candidates) {
  std::vector<std::uint32_t> levels;
  levels.reserve(candidates.size());
  for (const path_candidate& c : candidates) {
    levels.push_back(c.faults);
  }
  std::sort(levels.begin(), levels.end());
  levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
  return levels.empty() ? std::vector<std::uint32_t>{0} : levels;
}

result<chosen_path> choose_path(const path_terms& wanted,
                                const std::vector<path_candidate>& candidates) {
  result<chosen_path> found{error{}};
  const std::vector<double> usual = usual_prices(candidates, whole(wanted).last);
  for (const std::uint32_t level : fault_levels(candidates)) {
    std::vector<path_candidate> some;
    std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(some),
                 [level](const path_candidate& c) { return c.faults <= level; });
    if (!usual.empty()) {
      found = plan_among(wanted, at_usual_price(some, usual));
    }
    if (!found) {
      found = plan_among(wanted, some);
    }
    if (found) {
      break;
    }
  }
  return found;
}

std::optional<layer_places> fewest_stages(const path_terms& wanted,
                                          const std::vector<path_candidate>& candidates) {
  if (candidates.size() <= limits::path_nodes_max) {
    return std::nullopt;
  }
  const std::vector<path_candidate> few =
      only(candidates, few_of(wanted, candidates, {whole(wanted)}));
  return repaired(wanted, few, {{static_cast<std::uint32_t>(few.size()), whole(wanted)}});
}

std::vector<layer_range> lost_layers(const std::vector<path_candidate>& candidates,
                                     const layer_places& before) {
  std::vector<layer_range> lost;
  for (const auto& [node, layers] : before) {
    if (keeper_of(candidates, node, layers)) {
      continue;
    }
    if (!lost.empty() && lost.back().last == layers.first) {
      lost.back().last = layers.last;
    } else {
      lost.push_back(layers);
    }
  }
  return lost;
}

std::optional<layer_places> mend_path(const path_terms& wanted,
                                      const std::vector<path_candidate>& candidates,
                                      const layer_places& before) {
  std::vector<std::optional<std::size_t>> keepers;
  for (const auto& [node, layers] : before) {
    keepers.push_back(keeper_of(candidates, node, layers));
  }
  std::vector<std::size_t> indices = few_of(wanted, candidates, lost_layers(candidates, before));
  for (const auto& keeper : keepers) {
    if (keeper) {
      indices.push_back(*keeper);
    }
  }
  std::sort(indices.begin(), indices.end());
  indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
  std::vector<path_place> places;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const auto at = keepers[i] ? std::lower_bound(indices.begin(), indices.end(), *keepers[i])
                               : indices.end(); // the one after all, which takes no part any more
    places.push_back({static_cast<std::uint32_t>(at - indices.begin()), before[i].second});
  }
  return repaired(wanted, only(candidates, indices), places);
}

} // namespace ovir::actors
