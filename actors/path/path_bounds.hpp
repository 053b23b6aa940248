#pragma once

#include "actors/path/path_search.hpp"
#include "messages/limits/paths.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

/// What a search for a path knows before it begins: how far each node's stage reaches, and what the
/// rest of a path costs at least.
namespace ovir::actors {

/// Some of a problem's nodes.
class node_set {
public:
  [[nodiscard]] bool has(std::uint32_t node) const {
    return (words_[node / 64] >> (node % 64) & 1U) != 0;
  }
  void add(std::uint32_t node) { words_[node / 64] |= std::uint64_t{1} << (node % 64); }
  void remove(std::uint32_t node) { words_[node / 64] &= ~(std::uint64_t{1} << (node % 64)); }
  [[nodiscard]] node_set with(std::uint32_t node) const {
    node_set more = *this;
    more.add(node);
    return more;
  }
  [[nodiscard]] bool holds_all(const node_set& others) const {
    bool all = true;
    for (std::size_t w = 0; w < words_.size(); ++w) {
      all = all && (others.words_[w] & ~words_[w]) == 0;
    }
    return all;
  }
  [[nodiscard]] std::uint64_t hash() const {
    std::uint64_t mixed = 0;
    for (const std::uint64_t word : words_) {
      mixed = (std::rotl(mixed, 29) ^ word) * 0x9e3779b97f4a7c15U;
    }
    return mixed;
  }
  friend node_set operator|(node_set a, const node_set& b) {
    for (std::size_t w = 0; w < a.words_.size(); ++w) {
      a.words_[w] |= b.words_[w];
    }
    return a;
  }
  friend bool operator==(const node_set&, const node_set&) = default;

private:
  std::array<std::uint64_t, (limits::path_nodes_max + 63) / 64> words_{};
};

/// Every node of a path has one hop in and one out, so an amount may be moved from all hops into
/// (or out of) a node to the node itself. What remains of usual hops is then zero. The cost of a
/// partial path in this form: `lead_pays`, and per node what it pays, its stage and what is left of
/// the hop to it.
struct reduced_hops {
  explicit reduced_hops(const path_problem& p, double busy_max);

  std::vector<double> pays; ///< what a node of the path pays for hops at least
  double lead_pays{0};
  /// What is left of hops, in seconds; infinite where the link is too busy.
  std::vector<double> from_lead, to_lead;
  std::vector<std::vector<double>> left;
  std::vector<std::vector<std::uint32_t>> odd; ///< per node: to whom there is something left
};

/// Bounds from below for one problem, for stages and links that are never busy for longer than
/// `busy_max` seconds per token.
class path_bounds {
public:
  path_bounds(const path_problem& p, double busy_max);

  [[nodiscard]] bool fits(std::uint32_t node, layer_range range) const {
    return p_.fits(node, range) && p_.stage_seconds(node, range) <= busy_max_;
  }
  /// The end of the node's longest stage from `first`; `first` where there is none.
  [[nodiscard]] std::uint32_t reach(std::uint32_t node, std::uint32_t first) const {
    return reach_[node * p_.layers + first];
  }
  /// The same of a stage that is not the last one.
  [[nodiscard]] std::uint32_t inner_reach(std::uint32_t node, std::uint32_t first) const {
    return inner_[node * p_.layers + first];
  }
  [[nodiscard]] const reduced_hops& hops() const { return hops_; }

  /// Makes every stage on a node dearer by its surcharge. What nodes outside a path would have paid
  /// is taken off its bound again, so bounds stay bounds; surcharges on nodes that would have
  /// several stages make them higher (Held and Karp 1971 do so for tours).
  void charge(std::vector<double> surcharges);
  [[nodiscard]] const std::vector<double>& surcharges() const { return surcharges_; }

  /// What the layers from `layer` on cost at least on nodes outside `used` after a stage on `last`:
  /// as much as the best way there is when a node may have any number of stages, less the
  /// surcharges of these nodes. 0 < `layer` < layers.
  [[nodiscard]] double after(std::uint32_t layer, std::uint32_t last, const node_set& used) const {
    double taken_off = 0;
    for (const std::uint32_t node : charged_) {
      taken_off += used.has(node) ? 0 : surcharges_[node];
    }
    return after_[layer * n_ + last] - taken_off;
  }
  /// The same of all layers, from the lead.
  [[nodiscard]] double after_lead() const;
  /// How many stages each node has in that way.
  [[nodiscard]] std::vector<std::uint32_t> uses() const;
  /// Steps that `charge` takes.
  [[nodiscard]] std::uint64_t work() const;

  struct step {
    double seconds; ///< what it and all that follows cost, the hop to it and surcharges included
    std::uint32_t node;
    std::uint32_t end; ///< of its stage
  };
  /// The best next stage of that way on a node outside `used`. `last`: `nobody` at the beginning.
  [[nodiscard]] step next(const node_set& used, std::uint32_t layer, std::uint32_t last) const;

  static constexpr std::uint32_t nobody = std::numeric_limits<std::uint32_t>::max();

private:
  void find_reach();
  [[nodiscard]] std::uint32_t farthest(std::uint32_t node, std::uint32_t first) const;
  /// What the layers before this one would cost on the node.
  [[nodiscard]] double seconds_before(std::uint32_t layer, std::uint32_t node) const {
    return static_cast<double>(p_.read_before[layer]) * p_.nodes[node].seconds_per_byte;
  }
  void fill();
  void begin_at(std::uint32_t layer);
  void come_to(std::uint32_t layer);
  [[nodiscard]] double onward(std::uint32_t layer, std::uint32_t last) const;

  /// The ends of a node's inner stages that may be the best, as the first layer falls: the latest
  /// end is in front, ends fall and costs rise towards it.
  struct ends {
    std::vector<std::uint32_t> end;
    std::size_t front{0};
  };

  const path_problem& p_;
  double busy_max_;
  std::uint32_t n_;
  reduced_hops hops_;
  std::vector<std::uint32_t> reach_; ///< [node][first layer]
  std::vector<std::uint32_t> inner_; ///< [node][first layer]
  std::vector<double> begin_;        ///< [layer][node] a stage on it, and what follows, at least
  std::vector<std::uint32_t> end_;   ///< [layer][node] of that stage
  std::vector<double> after_;        ///< [layer][last]
  std::vector<double> ending_;       ///< [layer][last] the same, and the bytes before, on `last`
  std::vector<ends> ends_;           ///< by node
  std::vector<std::pair<double, std::uint32_t>> best_; ///< those that begin cheapest at a layer
  std::vector<double> surcharges_;
  std::vector<std::uint32_t> charged_; ///< nodes with one
};

/// What layers cost at least on nodes that are not used yet: these fill up, cheapest bytes first,
/// wherever their layers are. Ask with growing amounts.
class node_filling {
public:
  /// What all fillings of one search have in common.
  struct prices {
    prices(const path_problem& p, const path_bounds& bounds);

    std::vector<double> capacity; ///< bytes read per token that a node can hold at most
    std::vector<double> rate;     ///< seconds per byte, with its share of what the node pays
    std::vector<std::uint32_t> by_rate;
    std::vector<std::uint32_t> by_speed;
    std::vector<std::uint32_t> refunded; ///< nodes that pay less than nothing
  };
  node_filling(const path_problem& p, const reduced_hops& hops, const prices& of,
               const node_set& used);

  /// Infinite where the bytes do not fit.
  [[nodiscard]] double least(double bytes);
  /// Bytes that fit at most.
  [[nodiscard]] double room();

private:
  void take_next();

  const prices& of_;
  const node_set& used_;
  double fixed_{0}; ///< the head, and what is refunded
  std::size_t next_{0};
  double bytes_{0}; ///< of those taken
  double cost_{0};
  double rate_{0}; ///< of the one taken last
};

} // namespace ovir::actors
