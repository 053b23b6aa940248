// Every kernel set of learn-1 gives the bits of its reference.
#include "learning/kernels/choose.hpp"
#include "tests/learning/learn_cases.hpp"
#include "tests/support/model/kernel_inputs.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace ovir::learning {
namespace {

using test::kernel_random;

/// Runs `f(kernels, length)` on the reference and on every other set, and compares what it returns.
void compare(const std::vector<std::uint32_t>& lengths,
             const std::function<std::vector<float>(const learn_kernels&, std::uint32_t)>& f) {
  for (const std::uint32_t n : lengths) {
    const std::vector<float> wanted = f(kernels_reference(), n);
    for (const compute::kernel_set* set : test::all_kernels()) {
      test::expect_same(f(kernels_for(set->id), n), wanted,
                        std::string{set->name} + " of " + std::to_string(n));
    }
  }
}

std::vector<std::uint32_t> lengths() {
  std::vector<std::uint32_t> all;
  for (std::uint32_t n = 1; n <= 70; ++n) {
    all.push_back(n);
  }
  for (const std::uint32_t n : {255U, 256U, 257U, 511U, 700U, 1040U}) {
    all.push_back(n);
  }
  return all;
}

/// Of moderate and of any exponents.
std::vector<float> inputs(kernel_random& random, std::uint32_t n, bool any) {
  std::vector<float> x = random.floats(n, 3.0F);
  for (std::uint32_t i = 0; any && i < n; i += 3) {
    x[i] = random.any_finite();
  }
  return x;
}

TEST(learn_kernels, add_chunks_of_every_shape) {
  for (const bool any : {false, true}) {
    for (const std::uint32_t rows : {1U, 2U, 5U, 6U, 7U, 8U, 9U, 17U, 31U}) {
      for (const std::uint32_t terms : {1U, 3U, 31U, 256U}) {
        compare({1, 3, 8, 15, 16, 17, 31, 32, 33, 47, 48, 63, 100},
                [&](const learn_kernels& kernels, std::uint32_t cols) {
                  kernel_random random{rows * 1000 + terms + cols};
                  const std::vector<float> a = inputs(random, rows * terms, any);
                  const std::vector<float> b = inputs(random, terms * cols, any);
                  std::vector<float> out = random.floats(rows * cols, 1.0F);
                  kernels.add_chunk(
                      {a.data(), terms, 1, b.data(), cols, out.data(), cols, rows, terms, cols});
                  // The same matrix, read by columns.
                  std::vector<float> more(rows * cols);
                  kernels.add_chunk(
                      {a.data(), 1, rows, b.data(), cols, more.data(), cols, rows, terms, cols});
                  out.insert(out.end(), more.begin(), more.end());
                  return out;
                });
      }
    }
  }
}

TEST(learn_kernels, add_scaled_rows) {
  compare(lengths(), [](const learn_kernels& kernels, std::uint32_t n) {
    kernel_random random{n};
    std::vector<float> y = inputs(random, n, true);
    kernels.add_scaled(y.data(), inputs(random, n, true).data(), 0.7F, n);
    return y;
  });
}

TEST(learn_kernels, make_softmaxes_and_leave_masked_scores_out) {
  compare(lengths(), [](const learn_kernels& kernels, std::uint32_t n) {
    kernel_random random{n};
    std::vector<float> x = random.floats(n, 40.0F);
    for (std::uint32_t i = 1; i < n; i += 5) {
      x[i] = -std::numeric_limits<float>::infinity();
    }
    const softmax_sums sums = kernels.softmax(x.data(), n, 0.3F);
    for (std::uint32_t i = 1; i < n; i += 5) {
      EXPECT_EQ(x[i], 0.0F);
    }
    x.push_back(sums.most);
    x.push_back(sums.total);
    return x;
  });
}

TEST(learn_kernels, go_back_through_softmax_norm_and_gate) {
  compare(lengths(), [](const learn_kernels& kernels, std::uint32_t n) {
    kernel_random random{n};
    const std::vector<float> p = random.floats(n, 1.0F);
    const std::vector<float> w = random.floats(n, 2.0F);
    const std::vector<float> d = inputs(random, n, false);
    std::vector<float> all = d;
    kernels.softmax_back(p.data(), all.data(), n, 0.3F);
    std::vector<float> out(n);
    kernels.norm_back(p.data(), w.data(), d.data(), n, 1e-5F, out.data());
    all.insert(all.end(), out.begin(), out.end());
    std::vector<float> up(n);
    std::vector<float> gate = random.floats(n, 90.0F);
    kernels.gate_back(gate.data(), w.data(), d.data(), n, out.data(), up.data());
    all.insert(all.end(), out.begin(), out.end());
    all.insert(all.end(), up.begin(), up.end());
    return all;
  });
}

TEST(learn_kernels, may_write_over_what_they_read) {
  for (const compute::kernel_set* set : test::all_kernels()) {
    const learn_kernels& kernels = kernels_for(set->id);
    kernel_random random{48};
    const std::vector<float> gate = random.floats(37, 4.0F);
    const std::vector<float> up = random.floats(37, 4.0F);
    const std::vector<float> d = random.floats(37, 4.0F);
    std::vector<float> d_gate(37);
    std::vector<float> d_up(37);
    kernels.gate_back(gate.data(), up.data(), d.data(), 37, d_gate.data(), d_up.data());
    std::vector<float> in_place = d;
    std::vector<float> other(37);
    kernels.gate_back(gate.data(), up.data(), in_place.data(), 37, in_place.data(), other.data());
    test::expect_same(in_place, d_gate, "gate");
    test::expect_same(other, d_up, "up");
    kernels.norm_back(gate.data(), up.data(), d.data(), 37, 1e-5F, d_gate.data());
    in_place = d;
    kernels.norm_back(gate.data(), up.data(), in_place.data(), 37, 1e-5F, in_place.data());
    test::expect_same(in_place, d_gate, "norm");
  }
}

} // namespace
} // namespace ovir::learning
