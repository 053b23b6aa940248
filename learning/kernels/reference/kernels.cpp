// The specification of learn-1's kernels: the order of operations of docs/formats/learn-1.md,
// written for reading.
#include "learning/kernels/kernels.hpp"

#include "compute/base/exact_math.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace ovir::learning {

namespace {

using lanes = std::array<float, 16>;

/// The end of a striped sum (exact-1, section 1).
float fold(lanes s) {
  for (std::size_t half = s.size() / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) {
      s[l] += s[l + half];
    }
  }
  return s[0];
}

float striped_sum(const float* a, const float* b, std::uint32_t n) {
  lanes s{};
  for (std::uint32_t i = 0; i < n; ++i) {
    s[i % s.size()] = std::fma(a[i], b[i], s[i % s.size()]);
  }
  return fold(s);
}

void add_chunk(const chunk_product& p) {
  for (std::size_t m = 0; m < p.rows; ++m) {
    for (std::size_t n = 0; n < p.cols; ++n) {
      float c = 0;
      for (std::size_t j = 0; j < p.terms; ++j) {
        c = std::fma(p.a[m * p.a_row + j * p.a_term], p.b[j * p.b_row + n], c);
      }
      p.out[m * p.out_row + n] += c;
    }
  }
}

void add_scaled(float* y, const float* z, float factor, std::uint32_t n) {
  for (std::uint32_t i = 0; i < n; ++i) {
    y[i] = std::fma(factor, z[i], y[i]);
  }
}

softmax_sums softmax(float* x, std::uint32_t n, float scale) {
  float most = -std::numeric_limits<float>::infinity();
  for (std::uint32_t i = 0; i < n; ++i) {
    x[i] *= scale;
    most = x[i] > most ? x[i] : most;
  }
  float total = 0;
  for (std::uint32_t first = 0; first < n; first += chunk_terms) {
    lanes s{};
    for (std::uint32_t i = first; i < std::min(n, first + chunk_terms); ++i) {
      x[i] = compute::exact_exp(x[i] - most);
      s[(i - first) % s.size()] += x[i];
    }
    total += fold(s);
  }
  for (std::uint32_t i = 0; i < n; ++i) {
    x[i] /= total;
  }
  return {most, total};
}

void softmax_back(const float* p, float* d, std::uint32_t n, float scale) {
  const float s = striped_sum(p, d, n);
  for (std::uint32_t i = 0; i < n; ++i) {
    d[i] = (p[i] * (d[i] - s)) * scale;
  }
}

void norm_back(const float* x, const float* w, const float* dy, std::uint32_t n, float epsilon,
               float* out) {
  const float count = static_cast<float>(n);
  const float r = 1.0F / std::sqrt(striped_sum(x, x, n) / count + epsilon);
  lanes s{};
  for (std::uint32_t i = 0; i < n; ++i) {
    s[i % s.size()] = std::fma(dy[i] * w[i], x[i], s[i % s.size()]);
  }
  const float c = ((r * r) * r) * (fold(s) / count);
  for (std::uint32_t i = 0; i < n; ++i) {
    out[i] = std::fma(-c, x[i], (dy[i] * w[i]) * r);
  }
}

void gate_back(const float* gate, const float* up, const float* d, std::uint32_t n, float* d_gate,
               float* d_up) {
  for (std::uint32_t i = 0; i < n; ++i) {
    const float below = 1.0F + compute::exact_exp(-gate[i]);
    const float share = 1.0F / below;
    const float silu = gate[i] / below;
    const float slope = std::fma(silu, 1.0F - share, share);
    const float back = (d[i] * up[i]) * slope;
    d_up[i] = d[i] * silu;
    d_gate[i] = back;
  }
}

constexpr learn_kernels reference_set{add_chunk,    add_scaled, softmax,
                                      softmax_back, norm_back,  gate_back};

} // namespace

const learn_kernels& kernels_reference() noexcept { return reference_set; }

} // namespace ovir::learning
