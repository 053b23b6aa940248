#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ovir::test {

/// Scalars in binary64 and what each was made of, so that the gradient of one by all others can be
/// worked out without a formula for it: a second way to the gradients that OVIR computes.
class tape64 {
public:
  using index = std::uint32_t;

  index leaf(double value) { return made(value); }
  [[nodiscard]] double value(index i) const { return nodes_[i].value; }
  [[nodiscard]] double gradient(index i) const { return nodes_[i].gradient; }

  /// `value` of one other, whose slope there is `slope`.
  index unary(index x, double value, double slope) {
    edges_.push_back({x, slope});
    return made(value);
  }
  index add(index a, index b) {
    edges_.push_back({a, 1});
    edges_.push_back({b, 1});
    return made(value(a) + value(b));
  }
  index multiply(index a, index b) {
    edges_.push_back({a, value(b)});
    edges_.push_back({b, value(a)});
    return made(value(a) * value(b));
  }
  index divide(index a, index b) {
    edges_.push_back({a, 1 / value(b)});
    edges_.push_back({b, -value(a) / (value(b) * value(b))});
    return made(value(a) / value(b));
  }
  index scale(index a, double by) { return unary(a, value(a) * by, by); }
  index exponential(index a) {
    const double e = std::exp(value(a));
    return unary(a, e, e);
  }
  index logarithm(index a) { return unary(a, std::log(value(a)), 1 / value(a)); }
  index sum(std::span<const index> of) {
    double s = 0;
    for (const index i : of) {
      edges_.push_back({i, 1});
      s += value(i);
    }
    return made(s);
  }
  index dot(std::span<const index> a, std::span<const index> b) {
    double s = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      edges_.push_back({a[i], value(b[i])});
      edges_.push_back({b[i], value(a[i])});
      s += value(a[i]) * value(b[i]);
    }
    return made(s);
  }
  /// With constants.
  index dot(std::span<const float> w, std::span<const index> x) {
    double s = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      edges_.push_back({x[i], static_cast<double>(w[i])});
      s += static_cast<double>(w[i]) * value(x[i]);
    }
    return made(s);
  }

  /// Works out the gradients of `of`.
  void run_back(index of) {
    nodes_[of].gradient = 1;
    for (std::size_t i = of + std::size_t{1}; i-- > 0;) {
      const node& n = nodes_[i];
      const std::size_t last = n.last_edge;
      for (std::size_t e = i == 0 ? 0 : nodes_[i - 1].last_edge; e < last; ++e) {
        nodes_[edges_[e].to].gradient += n.gradient * edges_[e].slope;
      }
    }
  }

private:
  struct node {
    double value;
    double gradient;
    std::size_t last_edge; ///< its edges lie before it and behind those of the node before
  };
  struct edge {
    index to;
    double slope;
  };

  index made(double value) {
    nodes_.push_back({value, 0, edges_.size()});
    return static_cast<index>(nodes_.size() - 1);
  }

  std::vector<node> nodes_;
  std::vector<edge> edges_;
};

} // namespace ovir::test
