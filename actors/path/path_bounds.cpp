#include "actors/path/path_bounds.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace ovir::actors {

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();
/// What is left of a hop below this share of it is a rounding error.
constexpr double hop_rounding = 1e-12;
/// Nodes remembered as the cheapest to go on with; most nodes have fewer odd links than that.
constexpr std::size_t cheapest_kept = 6;

} // namespace

reduced_hops::reduced_hops(const path_problem& p, double busy_max) {
  const std::size_t n = p.nodes.size();
  std::vector<double> out(n + 1, 0);
  std::vector<double> in(n + 1, 0);
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = in[i] = p.nodes[i].hub;
  }
  const auto hop = [&](std::size_t i, std::size_t j) {
    return i == j   ? infinite
           : i == n ? p.nodes[j].from_lead
           : j == n ? p.nodes[i].to_lead
                    : p.hop[i][j];
  };
  const auto rest = [&](std::size_t i, std::size_t j) { return hop(i, j) - out[i] - in[j]; };
  // The lead first: it may sit on a node, and then its hops are not usual ones.
  for (std::size_t k = 0; k <= n; ++k) {
    const std::size_t i = n - k;
    for (const bool rows : {true, false}) {
      double least = infinite;
      for (std::size_t j = 0; j <= n; ++j) {
        least = std::min(least, rows ? rest(i, j) : rest(j, i));
      }
      (rows ? out : in)[i] += least;
    }
  }
  left.assign(n, std::vector<double>(n, 0));
  odd.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    pays.push_back(out[i] + in[i]);
    from_lead.push_back(std::max(0.0, rest(n, i)));
    to_lead.push_back(p.nodes[i].to_lead_busy <= busy_max ? std::max(0.0, rest(i, n)) : infinite);
    for (std::size_t j = 0; j < n; ++j) {
      const double seconds = std::max(0.0, rest(i, j));
      if (i != j && p.busy[i][j] > busy_max) {
        left[i][j] = infinite;
      } else if (i != j && seconds > hop_rounding * p.hop[i][j]) {
        left[i][j] = seconds;
      }
      if (left[i][j] > 0) {
        odd[i].push_back(static_cast<std::uint32_t>(j));
      }
    }
  }
  lead_pays = out[n] + in[n];
}

path_bounds::path_bounds(const path_problem& p, double busy_max)
    : p_(p), busy_max_(busy_max), n_(static_cast<std::uint32_t>(p.nodes.size())),
      hops_(p, busy_max), begin_(std::size_t{p.layers} * n_, infinite),
      end_(std::size_t{p.layers} * n_, 0), after_(std::size_t{p.layers} * n_, infinite),
      ending_(std::size_t{p.layers} * n_, infinite), ends_(n_), surcharges_(n_, 0) {
  find_reach();
  fill();
}

void path_bounds::fill() {
  for (ends& e : ends_) {
    e.end.clear();
    e.front = 0;
  }
  for (std::uint32_t layer = p_.layers; layer > 0;) {
    --layer;
    begin_at(layer);
    come_to(layer);
  }
}

void path_bounds::charge(std::vector<double> surcharges) {
  surcharges_ = std::move(surcharges);
  charged_.clear();
  for (std::uint32_t i = 0; i < n_; ++i) {
    if (surcharges_[i] > 0) {
      charged_.push_back(i);
    }
  }
  fill();
}

double path_bounds::after_lead() const {
  return next({}, 0, nobody).seconds - std::accumulate(surcharges_.begin(), surcharges_.end(), 0.0);
}

std::vector<std::uint32_t> path_bounds::uses() const {
  std::vector<std::uint32_t> count(n_, 0);
  std::uint32_t last = nobody;
  for (std::uint32_t layer = 0; layer < p_.layers;) {
    const step one = next(last == nobody ? node_set{} : node_set{}.with(last), layer, last);
    if (one.node == nobody) {
      break;
    }
    ++count[one.node];
    last = one.node;
    layer = one.end;
  }
  return count;
}

// The end of the longest inner stage: neither memory nor time shrinks with more layers, and the
// layers held end once.
std::uint32_t path_bounds::farthest(std::uint32_t node, std::uint32_t first) const {
  std::uint32_t low = first;
  std::uint32_t high = std::min(p_.layers, p_.nodes[node].holds.last + 1);
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    (fits(node, {first, middle}) ? low : high) = middle;
  }
  return low;
}

// The last stage may have memory for more layers than an inner one, or for fewer.
void path_bounds::find_reach() {
  for (std::uint32_t i = 0; i < n_; ++i) {
    const layer_range held = p_.nodes[i].holds;
    for (std::uint32_t first = 0; first < p_.layers; ++first) {
      const bool holds = held.first <= first && first < held.last;
      inner_.push_back(holds ? farthest(i, first) : first);
      reach_.push_back(holds && fits(i, {first, p_.layers}) ? p_.layers : inner_.back());
    }
  }
}

std::uint64_t path_bounds::work() const {
  std::uint64_t steps = n_;
  for (const std::vector<std::uint32_t>& some : hops_.odd) {
    steps += some.size();
  }
  return steps * p_.layers;
}

// The best end of an inner stage from `layer` is the least of `ending_` among those it reaches.
// These ends fall with the layer, so a queue knows it without looking at all of them.
void path_bounds::begin_at(std::uint32_t layer) {
  for (std::uint32_t i = 0; i < n_; ++i) {
    ends& e = ends_[i];
    const auto ending = [&](std::uint32_t end) { return ending_[end * n_ + i]; };
    if (layer + 1 < p_.layers) {
      while (e.end.size() > e.front && ending(e.end.back()) > ending(layer + 1)) {
        e.end.pop_back();
      }
      e.end.push_back(layer + 1);
    }
    while (e.front < e.end.size() && e.end[e.front] > inner_reach(i, layer)) {
      ++e.front;
    }
    double& least = begin_[layer * n_ + i];
    std::uint32_t& end = end_[layer * n_ + i];
    least = infinite;
    if (reach(i, layer) == p_.layers) {
      least = p_.stage_seconds(i, {layer, p_.layers}) + hops_.to_lead[i];
      end = p_.layers;
    }
    if (e.front < e.end.size()) {
      const double seconds = ending(e.end[e.front]) - seconds_before(layer, i);
      if (seconds < least) {
        least = seconds;
        end = e.end[e.front];
      }
    }
    least += surcharges_[i];
  }
}

// Where something is left of a hop it is looked at; of the others, the cheapest to begin counts.
double path_bounds::onward(std::uint32_t layer, std::uint32_t last) const {
  const std::vector<double>& left = hops_.left[last];
  double least = infinite;
  const auto usual = std::find_if(best_.begin(), best_.end(), [&](const auto& one) {
    return one.second != last && left[one.second] == 0;
  });
  if (usual != best_.end()) {
    least = usual->first;
  } else if (best_.size() < n_) {
    for (std::uint32_t j = 0; j < n_; ++j) {
      if (j != last && left[j] == 0) {
        least = std::min(least, hops_.pays[j] + begin_[layer * n_ + j]);
      }
    }
  }
  for (const std::uint32_t j : hops_.odd[last]) {
    least = std::min(least, left[j] + hops_.pays[j] + begin_[layer * n_ + j]);
  }
  return least;
}

void path_bounds::come_to(std::uint32_t layer) {
  std::vector<std::pair<double, std::uint32_t>> all;
  all.reserve(n_);
  for (std::uint32_t j = 0; j < n_; ++j) {
    all.emplace_back(hops_.pays[j] + begin_[layer * n_ + j], j);
  }
  best_.resize(std::min<std::size_t>(n_, cheapest_kept));
  std::partial_sort_copy(all.begin(), all.end(), best_.begin(), best_.end());
  for (std::uint32_t i = 0; i < n_; ++i) {
    const double least = onward(layer, i);
    after_[layer * n_ + i] = least;
    ending_[layer * n_ + i] = least + seconds_before(layer, i);
  }
}

path_bounds::step path_bounds::next(const node_set& used, std::uint32_t layer,
                                    std::uint32_t last) const {
  step found{infinite, nobody, 0};
  for (std::uint32_t j = 0; j < n_; ++j) {
    if (used.has(j)) {
      continue;
    }
    const double hop = last == nobody ? hops_.from_lead[j] : hops_.left[last][j];
    const double seconds = hop + hops_.pays[j] + begin_[layer * n_ + j];
    if (seconds < found.seconds) {
      found = {seconds, j, end_[layer * n_ + j]};
    }
  }
  return found;
}

// A fixed price is shared by the bytes a node could hold at most: never more than it is.
node_filling::prices::prices(const path_problem& p, const path_bounds& bounds) {
  for (std::uint32_t i = 0; i < p.nodes.size(); ++i) {
    std::uint64_t most = 0;
    for (std::uint32_t first = 0; first < p.layers; ++first) {
      most = std::max(most, p.read_before[bounds.reach(i, first)] - p.read_before[first]);
    }
    capacity.push_back(static_cast<double>(most));
    const double pays = bounds.hops().pays[i];
    rate.push_back(p.nodes[i].seconds_per_byte +
                   (most > 0 ? std::max(0.0, pays) / capacity[i] : 0));
    if (most > 0) {
      by_rate.push_back(i);
      by_speed.push_back(i);
    }
    if (pays < 0) {
      refunded.push_back(i);
    }
  }
  std::stable_sort(by_rate.begin(), by_rate.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return rate[a] < rate[b]; });
  std::stable_sort(by_speed.begin(), by_speed.end(), [&](std::uint32_t a, std::uint32_t b) {
    return p.nodes[a].seconds_per_byte < p.nodes[b].seconds_per_byte;
  });
}

node_filling::node_filling(const path_problem& p, const reduced_hops& hops, const prices& of,
                           const node_set& used)
    : of_(of), used_(used) {
  const auto fastest = std::find_if(of.by_speed.begin(), of.by_speed.end(),
                                    [&](std::uint32_t i) { return !used.has(i); });
  if (fastest != of.by_speed.end()) {
    fixed_ = static_cast<double>(p.head_read) * p.nodes[*fastest].seconds_per_byte;
  }
  for (const std::uint32_t i : of.refunded) {
    fixed_ += used.has(i) ? 0 : hops.pays[i];
  }
}

void node_filling::take_next() {
  const std::uint32_t i = of_.by_rate[next_++];
  if (!used_.has(i)) {
    bytes_ += of_.capacity[i];
    cost_ += of_.capacity[i] * of_.rate[i];
    rate_ = of_.rate[i];
  }
}

double node_filling::least(double bytes) {
  while (bytes_ < bytes) {
    if (next_ == of_.by_rate.size()) {
      return infinite;
    }
    take_next();
  }
  return cost_ - (bytes_ - bytes) * rate_ + fixed_;
}

double node_filling::room() {
  while (next_ < of_.by_rate.size()) {
    take_next();
  }
  return bytes_;
}

} // namespace ovir::actors
