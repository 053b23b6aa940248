#include "actors/path/path_search.hpp"

#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <numeric>
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
constexpr std::size_t beam_narrow = 8;
constexpr std::size_t beam_wide = 64;
constexpr std::uint32_t nobody = std::numeric_limits<std::uint32_t>::max();

/// The beginning of a path: `mask` are its nodes, `layer` the first layer not yet placed.
struct partial {
  double estimate; ///< seconds no completion undercuts
  double cost;     ///< seconds so far, hops in reduced form
  std::uint32_t mask;
  std::uint32_t layer;
  std::uint32_t last;
  std::uint32_t parent; ///< index among the partial paths made
};

std::uint64_t key_of(const partial& p, bool with_last) {
  return (std::uint64_t{p.mask} << 32U) | (std::uint64_t{p.layer} << 8U) |
         (with_last ? p.last + 1U : 1U);
}

/// Least cost per key. Open addressing: most of the search's time goes through here.
class cost_table {
public:
  cost_table() { clear(); }

  void clear() {
    slots_.assign(1U << 12U, {});
    used_ = 0;
  }
  /// The key's cost, infinite when it is new. Valid until the next call. `key` is not 0.
  double& operator[](std::uint64_t key) {
    if (used_ * 2 > slots_.size()) {
      grow();
    }
    slot& found = find(key);
    if (found.key == 0) {
      found.key = key;
      ++used_;
    }
    return found.cost;
  }

private:
  struct slot {
    std::uint64_t key{0};
    double cost{infinite};
  };

  slot& find(std::uint64_t key) {
    std::uint64_t at = key * 0x9e3779b97f4a7c15U >> 20U;
    while (true) {
      slot& here = slots_[at & (slots_.size() - 1)];
      if (here.key == key || here.key == 0) {
        return here;
      }
      ++at;
    }
  }
  void grow() {
    std::vector<slot> old(slots_.size() * 4);
    old.swap(slots_);
    for (const slot& s : old) {
      if (s.key != 0) {
        find(s.key) = s;
      }
    }
  }

  std::vector<slot> slots_;
  std::size_t used_{0};
};

class searcher {
public:
  searcher(const path_problem& p, const path_question& q)
      : p_(p), q_(q), n_(static_cast<std::uint32_t>(p.nodes.size())), below_(q.below) {
    reduce_hops();
    find_capacities();
    find_zones();
    find_spent();
    find_twins();
    offer_at_.assign(std::size_t{1} << n_, nullptr);
  }

  path_answer answer();

private:
  /// What the nodes of a set could still do at best, cheapest bytes first.
  struct offer {
    std::uint32_t count{0};
    std::array<double, limits::plan_nodes_max> bytes{}; ///< sums
    std::array<double, limits::plan_nodes_max> cost{};  ///< sums
    std::array<double, limits::plan_nodes_max> rate{};  ///< seconds per byte, growing
    double fastest{infinite};                           ///< seconds per byte
    double refund{0}; ///< sum of what nodes pay where that is negative
    /// Per zone: its cheapest holder's seconds per byte, and what all later zones and the head cost
    /// with theirs. Infinite where no node of the set holds it.
    /// Empty where there is one zone: then neither says more than the sums above.
    std::vector<double> zone_rate;
    std::vector<double> zone_after;
  };

  void reduce_hops();
  void find_capacities();
  void find_zones();
  void find_spent();
  void find_twins();
  [[nodiscard]] std::uint32_t farthest(std::uint32_t node, std::uint32_t first) const;
  [[nodiscard]] bool fits(std::uint32_t node, layer_range range) const;
  [[nodiscard]] const offer& offer_of(std::uint32_t mask);
  void price_zones(std::uint32_t mask, offer& o) const;
  [[nodiscard]] double bytes_between(std::uint32_t first, std::uint32_t last) const {
    return static_cast<double>(p_.read_before[last] - p_.read_before[first]);
  }
  [[nodiscard]] bool may_follow(const partial& from, std::uint32_t node) const;
  void expand(std::uint32_t index, std::vector<std::uint32_t>& made);
  void consider(const partial& candidate, std::vector<std::uint32_t>& made);
  void complete(const partial& from, std::uint32_t index, std::uint32_t node, double cost);
  [[nodiscard]] double least_after(const offer& rest, std::uint32_t layer,
                                   std::uint32_t& taken) const;
  void beam(bool by_room, std::size_t width);
  void best_first(std::uint64_t most);
  [[nodiscard]] bool spent(std::uint64_t most) const { return tried_ >= most; }
  [[nodiscard]] bool satisfied() const { return q_.any && last_ != nobody; }
  [[nodiscard]] double limit() const { return below_ * (1 - rounding); }

  const path_problem& p_;
  const path_question& q_;
  std::uint32_t n_;
  double below_;
  std::vector<std::vector<double>> reduced_; ///< hops less what each node pays anyway
  std::vector<double> from_lead_, to_lead_;  ///< likewise
  std::vector<double> pays_;                 ///< what a node of the path pays for hops at least
  std::vector<std::vector<std::uint32_t>> reach_; ///< [node][first layer]: end of its longest stage
  std::vector<double> capacity_;                  ///< bytes read per token a node can hold at most
  std::vector<std::uint32_t> by_rate_;
  std::vector<double> rate_;
  std::vector<std::uint32_t> zone_first_;  ///< first layer of each zone, and the model's end
  std::vector<std::uint32_t> zone_of_;     ///< [layer]
  std::vector<std::uint32_t> spent_at_;    ///< [layer] mask: no stage there or later fits them
  std::vector<std::uint32_t> twin_before_; ///< mask of equal nodes to be used first
  bool last_matters_{false};
  double lead_pays_{0};

  std::vector<partial> made_;
  cost_table best_;
  std::deque<offer> offers_;           ///< stay where they are
  std::vector<const offer*> offer_at_; ///< by mask; null: not made yet
  std::uint32_t last_{nobody};         ///< of the best path: index of what precedes its last stage
  std::uint32_t last_node_{0};
  double bound_{0};
  std::uint64_t tried_{0}; ///< stages tried
};

// Every node of a path has one hop in and one out, so an amount may be moved from all hops into
// (or out of) a node to the node itself. What remains of usual hops is then zero: the lower bound
// knows the hops, and where nothing remains the last node of a partial path does not matter.
void searcher::reduce_hops() {
  std::vector<double> out(n_ + 1, 0);
  std::vector<double> in(n_ + 1, 0);
  std::vector<std::vector<double>> hop(n_ + 1, std::vector<double>(n_ + 1, infinite));
  for (std::uint32_t i = 0; i < n_; ++i) {
    out[i] = in[i] = p_.nodes[i].hub;
    hop[n_][i] = p_.nodes[i].from_lead;
    hop[i][n_] = p_.nodes[i].to_lead;
    for (std::uint32_t j = 0; j < n_; ++j) {
      hop[i][j] = i == j ? infinite : p_.hop[i][j];
    }
  }
  const auto rest = [&](std::size_t i, std::size_t j) { return hop[i][j] - out[i] - in[j]; };
  // The lead first: it may sit on a node, and then its hops are not usual ones.
  for (std::size_t k = 0; k <= n_; ++k) {
    const std::size_t i = n_ - k;
    for (const bool rows : {true, false}) {
      double least = infinite;
      for (std::size_t j = 0; j <= n_; ++j) {
        least = std::min(least, rows ? rest(i, j) : rest(j, i));
      }
      (rows ? out : in)[i] += least;
    }
  }
  reduced_.assign(n_, std::vector<double>(n_, 0));
  for (std::uint32_t i = 0; i < n_; ++i) {
    pays_.push_back(out[i] + in[i]);
    from_lead_.push_back(std::max(0.0, rest(n_, i)));
    to_lead_.push_back(std::max(0.0, rest(i, n_)));
    for (std::uint32_t j = 0; j < n_; ++j) {
      if (i != j) {
        const double left = std::max(0.0, rest(i, j));
        reduced_[i][j] = left > rounding * p_.hop[i][j] ? left : 0;
        last_matters_ = last_matters_ || reduced_[i][j] > 0 || p_.busy[i][j] > q_.busy_max;
      }
    }
  }
  lead_pays_ = out[n_] + in[n_];
}

bool searcher::fits(std::uint32_t node, layer_range range) const {
  return p_.fits(node, range) && p_.stage_seconds(node, range) <= q_.busy_max;
}

// The end of the longest stage from `first`: neither memory nor time shrinks with more layers, and
// the layers held end once, but the last stage may hold less beside its layers than an inner one,
// so it is asked for itself.
std::uint32_t searcher::farthest(std::uint32_t node, std::uint32_t first) const {
  if (fits(node, {first, p_.layers})) {
    return p_.layers;
  }
  std::uint32_t low = first;
  std::uint32_t high = p_.layers;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    (fits(node, {first, middle}) ? low : high) = middle;
  }
  return low;
}

void searcher::find_capacities() {
  for (std::uint32_t i = 0; i < n_; ++i) {
    std::uint64_t most = 0;
    std::vector<std::uint32_t>& reach = reach_.emplace_back();
    for (std::uint32_t first = 0; first < p_.layers; ++first) {
      reach.push_back(farthest(i, first));
      most = std::max(most, p_.read_before[reach.back()] - p_.read_before[first]);
    }
    capacity_.push_back(static_cast<double>(most));
    // A fixed price is shared by the bytes a node could hold at most: never more than it is.
    const double fixed = most > 0 ? std::max(0.0, pays_[i]) / capacity_[i] : 0;
    rate_.push_back(p_.nodes[i].seconds_per_byte + fixed);
  }
  by_rate_.resize(n_);
  std::iota(by_rate_.begin(), by_rate_.end(), 0U);
  std::stable_sort(by_rate_.begin(), by_rate_.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return rate_[a] < rate_[b]; });
}

// The layers between two places where some node's holding begins or ends are a zone.
void searcher::find_zones() {
  zone_first_ = {0, p_.layers};
  for (const path_problem::node& node : p_.nodes) {
    zone_first_.push_back(std::min(node.holds.first, p_.layers));
    zone_first_.push_back(std::min(node.holds.last, p_.layers));
  }
  std::sort(zone_first_.begin(), zone_first_.end());
  zone_first_.erase(std::unique(zone_first_.begin(), zone_first_.end()), zone_first_.end());
  for (std::uint32_t zone = 0; zone + 1 < zone_first_.size(); ++zone) {
    zone_of_.resize(zone_first_[zone + 1], zone);
  }
}

// A node whose layers lie all before the next one is as good as used: what is left to the others is
// then known better, and more partial paths are seen to be equal.
void searcher::find_spent() {
  spent_at_.assign(p_.layers + 1, (std::uint32_t{1} << n_) - 1);
  for (std::uint32_t layer = p_.layers; layer > 0;) {
    --layer;
    spent_at_[layer] = spent_at_[layer + 1];
    for (std::uint32_t i = 0; i < n_; ++i) {
      if (reach_[i][layer] > layer) {
        spent_at_[layer] &= ~(std::uint32_t{1} << i);
      }
    }
  }
}

// Of nodes equal in everything, the one with the lowest index goes first.
void searcher::find_twins() {
  const auto equal = [&](std::uint32_t a, std::uint32_t b) {
    const auto& x = p_.nodes[a];
    const auto& y = p_.nodes[b];
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
  };
  twin_before_.assign(n_, 0);
  for (std::uint32_t b = 0; b < n_; ++b) {
    for (std::uint32_t a = 0; a < b; ++a) {
      twin_before_[b] |= equal(a, b) ? 1U << a : 0U;
    }
  }
}

const searcher::offer& searcher::offer_of(std::uint32_t mask) {
  const offer*& known = offer_at_[mask];
  if (known != nullptr) {
    return *known;
  }
  offer& o = offers_.emplace_back();
  known = &o;
  double bytes = 0;
  double cost = 0;
  for (const std::uint32_t i : by_rate_) {
    if ((mask >> i & 1U) != 0 || capacity_[i] <= 0) {
      continue;
    }
    o.refund += std::min(0.0, pays_[i]);
    bytes += capacity_[i];
    cost += capacity_[i] * rate_[i];
    o.bytes[o.count] = bytes;
    o.cost[o.count] = cost;
    o.rate[o.count++] = rate_[i];
    o.fastest = std::min(o.fastest, p_.nodes[i].seconds_per_byte);
  }
  price_zones(mask, o);
  return o;
}

void searcher::price_zones(std::uint32_t mask, offer& o) const {
  std::size_t zone = zone_first_.size() - 1;
  if (zone == 1) {
    return;
  }
  o.zone_rate.resize(zone);
  o.zone_after.resize(zone);
  double after = static_cast<double>(p_.head_read) * o.fastest;
  while (zone > 0) {
    --zone;
    const auto holder = std::find_if(by_rate_.begin(), by_rate_.end(), [&](std::uint32_t i) {
      const layer_range held = p_.nodes[i].holds;
      return (mask >> i & 1U) == 0 && capacity_[i] > 0 && held.first <= zone_first_[zone] &&
             zone_first_[zone] < held.last;
    });
    o.zone_after[zone] = after;
    o.zone_rate[zone] = holder == by_rate_.end() ? infinite : rate_[*holder];
    after += o.zone_rate[zone] * bytes_between(zone_first_[zone], zone_first_[zone + 1]);
  }
}

// What the layers from `layer` cost at least on the nodes of the offer; infinite where their bytes
// do not fit. Two bounds, the greater counts: nodes fill up, cheapest first, wherever their layers
// are; each layer goes to its cheapest holder, whatever that has room for. `taken` is the number of
// nodes known to be too few, and grows as `layer` shrinks.
double searcher::least_after(const offer& rest, std::uint32_t layer, std::uint32_t& taken) const {
  const double left = bytes_between(layer, p_.layers);
  while (taken < rest.count && rest.bytes[taken] < left) {
    ++taken;
  }
  if (taken == rest.count) {
    return infinite;
  }
  const double filled = rest.cost[taken] - (rest.bytes[taken] - left) * rest.rate[taken] +
                        static_cast<double>(p_.head_read) * rest.fastest;
  if (rest.zone_rate.empty()) {
    return filled + rest.refund;
  }
  const std::uint32_t zone = zone_of_[layer];
  const double zoned =
      rest.zone_after[zone] + rest.zone_rate[zone] * bytes_between(layer, zone_first_[zone + 1]);
  return std::max(filled, zoned) + rest.refund;
}

bool searcher::may_follow(const partial& from, std::uint32_t node) const {
  if ((from.mask >> node & 1U) != 0 || (twin_before_[node] & ~from.mask) != 0) {
    return false;
  }
  return from.last == nobody || p_.busy[from.last][node] <= q_.busy_max;
}

void searcher::complete(const partial& from, std::uint32_t index, std::uint32_t node, double cost) {
  const double total = cost + to_lead_[node];
  if (total < limit() && p_.nodes[node].to_lead_busy <= q_.busy_max &&
      fits(node, {from.layer, p_.layers})) {
    below_ = total;
    last_ = index;
    last_node_ = node;
  }
}

void searcher::consider(const partial& candidate, std::vector<std::uint32_t>& made) {
  double& best = best_[key_of(candidate, last_matters_)];
  if (candidate.cost >= best * (1 - rounding)) {
    return;
  }
  best = candidate.cost;
  made.push_back(static_cast<std::uint32_t>(made_.size()));
  made_.push_back(candidate);
}

void searcher::expand(std::uint32_t index, std::vector<std::uint32_t>& made) {
  const partial from = made_[index];
  for (std::uint32_t node = 0; node < n_; ++node) {
    if (!may_follow(from, node)) {
      continue;
    }
    const double reached = from.cost + pays_[node] +
                           (from.last == nobody ? from_lead_[node] : reduced_[from.last][node]);
    std::uint32_t end = reach_[node][from.layer];
    if (end == p_.layers) {
      complete(from, index, node, reached + p_.stage_seconds(node, {from.layer, end}));
      if (satisfied()) {
        return;
      }
      // The last stage may have fitted where an inner one does not.
      --end;
    }
    const std::uint32_t mask = from.mask | 1U << node;
    std::uint32_t used = mask | spent_at_[end];
    const offer* rest = &offer_of(used);
    std::uint32_t taken = 0;
    for (; end > from.layer; --end) {
      ++tried_;
      if ((mask | spent_at_[end]) != used) {
        used = mask | spent_at_[end];
        rest = &offer_of(used);
        taken = 0;
      }
      const double still = least_after(*rest, end, taken);
      if (still == infinite && used == (mask | spent_at_[from.layer + 1])) {
        break; // fewer layers here leave even more to the same others
      }
      if (still == infinite || !fits(node, {from.layer, end})) {
        continue;
      }
      const double cost = reached + p_.stage_seconds(node, {from.layer, end});
      if (cost + still < limit()) {
        consider({cost + still, cost, used, end, node, index}, made);
      }
    }
  }
}

// Keeps the few most promising partial paths of each length: finds a good path quickly, and the
// better the path known, the less the exact search has to look at. Where memory is tight, the
// cheapest beginnings waste it and fit nowhere: then those that leave most of it are kept.
void searcher::beam(bool by_room, std::size_t width) {
  best_.clear();
  const auto room = [this](const partial& x) {
    const offer& rest = offer_of(x.mask);
    return (rest.count > 0 ? rest.bytes[rest.count - 1] : 0) +
           static_cast<double>(p_.read_before[x.layer]);
  };
  std::vector<std::uint32_t> front{0};
  for (std::uint32_t stage = 0;
       stage < n_ && !front.empty() && !satisfied() && !spent(q_.states_max); ++stage) {
    std::vector<std::uint32_t> made;
    for (const std::uint32_t index : front) {
      expand(index, made);
    }
    std::vector<std::pair<double, std::uint32_t>> ranked;
    for (const std::uint32_t index : made) {
      ranked.emplace_back(by_room ? -room(made_[index]) : made_[index].estimate, index);
    }
    const std::size_t kept = std::min(ranked.size(), width);
    std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(kept),
                      ranked.end());
    front.clear();
    for (std::size_t i = 0; i < kept; ++i) {
      front.push_back(ranked[i].second);
    }
  }
}

void searcher::best_first(std::uint64_t most) {
  best_.clear(); // the path found stays: it is made of partial paths of its own
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
    if (index != 0 && best_[key_of(next, last_matters_)] < next.cost) {
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
  std::uint32_t taken = 0;
  const partial root{
      lead_pays_ + least_after(offer_of(0), 0, taken), lead_pays_, 0, 0, nobody, nobody};
  made_.push_back(root);
  // A narrow beam is enough for most problems; the hard ones are worth a better start.
  for (const bool hard : {false, true}) {
    const std::size_t width = hard ? beam_wide : beam_narrow;
    beam(false, width);
    if (last_ == nobody) {
      beam(true, width);
    }
    if (!satisfied()) {
      best_first(hard ? q_.states_max : tried_ + q_.states_max / 4);
    }
    if (satisfied() || bound_ >= below_) {
      break;
    }
  }
  path_answer found;
  found.states = tried_;
  found.bound = std::min(bound_, below_);
  found.complete = satisfied() || bound_ >= below_;
  if (last_ == nobody) {
    return found;
  }
  found.seconds = below_;
  std::uint32_t end = p_.layers;
  std::uint32_t node = last_node_;
  for (std::uint32_t at = last_; at != nobody; at = made_[at].parent) {
    found.path.push_back({node, {made_[at].layer, end}});
    end = made_[at].layer;
    node = made_[at].last;
  }
  std::reverse(found.path.begin(), found.path.end());
  return found;
}

} // namespace

path_answer search_path(const path_problem& problem, const path_question& question) {
  OVIR_CHECK(!problem.nodes.empty() && problem.nodes.size() <= limits::plan_nodes_max,
             problem.nodes.size());
  OVIR_CHECK(problem.layers > 0 && problem.read_before.size() == problem.layers + 1U &&
                 problem.held.before.size() == problem.layers + 1U &&
                 problem.beside.before.size() == problem.layers + 1U,
             problem.layers);
  return searcher{problem, question}.answer();
}

} // namespace ovir::actors
