// Every kernel of a device against the reference, bit for bit. OVIR_DEVICE_ROUNDS repeats the
// random ones (its default of 1 takes seconds), OVIR_SEED draws others.
#include "compute/base/exact_math.hpp"
#include "compute/devices/single_runs.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/model/transcript.hpp"
#include "compute/model/weight_bounds.hpp"
#include "messages/limits/devices.hpp"
#include "messages/limits/general.hpp"
#include "tests/devices/device_under_test.hpp"
#include "tests/support/model/kernel_inputs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace ovir::compute {

namespace {

using test::expect_same;
using test::filling;
using test::kernel_random;

int rounds() {
  const char* const wanted = std::getenv("OVIR_DEVICE_ROUNDS");
  return wanted == nullptr ? 1 : std::atoi(wanted);
}

class device_kernels : public testing::Test {
protected:
  void SetUp() override {
    OVIR_NEEDS_DEVICE();
    runs_.emplace(test::test_device());
    RecordProperty("seed", std::to_string(random.seed()));
  }
  single_runs& runs() { return *runs_; }

  kernel_random random{46};

private:
  std::optional<single_runs> runs_;
};

constexpr float infinity = std::numeric_limits<float>::infinity();

enum class numbers : std::uint8_t { normal, outliers, any, subnormal, zero, ends };

std::vector<float> make_numbers(kernel_random& random, std::size_t n, numbers how) {
  std::vector<float> v(n);
  for (float& x : v) {
    const float sign = random.below(2) == 0 ? 1.0F : -1.0F;
    switch (how) {
    case numbers::normal: x = random.in(-3, 3); break;
    case numbers::outliers: x = random.in(-1, 1) * (random.below(97) == 0 ? 80.0F : 1.0F); break;
    case numbers::any: x = random.any_finite(); break;
    case numbers::subnormal:
      x = std::bit_cast<float>(static_cast<std::uint32_t>(random.next()) & 0x807FFFFFU);
      break;
    case numbers::zero: x = sign * 0.0F; break;
    case numbers::ends:
      x = sign * (random.below(2) == 0 ? std::numeric_limits<float>::max() : 0x1p-149F);
      break;
    }
  }
  return v;
}

constexpr std::array all_numbers{numbers::normal,    numbers::outliers, numbers::any,
                                 numbers::subnormal, numbers::zero,     numbers::ends};

/// What the reference makes of rows, and of those with a NaN or infinity: zeros.
struct quantized_rows {
  quantized_batch batch;
  std::vector<std::uint32_t> failed;
};

quantized_rows reference_rows(const std::vector<float>& x, std::uint32_t rows,
                              activation_form form) {
  quantized_rows out;
  const auto cols = static_cast<std::uint32_t>(x.size() / rows);
  out.batch.reshape(form, rows, cols);
  const std::vector<float> zeros(cols);
  for (std::uint32_t r = 0; r < rows; ++r) {
    const bool ok = kernels_reference().quantize(&x[std::size_t{r} * cols], out.batch, r);
    out.failed.push_back(ok ? 0 : 1);
    if (!ok) {
      EXPECT_TRUE(kernels_reference().quantize(zeros.data(), out.batch, r));
    }
  }
  return out;
}

} // namespace

TEST_F(device_kernels, quantise_as_the_reference) {
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    for (const numbers how : all_numbers) {
      for (const std::uint32_t cols : {256U, 512U, 2816U, 8448U}) {
        const std::uint32_t rows = cols > 4096 ? 3 : 7;
        std::vector<float> x = make_numbers(random, std::size_t{rows} * cols, how);
        x[cols + random.below(cols)] = std::numeric_limits<float>::quiet_NaN();
        x[2 * cols + random.below(cols)] = random.below(2) == 0 ? infinity : -infinity;
        const auto got = runs().quantize(x, rows, form);
        ASSERT_TRUE(got) << got.error().message;
        quantized_rows wanted = reference_rows(x, rows, form);
        for (std::size_t j = 0; j < wanted.batch.sum.size(); ++j) {
          wanted.batch.sum[j] *= wanted.batch.m[j];
        }
        ASSERT_EQ(got->failed, wanted.failed);
        ASSERT_EQ(got->batch.u, wanted.batch.u);
        ASSERT_EQ(got->batch.k, wanted.batch.k);
        ASSERT_EQ(got->batch.m, wanted.batch.m);
        ASSERT_EQ(got->batch.q, wanted.batch.q);
        ASSERT_EQ(got->batch.sum, wanted.batch.sum);
      }
    }
  }
}

TEST_F(device_kernels, quantise_the_longest_row_there_can_be) {
  const std::uint32_t cols = limits::device_columns_max;
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    const std::vector<float> x = make_numbers(random, cols, numbers::outliers);
    const auto got = runs().quantize(x, 1, form);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->batch.q, reference_rows(x, 1, form).batch.q);
  }
}

TEST_F(device_kernels, leave_the_second_term_that_the_reference_leaves) {
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    for (const numbers how : {numbers::normal, numbers::outliers, numbers::subnormal}) {
      constexpr std::uint32_t rows = 3;
      constexpr std::uint32_t cols = 768;
      const std::vector<float> x = make_numbers(random, std::size_t{rows} * cols, how);
      const auto got = runs().remainder(x, rows, form);
      ASSERT_TRUE(got) << got.error().message;
      const quantized_rows first = reference_rows(x, rows, form);
      std::vector<float> wanted(x.size());
      for (std::uint32_t r = 0; r < rows; ++r) {
        kernels_reference().remainder(&x[std::size_t{r} * cols], first.batch, r,
                                      &wanted[std::size_t{r} * cols]);
      }
      expect_same(*got, wanted, "second terms");
    }
  }
}

TEST_F(device_kernels, multiply_every_quantised_type_as_the_reference) {
  struct shape {
    std::uint32_t rows, blocks, tokens;
  };
  for (int round = 0; round < rounds(); ++round) {
    for (const tensor_row& type : tensor_rows) {
      if (type.decode == nullptr) {
        continue;
      }
      const bool is_256 = type.layout.block_elements == 256;
      for (const shape& s :
           {shape{1, 1, 1}, shape{16, 2, 1}, shape{67, 9, 4}, shape{35, 5, 3}, shape{50, 11, 21}}) {
        for (const filling how : {filling::random, filling::largest, filling::zeros}) {
          const std::uint32_t cols = s.blocks * (is_256 ? 256 : 32);
          // The largest scale with which rows are not wide.
          std::uint16_t most = how == filling::largest ? (is_256 ? 0x27FF : 0x57FF) : 0x1C00;
          auto w = test::make_quantized(random, type.type, s.rows, cols, how, most);
          while (bounds_of_rows(w.view, 0, s.rows).wide) {
            most = static_cast<std::uint16_t>(most - 0x100);
            w = test::make_quantized(random, type.type, s.rows, cols, how, most);
          }
          const quantized_batch x =
              test::make_batch(random, form_for(type.type), s.tokens, cols, how);
          const auto got = runs().product(w.view, x);
          ASSERT_TRUE(got) << got.error().message;
          std::vector<float> wanted(std::size_t{s.tokens} * s.rows);
          kernels_reference().product(w.view, 0, s.rows, x, wanted.data(), s.rows, nullptr);
          expect_same(*got, wanted,
                      std::string{name_of(type.type)} + " " + std::to_string(s.rows) + " x " +
                          std::to_string(cols) + " by " + std::to_string(s.tokens));
          ASSERT_FALSE(HasFailure()) << "seed " << random.seed();
        }
      }
    }
  }
}

TEST_F(device_kernels, multiply_floats_as_the_reference) {
  for (const tensor_type type : {tensor_type::f16, tensor_type::bf16, tensor_type::f32}) {
    for (const std::uint32_t cols : {1U, 15U, 64U, 83U, 1000U}) {
      for (const std::uint32_t tokens : {1U, 3U, 8U, 11U}) {
        const auto w = test::make_floats(random, type, 37, cols);
        const std::vector<float> x =
            make_numbers(random, std::size_t{tokens} * cols, numbers::outliers);
        const auto got = runs().product(w.view, x, tokens);
        ASSERT_TRUE(got) << got.error().message;
        std::vector<float> wanted(std::size_t{tokens} * 37);
        kernels_reference().product_float(w.view, 0, 37, x.data(), cols, tokens, wanted.data(), 37);
        expect_same(*got, wanted, std::string{name_of(type)} + " " + std::to_string(cols));
        ASSERT_FALSE(HasFailure()) << "seed " << random.seed();
      }
    }
  }
}

TEST_F(device_kernels, norm_as_the_reference) {
  for (const numbers how : all_numbers) {
    for (const std::uint32_t n : {1U, 15U, 64U, 288U, 2048U, 5003U}) {
      const std::vector<float> x = make_numbers(random, 3 * std::size_t{n}, how);
      const std::vector<float> w = make_numbers(random, n, numbers::normal);
      const auto got = runs().rms_norm(x, w, 1e-5F);
      ASSERT_TRUE(got) << got.error().message;
      std::vector<float> wanted(x.size());
      for (std::size_t r = 0; r < 3; ++r) {
        kernels_reference().rms_norm(&x[r * n], w.data(), n, 1e-5F, &wanted[r * n]);
      }
      expect_same(*got, wanted, "norm of " + std::to_string(n));
    }
  }
}

TEST_F(device_kernels, rotate_as_the_reference) {
  struct shape {
    std::uint32_t heads, head_dim, pairs;
    rotary_pairs which;
  };
  for (const shape& s :
       {shape{5, 64, 32, rotary_pairs::neighbours}, shape{5, 64, 32, rotary_pairs::halves},
        shape{3, 128, 48, rotary_pairs::halves}, shape{1, 10, 5, rotary_pairs::neighbours}}) {
    std::vector<float> table;
    for (std::uint32_t p = 0; p < 600; ++p) {
      for (std::uint32_t i = 0; i < s.pairs; ++i) {
        const cos_sin c = exact_cos_sin(p * exact_pow(1e4, -(2.0 * i / (2.0 * s.pairs))));
        table.push_back(c.cos);
        table.push_back(c.sin);
      }
    }
    std::vector<position> places(11);
    std::generate(places.begin(), places.end(), [&] { return random.below(600); });
    const std::vector<float> x =
        make_numbers(random, places.size() * s.heads * s.head_dim, numbers::outliers);
    const auto got = runs().rotate(x, s.heads, s.head_dim, s.which, s.pairs, table, places);
    ASSERT_TRUE(got) << got.error().message;
    std::vector<float> wanted = x;
    for (std::size_t i = 0; i < places.size() * s.heads; ++i) {
      rotate(kernels_reference(), s.which, &wanted[i * s.head_dim],
             &table[std::size_t{places[i / s.heads]} * s.pairs * 2], s.pairs);
    }
    expect_same(*got, wanted, "rotation");
  }
}

TEST_F(device_kernels, gate_as_the_reference) {
  constexpr std::size_t n = 1U << 17U;
  for (const numbers how : {numbers::normal, numbers::any}) {
    std::vector<float> gate = make_numbers(random, n, how);
    std::for_each(gate.begin(), gate.end(), [](float& v) { v *= 8; });
    const std::array edges{std::numeric_limits<float>::quiet_NaN(),
                           infinity,
                           -infinity,
                           -0.0F,
                           104.0F,
                           -104.5F,
                           -88.8F,
                           88.8F,
                           0x1p-149F};
    std::copy(edges.begin(), edges.end(), gate.begin());
    const std::vector<float> up = make_numbers(random, n, numbers::normal);
    for (const gate_function function : {gate_function::silu, gate_function::gelu}) {
      const auto got = runs().gated(function, gate, up);
      ASSERT_TRUE(got) << got.error().message;
      std::vector<float> wanted(n);
      gated(kernels_reference(), function, gate.data(), up.data(), n, wanted.data());
      expect_same(*got, wanted, function == gate_function::silu ? "silu" : "gelu");
    }
  }
}

TEST_F(device_kernels, add_as_the_reference) {
  constexpr std::uint32_t rows = 9;
  constexpr std::size_t n = 1000;
  for (const numbers how : all_numbers) {
    std::vector<float> a = make_numbers(random, rows * n, how);
    const std::vector<float> b = make_numbers(random, rows * n, how);
    const auto got = runs().add(a, b, rows);
    ASSERT_TRUE(got) << got.error().message;
    std::vector<std::uint32_t> failed;
    for (std::size_t r = 0; r < rows; ++r) {
      failed.push_back(kernels_reference().add(&a[r * n], &b[r * n], n) ? 0 : 1);
    }
    expect_same(got->values, a, "sums");
    EXPECT_EQ(got->failed, failed);
  }
}

TEST_F(device_kernels, keep_k_and_v_as_the_reference) {
  constexpr std::uint32_t kv_heads = 2;
  constexpr std::uint32_t head_dim = 64;
  constexpr std::size_t n = kv_heads * head_dim;
  constexpr std::array<std::uint32_t, 3> pages{1, 0, 2};
  std::vector<position> places(70);
  for (std::uint32_t i = 0; i < places.size(); ++i) {
    places[i] = i;
  }
  std::vector<float> k = make_numbers(random, places.size() * n, numbers::any);
  std::vector<float> v = make_numbers(random, places.size() * n, numbers::normal);
  for (float& x : k) { // around the ties and the ends of fp16
    if (random.below(3) != 0) {
      const auto bits =
          static_cast<std::uint32_t>(random.next()) % (0x47800000U - 0x33000000U) + 0x33000000U;
      x = std::bit_cast<float>(random.below(2) == 0 ? bits : bits & 0xFFFFF000U);
    }
  }
  v[5] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::uint16_t> before(pages.size() * 2 * n * 32, 0x5555);
  const auto got = runs().store(k, v, kv_heads, head_dim, before, pages, places);
  ASSERT_TRUE(got) << got.error().message;
  std::vector<std::uint16_t> pool = before;
  std::vector<std::uint16_t> fresh;
  std::vector<std::uint32_t> failed;
  for (std::size_t r = 0; r < places.size(); ++r) {
    std::vector<std::uint16_t> halves(2 * n);
    const bool keys = kernels_reference().to_half(&k[r * n], n, halves.data());
    const bool values = kernels_reference().to_half(&v[r * n], n, halves.data() + n);
    failed.push_back(keys && values ? 0 : 1);
    for (std::size_t i = 0; i < 2 * n; ++i) {
      pool[((pages[r / 32] * 2 * kv_heads + i / head_dim) * 32 + r % 32) * head_dim +
           i % head_dim] = halves[i];
    }
    fresh.insert(fresh.end(), halves.begin(), halves.end());
  }
  EXPECT_EQ(got->pool, pool);
  EXPECT_EQ(got->fresh, fresh);
  EXPECT_EQ(got->failed, failed);
}

namespace {

struct attention_case {
  std::uint32_t heads, kv_heads, head_dim;
  std::vector<position> positions;
  std::uint32_t window;
  float cap;
  numbers how;
};

} // namespace

TEST_F(device_kernels, attend_as_the_reference) {
  const std::vector<attention_case> cases{
      {4, 4, 48, {0, 1, 5, 30, 31, 32, 33}, 0, 0, numbers::normal},
      {8, 2, 64, {254, 255, 256, 257, 511, 512, 700}, 0, 0, numbers::outliers},
      {8, 2, 64, {3, 99, 100, 101, 355, 356, 612, 700}, 100, 0, numbers::outliers},
      {4, 1, 128, {0, 17, 300, 1100}, 0, 30, numbers::outliers},
      {2, 1, 320, {0, 17, 300}, 256, 50, numbers::normal},
      {2, 2, 16, {0, 40, 300}, 0, 0, numbers::any},
  };
  for (const attention_case& c : cases) {
    const auto rows = static_cast<std::uint32_t>(c.positions.size());
    const position last = *std::max_element(c.positions.begin(), c.positions.end());
    std::vector<std::uint32_t> pages(last / 32 + 1);
    for (std::uint32_t i = 0; i < pages.size(); ++i) {
      pages[i] = (i + 3) % static_cast<std::uint32_t>(pages.size());
    }
    const std::size_t page = std::size_t{2} * c.kv_heads * 32 * c.head_dim;
    std::vector<std::uint16_t> pool(page * pages.size());
    std::generate(pool.begin(), pool.end(), [&] { return random.half(0x4400); });
    const std::vector<float> q =
        make_numbers(random, std::size_t{rows} * c.heads * c.head_dim, c.how);
    const float scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
    const auto got = runs().attend(
        {q, c.heads, c.kv_heads, c.head_dim, pool, pages, c.positions, c.window, scale, c.cap});
    ASSERT_TRUE(got) << got.error().message;
    std::vector<float> wanted(q.size());
    std::vector<float> scores(last + 1U);
    for (std::size_t i = 0; i < std::size_t{rows} * c.heads; ++i) {
      const position end = c.positions[i / c.heads];
      const std::size_t kv = i % c.heads / (c.heads / c.kv_heads);
      std::array<std::vector<std::uint16_t>, 2> flat;
      for (position p = 0; p <= end; ++p) {
        for (std::size_t which = 0; which < 2; ++which) {
          const auto* from =
              &pool[pages[p / 32] * page + ((which * c.kv_heads + kv) * 32 + p % 32) * c.head_dim];
          flat[which].insert(flat[which].end(), from, from + c.head_dim);
        }
      }
      kernels_reference().attend(
          {.query = &q[i * c.head_dim],
           .keys = flat[0].data(),
           .values = flat[1].data(),
           .stride = c.head_dim,
           .positions = end + 1,
           .first = c.window != 0 && end >= c.window ? end + 1 - c.window : 0,
           .head_dim = c.head_dim,
           .scale = scale,
           .cap = c.cap,
           .scores = scores.data(),
           .output = &wanted[i * c.head_dim]});
    }
    expect_same(*got, wanted, "attention of " + std::to_string(c.head_dim));
  }
}

TEST_F(device_kernels, choose_the_highest_logit_as_the_host) {
  constexpr std::uint32_t rows = 16;
  for (const std::uint32_t n : {1U, 5U, 256U, 4000U}) {
    std::vector<float> logits(std::size_t{rows} * n);
    std::vector<std::uint32_t> wanted;
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < n; ++i) {
        logits[r * n + i] = r % 4 == 0   ? random.any_finite()
                            : r % 4 == 1 ? (random.below(2) == 0 ? 0.0F : -0.0F)
                            : r % 4 == 2 ? static_cast<float>(random.below(3)) - 5
                                         : random.in(-3, 3);
      }
      wanted.push_back(static_cast<std::uint32_t>(
          std::max_element(&logits[r * n], &logits[r * n] + n) - &logits[r * n]));
    }
    const auto got = runs().highest(logits, rows);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(*got, wanted) << n;
  }
}

TEST_F(device_kernels, digest_boundaries_as_a_transcript_does) {
  for (const std::uint32_t dim : {8U, 32U, 64U, 252U, 288U, 1030U}) {
    constexpr std::uint32_t windows = 3;
    const std::size_t floats = std::size_t{dim} * limits::window_positions;
    const std::vector<float> rows = make_numbers(random, windows * floats, numbers::any);
    const auto got = runs().boundaries(rows, dim, 7, 5);
    ASSERT_TRUE(got) << got.error().message;
    unit_digests units{{7, 8}};
    units.skip_to(5);
    std::vector<unit_leaf> leaves;
    units.add(7, 5 * limits::window_positions, windows * limits::window_positions, rows, dim,
              leaves);
    ASSERT_EQ(got->size(), leaves.size());
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      EXPECT_EQ((*got)[i], leaves[i].boundary) << dim << " window " << i;
    }
  }
}

} // namespace ovir::compute
