#include "actors/path/path_bounds.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace ovir::actors {

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();
/// What is left of a hop below this share of it is a rounding error.
constexpr double hop_rounding = 1e-12;

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
  usual.assign(n, true);
  for (std::size_t i = 0; i < n; ++i) {
    pays.push_back(out[i] + in[i]);
    from_lead.push_back(std::max(0.0, rest(n, i)));
    to_lead.push_back(p.nodes[i].to_lead_busy <= busy_max ? std::max(0.0, rest(i, n)) : infinite);
    for (std::size_t j = 0; j < n; ++j) {
      const double seconds = std::max(0.0, rest(i, j));
      if (i != j && (std::isinf(seconds) || p.busy[i][j] > busy_max)) {
        left[i][j] = infinite;
      } else if (i != j && seconds > hop_rounding * p.hop[i][j]) {
        left[i][j] = seconds;
      }
      usual[i] = usual[i] && left[i][j] == 0;
    }
  }
  lead_pays = out[n] + in[n];
}

path_bounds::path_bounds(const path_problem& p, double busy_max)
    : p_(p), busy_max_(busy_max), n_(static_cast<std::uint32_t>(p.nodes.size())),
      hops_(p, busy_max), begin_(std::size_t{p.layers} * n_, infinite),
      end_(std::size_t{p.layers} * n_, 0), after_(std::size_t{p.layers} * n_, infinite) {
  find_reach();
  for (std::uint32_t layer = p.layers; layer > 0;) {
    --layer;
    begin_at(layer);
    come_to(layer);
  }
  after_lead_ = next({}, 0, nobody).seconds;
}

// Neither memory nor time shrinks with more layers, and the layers held end once, but the last
// stage may hold less beside its layers than an inner one, so it is asked for itself.
std::uint32_t path_bounds::farthest(std::uint32_t node, std::uint32_t first) const {
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

void path_bounds::find_reach() {
  reach_.reserve(std::size_t{p_.layers} * n_);
  for (std::uint32_t i = 0; i < n_; ++i) {
    const layer_range held = p_.nodes[i].holds;
    for (std::uint32_t first = 0; first < p_.layers; ++first) {
      reach_.push_back(held.first <= first && first < held.last ? farthest(i, first) : first);
    }
  }
}

void path_bounds::begin_at(std::uint32_t layer) {
  for (std::uint32_t i = 0; i < n_; ++i) {
    double& least = begin_[layer * n_ + i];
    std::uint32_t& end = end_[layer * n_ + i];
    std::uint32_t last = reach(i, layer);
    const bool to_the_end = last == p_.layers;
    if (to_the_end) {
      least = p_.stage_seconds(i, {layer, last}) + hops_.to_lead[i];
      end = last;
      --last;
    }
    for (; last > layer; --last) {
      const double seconds = p_.stage_seconds(i, {layer, last}) + after(last, i);
      // The last stage may have fitted where an inner one does not.
      if (seconds < least && (!to_the_end || fits(i, {layer, last}))) {
        least = seconds;
        end = last;
      }
    }
  }
}

// Where nothing is left of the hops out of a node, only the two best of those that follow count.
void path_bounds::come_to(std::uint32_t layer) {
  double best = infinite;
  double second = infinite;
  std::uint32_t who = nobody;
  for (std::uint32_t j = 0; j < n_; ++j) {
    const double seconds = hops_.pays[j] + begin_[layer * n_ + j];
    if (seconds < best) {
      second = best;
      best = seconds;
      who = j;
    } else {
      second = std::min(second, seconds);
    }
  }
  for (std::uint32_t i = 0; i < n_; ++i) {
    double& least = after_[layer * n_ + i];
    if (hops_.usual[i]) {
      least = who == i ? second : best;
      continue;
    }
    for (std::uint32_t j = 0; j < n_; ++j) {
      if (i != j) {
        least = std::min(least, hops_.left[i][j] + hops_.pays[j] + begin_[layer * n_ + j]);
      }
    }
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
