#include "actors/path/path_search.hpp"

#include "actors/path/path_bounds.hpp"
#include "messages/check.hpp"
#include "messages/limits/paths.hpp"

#include <algorithm>
#include <queue>
#include <utility>

namespace ovir::actors {

double path_problem::stage_seconds(std::uint32_t on, layer_range range) const {
  const std::uint64_t bytes =
      read_before[range.last] - read_before[range.first] + (range.last == layers ? head_read : 0);
  return static_cast<double>(bytes) * nodes[on].seconds_per_byte;
}

std::uint64_t path_problem::footprint::of(layer_range range) const {
  const std::uint64_t own = before[range.last] - before[range.first];
  const bool is_first = range.first == 0;
  const bool is_last = range.last + 1U == before.size();
  if (is_first && is_last) {
    return own + whole;
  }
  return own + (is_first ? first : is_last ? last : inner);
}

bool path_problem::fits(std::uint32_t on, layer_range range) const {
  const node& n = nodes[on];
  return range.first >= n.holds.first && range.last <= n.holds.last &&
         (n.loaded ? beside : held).of(range) <= n.memory;
}

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();
/// Sums of doubles in another order differ in their last digits; such paths are equals.
constexpr double rounding = 1e-12;
/// By how much a bound is first raised where no path is known yet, as a share of it.
constexpr double rise_unknown = 0.05;
/// Steps that raise it no more, after which they become shorter.
constexpr std::uint32_t steps_in_vain = 5;
constexpr std::size_t beam_narrow = 8;
constexpr std::size_t beam_wide = 64;
constexpr std::uint32_t nobody = path_bounds::nobody;

/// The beginning of a path: `layer` is the first layer not yet placed.
struct partial {
  double estimate; ///< seconds no completion undercuts
  double cost;     ///< seconds so far, hops in reduced form
  node_set used;   ///< its nodes, and those of which no layer is left
  std::uint32_t layer;
  std::uint32_t last;
  std::uint32_t parent; ///< index among the partial paths made
};

/// Least cost per place where a partial path may be. Open addressing: most of the search's time
/// goes through here.
class cost_table {
public:
  cost_table() { clear(); }

  void clear() {
    slots_.assign(1U << 12U, {});
    used_ = 0;
  }
  /// The cost, infinite when the place is new. Valid until the next call. `last`: 0 where it does
  /// not matter which node is the last one. `layer` is not 0.
  double& at(const node_set& used, std::uint32_t layer, std::uint32_t last) {
    if (used_ * 2 > slots_.size()) {
      grow();
    }
    slot& found = find({used, layer, last});
    if (found.layer == 0) {
      found = {used, layer, last};
      ++used_;
    }
    return found.cost;
  }

private:
  struct slot {
    node_set used{};
    std::uint32_t layer{0};
    std::uint32_t last{0};
    double cost{infinite};
  };

  slot& find(const slot& key) {
    const std::uint64_t place = std::uint64_t{key.layer} << 32U | key.last;
    std::uint64_t at = (key.used.hash() ^ place) * 0x9e3779b97f4a7c15U >> 20U;
    while (true) {
      slot& here = slots_[at & (slots_.size() - 1)];
      if (here.layer == 0 ||
          (here.layer == key.layer && here.last == key.last && here.used == key.used)) {
        return here;
      }
      ++at;
    }
  }
  void grow() {
    std::vector<slot> old(slots_.size() * 4);
    old.swap(slots_);
    for (const slot& s : old) {
      if (s.layer != 0) {
        find(s) = s;
      }
    }
  }

  std::vector<slot> slots_;
  std::size_t used_{0};
};

class searcher {
public:
  searcher(const path_problem& p, const path_question& q)
      : p_(p), q_(q), n_(static_cast<std::uint32_t>(p.nodes.size())), bounds_(p, q.busy_max),
        prices_(p, bounds_),
        last_matters_(std::any_of(bounds_.hops().odd.begin(), bounds_.hops().odd.end(),
                                  [](const auto& some) { return !some.empty(); })),
        below_(q.below) {
    find_spent();
    find_twins();
  }

  path_answer answer();

private:
  void find_spent();
  void find_twins();
  [[nodiscard]] bool twins(std::uint32_t a, std::uint32_t b) const;
  [[nodiscard]] double bytes_after(std::uint32_t layer) const {
    return static_cast<double>(p_.read_before[p_.layers] - p_.read_before[layer]);
  }
  [[nodiscard]] node_filling filling(const node_set& used) const {
    return {p_, bounds_.hops(), prices_, used};
  }
  void tighten();
  [[nodiscard]] double least_of_all() const;
  void follow(std::uint32_t index);
  void found(double seconds, std::uint32_t index, std::vector<searched_stage> rest);
  void expand(std::uint32_t index, std::vector<std::uint32_t>& made);
  void extend(std::uint32_t index, std::uint32_t node, double reached,
              std::vector<std::uint32_t>& made);
  void consider(const partial& candidate, std::vector<std::uint32_t>& made);
  [[nodiscard]] double& best_at(const partial& p) {
    return best_.at(p.used, p.layer, last_matters_ ? p.last + 1 : 0);
  }
  void beam(bool by_room, std::size_t width);
  [[nodiscard]] std::vector<std::uint32_t> most_promising(const std::vector<std::uint32_t>& made,
                                                          bool by_room, std::size_t width) const;
  void best_first(std::uint64_t most);
  [[nodiscard]] bool spent(std::uint64_t most) const { return tried_ >= most; }
  [[nodiscard]] bool satisfied() const { return q_.any && !path_.empty(); }
  [[nodiscard]] bool proven() const { return satisfied() || bound_ >= below_; }
  [[nodiscard]] double limit() const { return below_ * (1 - rounding); }

  const path_problem& p_;
  const path_question& q_;
  std::uint32_t n_;
  path_bounds bounds_;
  node_filling::prices prices_;
  bool last_matters_;
  double below_;
  std::vector<node_set> spent_at_;    ///< [layer]: no stage there or later fits them
  std::vector<node_set> twin_before_; ///< equal nodes to be used first

  std::vector<partial> made_;
  cost_table best_;
  std::vector<searched_stage> path_; ///< the best one
  double bound_{0};
  std::uint64_t tried_{0}; ///< stages tried
};

// A node whose layers lie all before the next one is as good as used: what is left to the others is
// then known better, and more partial paths are seen to be equal.
void searcher::find_spent() {
  node_set all;
  for (std::uint32_t i = 0; i < n_; ++i) {
    all.add(i);
  }
  spent_at_.assign(p_.layers + 1, all);
  for (std::uint32_t layer = p_.layers; layer > 0;) {
    --layer;
    spent_at_[layer] = spent_at_[layer + 1];
    for (std::uint32_t i = 0; i < n_; ++i) {
      if (bounds_.reach(i, layer) > layer) {
        spent_at_[layer].remove(i);
      }
    }
  }
}

bool searcher::twins(std::uint32_t a, std::uint32_t b) const {
  const path_problem::node& x = p_.nodes[a];
  const path_problem::node& y = p_.nodes[b];
  bool same = x.memory == y.memory && x.holds == y.holds && x.loaded == y.loaded &&
              x.seconds_per_byte == y.seconds_per_byte && x.from_lead == y.from_lead &&
              x.to_lead == y.to_lead && x.to_lead_busy == y.to_lead_busy &&
              p_.hop[a][b] == p_.hop[b][a] && p_.busy[a][b] == p_.busy[b][a];
  for (std::uint32_t k = 0; same && k < n_; ++k) {
    same = k == a || k == b ||
           (p_.hop[a][k] == p_.hop[b][k] && p_.hop[k][a] == p_.hop[k][b] &&
            p_.busy[a][k] == p_.busy[b][k] && p_.busy[k][a] == p_.busy[k][b]);
  }
  return same;
}

// Of nodes equal in everything, the one with the lowest index goes first.
void searcher::find_twins() {
  twin_before_.assign(n_, {});
  for (std::uint32_t b = 0; b < n_; ++b) {
    for (std::uint32_t a = 0; a < b; ++a) {
      if (twins(a, b)) {
        twin_before_[b].add(a);
      }
    }
  }
}

double searcher::least_of_all() const {
  return bounds_.hops().lead_pays +
         std::max(filling({}).least(bytes_after(0)), bounds_.after_lead());
}

// Subgradient steps (Polyak): surcharges grow on nodes that would have several stages, and shrink
// on those that would have none. Each way that is tried also gives a path around the repetitions.
void searcher::tighten() {
  std::vector<double> best = bounds_.surcharges();
  double stride = 1;
  std::uint32_t in_vain = 0;
  std::uint64_t work = 0;
  for (std::uint32_t round = 0;
       round < limits::path_bound_rounds_max && work < limits::path_bound_steps_max && !satisfied();
       ++round) {
    const double bound = least_of_all();
    if (bound > bound_ || round == 0) {
      bound_ = bound;
      best = bounds_.surcharges();
      in_vain = 0;
    } else if (++in_vain % steps_in_vain == 0) {
      stride /= 2;
    }
    if (bound >= limit()) {
      break;
    }
    follow(0);
    std::vector<double> next = bounds_.surcharges();
    const std::vector<std::uint32_t> uses = bounds_.uses();
    double square = 0;
    for (std::uint32_t i = 0; i < n_; ++i) {
      const double slope = uses[i] - 1.0;
      square += slope > 0 || next[i] > 0 ? slope * slope : 0;
    }
    if (square == 0) {
      break;
    }
    const double rise = below_ < infinite ? below_ - bound : bound * rise_unknown;
    for (std::uint32_t i = 0; i < n_; ++i) {
      next[i] = std::max(0.0, next[i] + stride * rise / square * (uses[i] - 1.0));
    }
    bounds_.charge(std::move(next));
    work += bounds_.work();
  }
  bounds_.charge(std::move(best));
  made_[0].estimate = bound_;
}

void searcher::found(double seconds, std::uint32_t index, std::vector<searched_stage> rest) {
  below_ = seconds;
  path_ = std::move(rest);
  std::uint32_t end = path_.front().layers.first;
  for (std::uint32_t at = index; made_[at].parent != nobody; at = made_[at].parent) {
    const std::uint32_t first = made_[made_[at].parent].layer;
    path_.insert(path_.begin(), {made_[at].last, {first, end}});
    end = first;
  }
}

// Completes a partial path by what is best when nodes may repeat, around those it has used. Where
// none would repeat, no completion is better.
void searcher::follow(std::uint32_t index) {
  const partial& from = made_[index];
  node_set used = from.used;
  double cost = from.cost;
  std::uint32_t last = from.last;
  std::vector<searched_stage> rest;
  for (std::uint32_t layer = from.layer; layer < p_.layers; layer = rest.back().layers.last) {
    const path_bounds::step next = bounds_.next(used, layer, last);
    if (next.seconds == infinite) {
      return;
    }
    const reduced_hops& hops = bounds_.hops();
    cost += (last == nobody ? hops.from_lead[next.node] : hops.left[last][next.node]) +
            hops.pays[next.node] + p_.stage_seconds(next.node, {layer, next.end});
    rest.push_back({next.node, {layer, next.end}});
    used.add(next.node);
    last = next.node;
  }
  cost += bounds_.hops().to_lead[last];
  if (cost < limit()) {
    found(cost, index, std::move(rest));
  }
}

void searcher::consider(const partial& candidate, std::vector<std::uint32_t>& made) {
  double& best = best_at(candidate);
  if (candidate.cost >= best * (1 - rounding)) {
    return;
  }
  best = candidate.cost;
  made.push_back(static_cast<std::uint32_t>(made_.size()));
  made_.push_back(candidate);
}

void searcher::extend(std::uint32_t index, std::uint32_t node, double reached,
                      std::vector<std::uint32_t>& made) {
  const partial from = made_[index];
  const layer_range all{from.layer, p_.layers};
  if (bounds_.reach(node, from.layer) == p_.layers) {
    const double total = reached + p_.stage_seconds(node, all) + bounds_.hops().to_lead[node];
    if (total < limit()) {
      found(total, index, {{node, all}});
    }
  }
  const node_set used = from.used.with(node);
  node_filling others = filling(used);
  for (std::uint32_t end = bounds_.inner_reach(node, from.layer); end > from.layer; --end) {
    ++tried_;
    const double filled = others.least(bytes_after(end));
    if (filled == infinite) {
      break; // fewer layers here leave even more to the same others
    }
    const double cost = reached + p_.stage_seconds(node, {from.layer, end});
    const node_set done = used | spent_at_[end];
    const double estimate = cost + std::max(filled, bounds_.after(end, node, done));
    if (estimate < limit()) {
      consider({estimate, cost, done, end, node, index}, made);
    }
  }
}

void searcher::expand(std::uint32_t index, std::vector<std::uint32_t>& made) {
  follow(index);
  const reduced_hops& hops = bounds_.hops();
  const partial from = made_[index];
  for (std::uint32_t node = 0; node < n_ && !satisfied(); ++node) {
    const double hop = from.last == nobody ? hops.from_lead[node] : hops.left[from.last][node];
    if (hop < infinite && !from.used.has(node) && from.used.holds_all(twin_before_[node])) {
      extend(index, node, from.cost + hop + hops.pays[node], made);
    }
  }
}

std::vector<std::uint32_t> searcher::most_promising(const std::vector<std::uint32_t>& made,
                                                    bool by_room, std::size_t width) const {
  std::vector<std::pair<double, std::uint32_t>> ranked;
  for (const std::uint32_t index : made) {
    const partial& x = made_[index];
    ranked.emplace_back(by_room ? -filling(x.used).room() + bytes_after(x.layer) : x.estimate,
                        index);
  }
  const std::size_t kept = std::min(ranked.size(), width);
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(kept),
                    ranked.end());
  std::vector<std::uint32_t> front;
  for (std::size_t i = 0; i < kept; ++i) {
    front.push_back(ranked[i].second);
  }
  return front;
}

// Keeps the few most promising partial paths of each length: finds a good path quickly, and the
// better the path known, the less the exact search has to look at. Where memory is tight, the
// cheapest beginnings waste it and fit nowhere: then those that leave most of it are kept.
void searcher::beam(bool by_room, std::size_t width) {
  best_.clear();
  std::vector<std::uint32_t> front{0};
  for (std::uint32_t stage = 0; stage < n_ && !front.empty(); ++stage) {
    std::vector<std::uint32_t> made;
    for (const std::uint32_t index : front) {
      if (satisfied() || spent(q_.states_max)) {
        return;
      }
      expand(index, made);
    }
    front = most_promising(made, by_room, width);
  }
}

void searcher::best_first(std::uint64_t most) {
  best_.clear(); // the path found stays
  const auto later = [this](std::uint32_t a, std::uint32_t b) {
    const partial& x = made_[a];
    const partial& y = made_[b];
    return x.estimate != y.estimate ? x.estimate > y.estimate : x.layer < y.layer;
  };
  std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, decltype(later)> open{later};
  open.push(0);
  std::vector<std::uint32_t> made;
  while (!open.empty() && !satisfied()) {
    const std::uint32_t index = open.top();
    const partial& next = made_[index];
    bound_ = std::max(bound_, next.estimate);
    if (next.estimate >= limit() || spent(most)) {
      break;
    }
    open.pop();
    if (index != 0 && best_at(next) < next.cost) {
      continue; // a cheaper way to the same place was found since
    }
    made.clear();
    expand(index, made);
    for (const std::uint32_t m : made) {
      open.push(m);
    }
  }
  if (open.empty() || made_[open.top()].estimate >= limit()) {
    bound_ = below_;
  }
}

path_answer searcher::answer() {
  made_.push_back({0, bounds_.hops().lead_pays, {}, 0, nobody, nobody});
  tighten();
  // A narrow beam is enough for most problems; the hard ones are worth a better start.
  for (const bool hard : {false, true}) {
    if (proven() || bound_ >= limit()) {
      break;
    }
    const std::size_t width = hard ? beam_wide : beam_narrow;
    beam(false, width);
    if (path_.empty()) {
      beam(true, width);
    }
    if (!satisfied()) {
      best_first(hard ? q_.states_max : tried_ + q_.states_max / 4);
    }
  }
  path_answer answer;
  answer.states = tried_;
  answer.bound = bound_ >= limit() ? below_ : bound_;
  answer.complete = satisfied() || bound_ >= limit();
  if (!path_.empty()) {
    answer.seconds = below_;
    answer.path = path_;
  }
  return answer;
}

} // namespace

path_answer search_path(const path_problem& problem, const path_question& question) {
  OVIR_CHECK(!problem.nodes.empty() && problem.nodes.size() <= limits::path_nodes_max,
             problem.nodes.size());
  OVIR_CHECK(problem.layers > 0 && problem.read_before.size() == problem.layers + 1U &&
                 problem.held.before.size() == problem.layers + 1U &&
                 problem.beside.before.size() == problem.layers + 1U,
             problem.layers);
  return searcher{problem, question}.answer();
}

} // namespace ovir::actors
