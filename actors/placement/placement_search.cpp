#include "actors/placement/placement_search.hpp"

#include "actors/placement/placement_spares.hpp"
#include "messages/limits/placement.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

/// What another node on a path costs a token, beside its computing: as two machines of one house.
constexpr double hop_seconds = 0.002;
/// What a byte that is not on the node's disk costs each of the first tokens: at 100 MB a second,
/// shared by 256 of them.
constexpr double fetch_seconds = 4e-11;

/// The stretches of a range that are not marked.
std::vector<layer_range> unmarked(const layer_marks& marks, layer_range range) {
  layer_marks open(marks.size());
  for (std::uint32_t i = range.first; i < range.last; ++i) {
    open[i] = !marks[i];
  }
  return ranges_of(open);
}

bool touches(const layer_marks& marks, layer_range range) {
  return (range.first > 0 && marks[range.first - 1]) ||
         (range.last < marks.size() && marks[range.last]);
}

/// The longest, the first of equals.
std::optional<layer_range> longest(const std::vector<layer_range>& runs) {
  const auto found =
      std::max_element(runs.begin(), runs.end(), [](const layer_range& a, const layer_range& b) {
        return a.size() < b.size();
      });
  return found == runs.end() ? std::nullopt : std::optional{*found};
}

} // namespace

placement_search::placement_search(const std::vector<placeable_model>& models,
                                   const std::vector<const placement_node*>& nodes)
    : models_(models), nodes_(nodes), state_(models, nodes, true), needed_(models.size()) {
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    reasons_.emplace_back();
    disks_.emplace_back();
    for (const placeable_model& model : models) {
      disks_.back().push_back(on_disk(*nodes[n], model));
      reasons_.back().emplace_back(model.shape.layer_weights.size());
    }
  }
}

void placement_search::run() {
  drop_unwanted();
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    if (nodes_[n]->takes_orders) {
      make_fit(n);
    }
  }
  std::uint32_t most = 0;
  for (std::size_t m = 0; m < models_.size(); ++m) {
    needed_[m] = models_[m].wanted ? 1 : 0; // of the first copies none goes for another model's
    most = std::max(most, models_[m].wanted ? models_[m].copies : 0);
  }
  most = std::min(most, limits::placement_copies_max);
  for (std::uint32_t copies = 1; copies <= most; ++copies) {
    for (std::size_t m = 0; m < models_.size(); ++m) {
      if (!models_[m].wanted || copies > models_[m].copies) {
        continue;
      }
      needed_[m] = copies;
      if (copies == 1) {
        fill_first(m);
        make_path(m);
      } else {
        fill(m, copies, false);
      }
    }
  }
  for (std::size_t m = 0; m < models_.size(); ++m) {
    if (models_[m].wanted) {
      make_path(m);
    }
  }
}

void placement_search::drop_unwanted() {
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    for (std::size_t m = 0; m < models_.size(); ++m) {
      if (!models_[m].wanted && nodes_[n]->takes_orders) {
        state_.set(n, m, layer_marks(models_[m].shape.layer_weights.size()));
      }
    }
  }
}

void placement_search::make_fit(std::size_t node) {
  while (state_.used(node) > nodes_[node]->memory) {
    std::optional<std::pair<std::size_t, std::uint32_t>> most; // an end of a range, and its copies
    for (std::size_t m = 0; m < models_.size(); ++m) {
      for (const layer_range& range : ranges_of(state_.marks(node, m))) {
        for (const std::uint32_t layer : {range.last - 1, range.first}) {
          if (!most || state_.copies(m, layer) > state_.copies(most->first, most->second)) {
            most = {m, layer};
          }
        }
      }
    }
    if (!most) {
      return;
    }
    layer_marks marks = state_.marks(node, most->first);
    marks[most->second] = false;
    state_.set(node, most->first, std::move(marks));
  }
}

/// A model that cannot be held whole takes no room from others: it waits, with what fits, for more
/// nodes.
void placement_search::fill_first(std::size_t model) {
  const placement_state before = state_;
  if (fill(model, 1, false)) {
    return;
  }
  state_ = before;
  if (!lay_out(model)) {
    fill(model, 1, true);
  }
}

std::uint32_t placement_search::longest_from(std::size_t node, std::size_t model,
                                             std::uint32_t first, std::uint32_t last_max) const {
  std::uint32_t last = last_max;
  for (; last > first; --last) {
    layer_marks marks(state_.copies(model).size());
    std::fill(marks.begin() + first, marks.begin() + last, true);
    if (state_.used_with(node, model, marks) <= nodes_[node]->memory) {
      break;
    }
  }
  return last;
}

std::uint32_t placement_search::longest_to(std::size_t node, std::size_t model,
                                           std::uint32_t last) const {
  std::uint32_t first = 0;
  for (; first < last; ++first) {
    layer_marks marks(state_.copies(model).size());
    std::fill(marks.begin() + first, marks.begin() + last, true);
    if (state_.used_with(node, model, marks) <= nodes_[node]->memory) {
      break;
    }
  }
  return first;
}

std::optional<placement_search::layout>
placement_search::laid_out(std::size_t model, std::size_t first, std::size_t last,
                           const std::vector<std::size_t>& order) const {
  const auto layers = static_cast<std::uint32_t>(state_.copies(model).size());
  const std::uint32_t end = longest_to(last, model, layers);
  layout made;
  std::uint32_t at = longest_from(first, model, 0, end);
  made.stages.push_back({first, {0, at}});
  for (const std::size_t node : order) {
    if (at < end && node != first && node != last) {
      const std::uint32_t next = longest_from(node, model, at, end);
      made.stages.push_back({node, {at, next}});
      at = next;
    }
  }
  if (at < end) {
    return std::nullopt;
  }
  made.stages.push_back({last, {end, layers}});
  for (const auto& [node, range] : made.stages) {
    for (const layer_range& more : unmarked(disks_[node][model], range)) {
      for (std::uint32_t i = more.first; i < more.last; ++i) {
        made.moved += models_[model].shape.layer_weights[i];
      }
    }
  }
  return made;
}

/// Where the ends hold so much beside their layers that adding to what is held finds no room.
bool placement_search::lay_out(std::size_t model) {
  std::vector<std::size_t> largest;
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    if (nodes_[n]->takes_orders) {
      largest.push_back(n);
    }
  }
  const auto room = [&](std::size_t n) {
    return nodes_[n]->memory -
           std::min(nodes_[n]->memory,
                    state_.used_with(n, model, layer_marks(state_.copies(model).size())));
  };
  std::stable_sort(largest.begin(), largest.end(),
                   [&](std::size_t a, std::size_t b) { return room(a) > room(b); });
  largest.resize(std::min(largest.size(), limits::placement_layout_nodes_max));
  std::vector<std::size_t> in_place = largest;
  const auto begin = [&](std::size_t n) {
    const layer_marks& marks = state_.marks(n, model);
    return std::find(marks.begin(), marks.end(), true) - marks.begin();
  };
  std::stable_sort(in_place.begin(), in_place.end(),
                   [&](std::size_t a, std::size_t b) { return begin(a) < begin(b); });
  std::optional<layout> best;
  for (const std::size_t first : largest) {
    for (const std::size_t last : largest) {
      for (const auto& order : {in_place, largest}) {
        auto made = first == last ? std::nullopt : laid_out(model, first, last, order);
        if (made && (!best || made->moved < best->moved)) {
          best = std::move(made);
        }
      }
    }
  }
  if (!best) {
    return false;
  }
  for (const auto& [node, range] : best->stages) {
    layer_marks marks(state_.copies(model).size());
    std::fill(marks.begin() + range.first, marks.begin() + range.last, true);
    for (std::uint32_t i = range.first; i < range.last; ++i) {
      reasons_[node][model][i] = placement_reason::nobody_holds;
    }
    state_.set(node, model, std::move(marks));
  }
  return true;
}

bool placement_search::fill(std::size_t model, std::uint32_t copies, bool only_room) {
  const placement_reason reason = copies == 1   ? placement_reason::nobody_holds
                                  : copies == 2 ? placement_reason::one_holds
                                                : placement_reason::demand;
  layer_marks open(state_.copies(model).size(), true);
  bool all = true;
  for (;;) {
    layer_marks lacking = open;
    for (std::size_t i = 0; i < lacking.size(); ++i) {
      lacking[i] = lacking[i] && state_.copies(model, i) < copies;
    }
    const auto run = longest(ranges_of(lacking));
    if (!run) {
      return all;
    }
    if (!give(model, *run, reason, only_room)) {
      // The ends are the largest, with the embedding and the head: what is between may fit.
      open[run->first] = false;
      open[run->last - 1] = false;
      all = false;
    }
  }
}

/// Every layer may be held and still no path lead over them, because a path goes over a node once.
/// Then a stretch of a node that would have to be there twice goes to another one as well.
void placement_search::make_path(std::size_t model) {
  const auto layers = static_cast<std::uint32_t>(state_.copies(model).size());
  for (std::uint32_t tried = 0; tried < layers; ++tried) {
    const placement_state::reach reached = state_.reached(model);
    if (reached.layer == layers) {
      return;
    }
    std::uint32_t end = reached.layer;
    for (const std::size_t node : reached.over) {
      for (const layer_range& range : ranges_of(state_.marks(node, model))) {
        if (range.first <= reached.layer && reached.layer < range.last) {
          end = std::max(end, range.last);
        }
      }
    }
    if (end == reached.layer ||
        !give(model, {reached.layer, end}, placement_reason::no_path, false)) {
      return; // no node holds it, or none has room
    }
  }
}

bool placement_search::give(std::size_t model, layer_range run, placement_reason reason,
                            bool only_room) {
  if (const auto room = best_offer(model, run, may::take_room)) {
    take(model, *room, reason);
    return true;
  }
  if (only_room) {
    return false;
  }
  if (const auto dropping = best_offer(model, run, may::drop)) {
    take(model, *dropping, reason);
    return true;
  }
  return exchange(model, run.first, reason);
}

void placement_search::take(std::size_t model, const offer& chosen, placement_reason reason) {
  for (std::uint32_t i = chosen.layers.first; i < chosen.layers.last; ++i) {
    reasons_[chosen.node][model][i] = reason;
  }
  for (const auto& [m, marks] : chosen.what) {
    state_.set(chosen.node, m, marks);
  }
}

std::optional<placement_search::offer>
placement_search::best_offer(std::size_t model, layer_range run, may allowed) const {
  std::optional<offer> best;
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    if (!nodes_[n]->takes_orders) {
      continue;
    }
    for (const layer_range& part : unmarked(state_.marks(n, model), run)) {
      offer_part(n, model, part, allowed, best);
    }
  }
  return best;
}

void placement_search::offer_part(std::size_t node, std::size_t model, layer_range part,
                                  may allowed, std::optional<offer>& best) const {
  // More layers take more room: the most that fit are found by halving, from either end.
  for (const bool from_first : {true, false}) {
    std::optional<offer> most;
    std::uint32_t fits = 0;
    std::uint32_t fails = part.size() + 1;
    for (std::uint32_t count = part.size(); fits + 1 < fails; count = (fits + fails) / 2) {
      const layer_range more = from_first ? layer_range{part.first, part.first + count}
                                          : layer_range{part.last - count, part.last};
      if (auto what = fitted(node, model, more, allowed)) {
        most = offer{node, more, std::move(*what), 0};
        fits = count;
      } else {
        fails = count;
      }
    }
    if (!most) {
      continue;
    }
    std::uint64_t bytes = 0;
    std::uint64_t fetched = 0;
    for (std::uint32_t i = most->layers.first; i < most->layers.last; ++i) {
      bytes += models_[model].shape.layer_weights[i];
      fetched += disks_[node][model][i] ? 0 : models_[model].shape.layer_weights[i];
    }
    const bool extends = touches(state_.marks(node, model), most->layers);
    most->seconds = (static_cast<double>(bytes) / nodes_[node]->speed +
                     (extends ? 0 : hop_seconds) + static_cast<double>(fetched) * fetch_seconds) /
                    most->layers.size();
    if (!best || most->seconds < best->seconds) {
      best = std::move(most);
    }
    if (fits == part.size()) {
      return; // all of it, from either end
    }
  }
}

std::optional<placement_search::changes>
placement_search::fitted(std::size_t node, std::size_t model, layer_range more, may allowed) const {
  std::vector<layer_marks> marks;
  for (std::size_t m = 0; m < models_.size(); ++m) {
    marks.push_back(state_.marks(node, m));
  }
  std::fill(marks[model].begin() + more.first, marks[model].begin() + more.last, true);
  const auto fits = [&] {
    std::uint64_t bytes = 0;
    for (std::size_t m = 0; m < models_.size(); ++m) {
      bytes += bytes_of(models_[m], marks[m]);
    }
    return bytes <= nodes_[node]->memory &&
           ranges_of(marks[model]).size() <= limits::placement_ranges_max;
  };
  while (!fits()) {
    if (allowed != may::drop || !drop_one(model, more, marks)) {
      return std::nullopt;
    }
  }
  changes what;
  for (std::size_t m = 0; m < models_.size(); ++m) {
    if (marks[m] != state_.marks(node, m)) {
      what.emplace_back(m, std::move(marks[m]));
    }
  }
  return what;
}

/// Of the ends of ranges one that has more copies than are needed: the one with the most, of equals
/// the one of the shortest range, then the last one.
bool placement_search::drop_one(std::size_t model, layer_range more,
                                std::vector<layer_marks>& marks) const {
  struct end {
    std::size_t model;
    std::uint32_t layer;
    std::uint32_t spare;
    std::uint32_t range;
  };
  std::optional<end> best;
  for (std::size_t m = 0; m < models_.size(); ++m) {
    for (const layer_range& range : ranges_of(marks[m])) {
      for (const std::uint32_t layer : {range.first, range.last - 1}) {
        const bool new_one = m == model && more.first <= layer && layer < more.last;
        if (new_one || state_.copies(m, layer) <= needed_[m]) {
          continue;
        }
        const end here{m, layer, state_.copies(m, layer) - needed_[m], range.size()};
        if (!best || here.spare > best->spare ||
            (here.spare == best->spare && here.range <= best->range)) {
          best = here;
        }
      }
    }
  }
  if (best) {
    marks[best->model][best->layer] = false;
  }
  return best.has_value();
}

/// A node that lacks the layer passes one of its own to another, which has room but holds the layer
/// already, and takes it.
bool placement_search::exchange(std::size_t model, std::uint32_t layer, placement_reason reason) {
  for (std::size_t to = 0; to < nodes_.size(); ++to) {
    if (!nodes_[to]->takes_orders || !state_.marks(to, model)[layer]) {
      continue;
    }
    for (std::size_t from = 0; from < nodes_.size(); ++from) {
      if (nodes_[from]->takes_orders && !state_.marks(from, model)[layer] &&
          exchange_over(model, layer, from, to, reason)) {
        return true;
      }
    }
  }
  return false;
}

bool placement_search::exchange_over(std::size_t model, std::uint32_t layer, std::size_t from,
                                     std::size_t to, placement_reason reason) {
  for (const layer_range& range : ranges_of(state_.marks(from, model))) {
    for (const std::uint32_t passed : {range.first, range.last - 1}) {
      const auto taken = state_.marks(to, model)[passed]
                             ? std::nullopt
                             : fitted(to, model, {passed, passed + 1}, may::take_room);
      if (!taken) {
        continue;
      }
      layer_marks rest = state_.marks(from, model);
      rest[passed] = false;
      rest[layer] = true;
      if (state_.used_with(from, model, rest) > nodes_[from]->memory ||
          ranges_of(rest).size() > limits::placement_ranges_max) {
        continue;
      }
      take(model, {to, {passed, passed + 1}, *taken, 0}, placement_reason::room);
      reasons_[from][model][layer] = reason;
      state_.set(from, model, std::move(rest));
      return true;
    }
  }
  return false;
}

} // namespace ovir::actors
