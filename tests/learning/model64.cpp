#include "tests/learning/model64.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "tests/learning/tape64.hpp"

#include <algorithm>
#include <cmath>

namespace ovir::test {

namespace {

using compute::weight;
using index = tape64::index;
using row = std::vector<index>;

std::vector<float> floats_of(const weight& w, std::uint32_t r) {
  std::vector<float> out(w.cols);
  compute::embed_row(w, r, out.data());
  return out;
}

/// Indices of a pair's numbers.
struct pair64 {
  std::vector<index> a;
  std::vector<index> b;
};

class model64 {
public:
  model64(const compute::model& m, const learning::adapter& beside, bool half_kv)
      : m_(m), beside_(beside), half_kv_(half_kv), pairs_(beside.numbers.size()) {
    learning::for_each_pair(
        beside.numbers, [&](std::size_t layer, std::size_t place, const learning::lora_pair& pair) {
          for (const float v : pair.a) {
            pairs_[layer][place].a.push_back(t_.leaf(static_cast<double>(v)));
          }
          for (const float v : pair.b) {
            pairs_[layer][place].b.push_back(t_.leaf(static_cast<double>(v)));
          }
        });
  }

  loss64 run(const learning::example& e) {
    const std::size_t rows = e.rows();
    std::vector<row> x(rows);
    for (std::size_t p = 0; p < rows; ++p) {
      for (const float v : floats_of(m_.token_embedding, e.ids[p])) {
        x[p].push_back(t_.leaf(static_cast<double>(v)));
      }
    }
    for (std::size_t layer = 0; layer < m_.layers.size(); ++layer) {
      attention(layer, x);
      feed_forward(layer, x);
    }
    row losses;
    for (std::size_t p = 0; p < rows; ++p) {
      if (e.counts[p + 1] != 0) {
        const row h = norm(x[p], floats_of(m_.output_norm, 0));
        losses.push_back(cross_entropy(times(m_.output, h), e.ids[p + 1]));
      }
    }
    const index loss = t_.sum(losses);
    t_.run_back(loss);
    loss64 out{t_.value(loss), learning::zeros_like(beside_.numbers)};
    learning::for_each_pair(out.gradient,
                            [&](std::size_t layer, std::size_t place, learning::lora_pair& pair) {
                              const pair64& at = pairs_[layer][place];
                              for (std::size_t i = 0; i < pair.a.size(); ++i) {
                                pair.a[i] = static_cast<float>(t_.gradient(at.a[i]));
                              }
                              for (std::size_t i = 0; i < pair.b.size(); ++i) {
                                pair.b[i] = static_cast<float>(t_.gradient(at.b[i]));
                              }
                            });
    return out;
  }

private:
  row times(const weight& w, const row& x) {
    row out;
    for (std::uint32_t r = 0; r < w.rows; ++r) {
      out.push_back(t_.dot(std::span<const float>{floats_of(w, r)}, x));
    }
    return out;
  }
  row product(std::size_t layer, learning::target_place place, const row& x) {
    row y = times(m_.layers[layer].*learning::targets[place].member, x);
    if (layer >= pairs_.size() || pairs_[layer][place].a.empty()) {
      return y;
    }
    const pair64& pair = pairs_[layer][place];
    const std::size_t rank = beside_.rank;
    row low;
    for (std::size_t k = 0; k < rank; ++k) {
      low.push_back(t_.dot(std::span{pair.a}.subspan(k * x.size(), x.size()), x));
    }
    for (std::size_t o = 0; o < y.size(); ++o) {
      const index z = t_.dot(std::span{pair.b}.subspan(o * rank, rank), low);
      y[o] =
          t_.add(y[o], t_.scale(z, static_cast<double>(beside_.alpha) / static_cast<double>(rank)));
    }
    return y;
  }
  row norm(std::span<const index> x, const std::vector<float>& w) {
    const index ss = t_.dot(x, x);
    const double inside =
        t_.value(ss) / static_cast<double>(x.size()) + static_cast<double>(m_.config.norm_epsilon);
    const index r = t_.unary(ss, 1 / std::sqrt(inside),
                             -0.5 / (inside * std::sqrt(inside)) / static_cast<double>(x.size()));
    row out;
    for (std::size_t i = 0; i < x.size(); ++i) {
      out.push_back(t_.scale(t_.multiply(x[i], r), static_cast<double>(w[i])));
    }
    return out;
  }
  void finish(std::size_t layer, std::size_t p, row& x, const weight& bias,
              const weight& heads_norm, bool turned) {
    const std::uint32_t dim = m_.config.head_dim;
    if (!bias.empty()) {
      const std::vector<float> b = floats_of(bias, 0);
      for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = t_.unary(x[i], t_.value(x[i]) + static_cast<double>(b[i]), 1);
      }
    }
    for (std::size_t at = 0; at < x.size(); at += dim) {
      if (!heads_norm.empty()) {
        const row normed = norm(std::span{x}.subspan(at, dim), floats_of(heads_norm, 0));
        std::copy(normed.begin(), normed.end(), x.begin() + static_cast<std::ptrdiff_t>(at));
      }
      if (turned && m_.config.kind_of(static_cast<layer_index>(layer)).rotated) {
        turn(p, std::span{x}.subspan(at, dim));
      }
    }
  }
  void turn(std::size_t p, std::span<index> x) {
    const std::uint32_t n = m_.config.rope_dim;
    const bool halves = m_.config.rotary == compute::rotary_pairs::halves;
    for (std::uint32_t i = 0; i < n / 2; ++i) {
      const double angle = static_cast<double>(p) * std::pow(m_.config.rope_base, -2.0 * i / n);
      index& a = x[halves ? i : 2 * i];
      index& b = x[halves ? i + n / 2 : 2 * i + 1];
      const index c = t_.add(t_.scale(a, std::cos(angle)), t_.scale(b, -std::sin(angle)));
      b = t_.add(t_.scale(a, std::sin(angle)), t_.scale(b, std::cos(angle)));
      a = c;
    }
  }
  void round(row& x) {
    for (index& i : x) {
      if (half_kv_) {
        const auto v = static_cast<float>(t_.value(i));
        i = t_.unary(i, static_cast<double>(compute::half_to_float(compute::float_to_half(v))), 1);
      }
    }
  }
  /// The attention of one head of row p.
  void attend(std::size_t p, std::uint32_t head, const row& q, const std::vector<row>& k,
              const std::vector<row>& v, row& out) {
    const std::uint32_t dim = m_.config.head_dim;
    const std::size_t kv = head / (m_.config.heads / m_.config.kv_heads) * std::size_t{dim};
    const auto mine = std::span{q}.subspan(std::size_t{head} * dim, dim);
    row weights;
    for (std::size_t j = 0; j <= p; ++j) {
      const index dot = t_.dot(std::span<const index>{mine}, std::span{k[j]}.subspan(kv, dim));
      weights.push_back(
          t_.exponential(t_.scale(dot, static_cast<double>(m_.config.attention_scale))));
    }
    const index total = t_.sum(weights);
    for (std::uint32_t i = 0; i < dim; ++i) {
      row values;
      for (std::size_t j = 0; j <= p; ++j) {
        values.push_back(v[j][kv + i]);
      }
      out.push_back(t_.divide(t_.dot(std::span<const index>{weights}, values), total));
    }
  }
  void attention(std::size_t layer, std::vector<row>& x) {
    const compute::layer_weights& w = m_.layers[layer];
    std::vector<row> q;
    std::vector<row> k;
    std::vector<row> v;
    for (std::size_t p = 0; p < x.size(); ++p) {
      const row h = norm(x[p], floats_of(w.attn_norm, 0));
      q.push_back(product(layer, learning::at_q, h));
      k.push_back(product(layer, learning::at_k, h));
      v.push_back(product(layer, learning::at_v, h));
      finish(layer, p, q.back(), w.attn_q_bias, w.attn_q_norm, true);
      finish(layer, p, k.back(), w.attn_k_bias, w.attn_k_norm, true);
      finish(layer, p, v.back(), w.attn_v_bias, {}, false);
      round(k.back());
      round(v.back());
    }
    for (std::size_t p = 0; p < x.size(); ++p) {
      row heads;
      for (std::uint32_t h = 0; h < m_.config.heads; ++h) {
        attend(p, h, q[p], k, v, heads);
      }
      add(x[p], product(layer, learning::at_output, heads));
    }
  }
  void feed_forward(std::size_t layer, std::vector<row>& x) {
    for (row& stream : x) {
      const row h = norm(stream, floats_of(m_.layers[layer].ffn_norm, 0));
      const row gate = product(layer, learning::at_gate, h);
      const row up = product(layer, learning::at_up, h);
      row inner;
      for (std::size_t i = 0; i < gate.size(); ++i) {
        const double g = t_.value(gate[i]);
        const double s = 1 / (1 + std::exp(-g));
        const index silu = t_.unary(gate[i], g * s, s + g * s * (1 - s));
        inner.push_back(t_.multiply(silu, up[i]));
      }
      add(stream, product(layer, learning::at_down, inner));
    }
  }
  void add(row& x, const row& y) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = t_.add(x[i], y[i]);
    }
  }
  index cross_entropy(const row& logits, token_id next) {
    row weights;
    for (const index l : logits) {
      weights.push_back(t_.exponential(l));
    }
    return t_.add(t_.logarithm(t_.sum(weights)), t_.scale(logits[next], -1));
  }

  const compute::model& m_;
  const learning::adapter& beside_;
  bool half_kv_;
  tape64 t_;
  std::vector<std::array<pair64, learning::targets.size()>> pairs_;
};

} // namespace

loss64 loss_of(const compute::model& m, const learning::adapter& beside, const learning::example& e,
               bool half_kv) {
  return model64{m, beside, half_kv}.run(e);
}

} // namespace ovir::test
