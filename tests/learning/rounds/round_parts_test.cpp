// The arithmetic below a round: shares, noise, integers, epsilon.
#include "learning/rounds/accountant.hpp"
#include "learning/rounds/discrete_gaussian.hpp"
#include "learning/rounds/fixed_point.hpp"
#include "learning/rounds/shamir.hpp"
#include "tests/learning/rounds/round_world.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <map>

namespace ovir::test {
namespace {

using namespace learning;
using ::testing::HasSubstr;

secret32 counted_secret() {
  secret32 out;
  for (std::size_t i = 0; i < 32; ++i) {
    out.bytes[i] = static_cast<std::byte>(0xff - 3 * i);
  }
  return out;
}

TEST(round_shares, products_and_sums_are_those_of_wide_integers) {
  keystream chance{counted_secret()};
  const std::vector<std::uint64_t> ends{0, 1, 2, share_prime - 1, share_prime / 2};
  for (int i = 0; i < 2'000; ++i) {
    const auto pick = [&] {
      return i % 2 == 0 ? chance.next() % share_prime : ends[chance.next() % ends.size()];
    };
    const std::uint64_t a = pick();
    const std::uint64_t b = pick();
    const auto wide = static_cast<uint128>(a) * b % share_prime;
    ASSERT_EQ(share_product(a, b), static_cast<std::uint64_t>(wide));
    ASSERT_EQ(share_sum(a, b), (a + b) % share_prime);
  }
}

TEST(round_shares, every_threshold_of_shares_rebuilds_and_fewer_give_something_else) {
  const secret32 secret = counted_secret();
  keystream chance{drawn_secret(seeded_source(3))};
  const std::vector<std::uint32_t> places{1, 2, 3, 5, 9, 200};
  for (std::uint32_t threshold = 1; threshold <= places.size(); ++threshold) {
    const auto shares = split(secret, threshold, places, chance);
    for (unsigned subset = 1; subset < 64; ++subset) {
      std::vector<secret_share> some;
      for (unsigned i = 0; i < 6; ++i) {
        if ((subset >> i & 1U) != 0) {
          some.push_back(shares[i]);
        }
      }
      const auto got = rebuilt(some);
      const bool right = got && *got == secret;
      EXPECT_EQ(right, some.size() >= threshold) << threshold << " " << subset;
    }
  }
}

TEST(round_shares, a_line_through_known_points_is_this_secret) {
  // f(x) = 7 + 5 x in each number: computed by hand.
  const std::vector<secret_share> shares{{2, {17, 17, 17, 17, 17}}, {4, {27, 27, 27, 27, 27}}};
  const auto secret = rebuilt(shares);
  ASSERT_TRUE(secret);
  for (std::size_t i = 0; i < 32; ++i) {
    EXPECT_EQ(secret->bytes[i], std::byte{static_cast<unsigned char>(i % 7 == 0 ? 7 : 0)});
  }
}

TEST(round_shares, shares_out_of_form_are_refused) {
  EXPECT_FALSE(rebuilt({}));
  EXPECT_FALSE(rebuilt(std::vector<secret_share>{{0, {1}}}));
  EXPECT_FALSE(rebuilt(std::vector<secret_share>{{1, {share_prime}}}));
  EXPECT_FALSE(rebuilt(std::vector<secret_share>{{1, {1}}, {1, {1}}}));
  EXPECT_FALSE(rebuilt(std::vector<secret_share>{{1, {share_prime - 1}}})); // no 56 bits
}

TEST(round_masks, both_ends_of_a_pair_derive_the_same_and_sealed_shares_open_for_them_alone) {
  const secret32 a = drawn_secret(seeded_source(1));
  const secret32 b = drawn_secret(seeded_source(2));
  const node_id from = seeded_key(1).id();
  const node_id to = seeded_key(2).id();
  const auto one = agreed("ovir/rounds-1/test", a, public_of(b), {}, from, to).value();
  EXPECT_EQ(one, agreed("ovir/rounds-1/test", b, public_of(a), {}, from, to).value());
  const auto back = agreed("ovir/rounds-1/test", a, public_of(b), {}, to, from).value();
  EXPECT_FALSE(one == back);
  EXPECT_FALSE(agreed("ovir/rounds-1/test", a, public_key{}, {}, from, to)); // of low order
  std::array<std::byte, share_bytes> text{};
  text[5] = std::byte{9};
  auto sealed = seal(one, text);
  EXPECT_EQ(unseal(one, sealed).value(), text);
  EXPECT_FALSE(unseal(back, sealed));
  sealed[80] ^= 1U;
  EXPECT_EQ(unseal(one, sealed).error().code, errc::digest_mismatch);
}

TEST(round_masks, the_stream_is_chacha20_of_the_published_vector) {
  // RFC 7539, A.1, vector 1: key, counter and nonce are zeros.
  keystream stream{secret32{}};
  EXPECT_EQ(stream.next(), 0x903df1a0ade0b876U);
  EXPECT_EQ(stream.next(), 0x28bd8653e56a5d40U);
  for (int i = 2; i < 8; ++i) {
    static_cast<void>(stream.next());
  }
  EXPECT_EQ(stream.next(), 0x7a385155bee7079fU); // vector 2: counter 1
}

/// Chi-square of counts against P(x) in proportion to exp(-x^2 / (2 variance)), bins of 40 at
/// least.
double chi_square(std::uint64_t variance, int draws, std::uint64_t seed, int& bins) {
  keystream chance{drawn_secret(seeded_source(seed))};
  std::map<std::int64_t, int> counts;
  for (int i = 0; i < draws; ++i) {
    ++counts[drawn_gaussian(variance, chance).value()];
  }
  const double v = static_cast<double>(variance);
  const auto most = static_cast<std::int64_t>(12 * std::sqrt(v)) + 2;
  double total = 0;
  for (std::int64_t x = -most; x <= most; ++x) {
    total += std::exp(-static_cast<double>(x * x) / (2 * v));
  }
  double sum = 0;
  double wanted = 0;
  int got = 0;
  bins = 0;
  for (std::int64_t x = -most; x <= most; ++x) {
    wanted += draws * std::exp(-static_cast<double>(x * x) / (2 * v)) / total;
    got += counts[x];
    if (wanted >= 40 || x == most) {
      sum += wanted > 0 ? (got - wanted) * (got - wanted) / wanted : 0;
      wanted = 0;
      got = 0;
      ++bins;
    }
  }
  return sum;
}

TEST(round_noise, samples_have_the_distribution_of_the_page) {
  for (const std::uint64_t variance : {1U, 2U, 9U, 144U}) {
    int bins = 0;
    const double found = chi_square(variance, 40'000, 100 + variance, bins);
    std::printf("seed %llu: chi-square %.1f of %d bins\n",
                static_cast<unsigned long long>(100 + variance), found, bins);
    // Mean bins - 1, variance 2 (bins - 1): five standard deviations.
    EXPECT_LT(found, bins + 5 * std::sqrt(2.0 * bins));
  }
}

TEST(round_noise, large_variances_are_met_and_the_exponential_coin_is_exact) {
  keystream chance{drawn_secret(seeded_source(9))};
  const std::uint64_t variance = std::uint64_t{1} << 40U;
  double squares = 0;
  double sum = 0;
  constexpr int draws = 20'000;
  for (int i = 0; i < draws; ++i) {
    const auto x = static_cast<double>(drawn_gaussian(variance, chance).value());
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(squares / draws / static_cast<double>(variance), 1, 5 * std::sqrt(2.0 / draws));
  EXPECT_NEAR(sum / draws / 0x1p20, 0, 5 / std::sqrt(draws));
  for (const auto& [above, below] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
           {0, 1}, {1, 3}, {1, 1}, {7, 3}, {std::uint64_t{1} << 60U, std::uint64_t{1} << 60U}}) {
    int heads = 0;
    for (int i = 0; i < draws; ++i) {
      heads += drawn_exp(above, below, chance) ? 1 : 0;
    }
    const double p = std::exp(-static_cast<double>(above) / static_cast<double>(below));
    EXPECT_NEAR(heads / static_cast<double>(draws), p, 5 * std::sqrt(0.25 / draws));
  }
}

TEST(round_integers, clipped_updates_keep_the_norm_exactly_and_round_towards_zero) {
  std::uint64_t state = 1;
  keystream chance{drawn_secret(seeded_source(state))};
  for (int i = 0; i < 300; ++i) {
    std::vector<float> update;
    const int exponent = static_cast<int>(chance.next() % 60) - 40;
    for (std::uint64_t k = 0; k < 1 + chance.next() % 50; ++k) {
      const auto x = static_cast<double>(static_cast<std::int64_t>(chance.next())) * 0x1p-63;
      update.push_back(static_cast<float>(std::ldexp(x, exponent)));
    }
    const auto clip = static_cast<std::uint32_t>(1 + chance.next() % limits::round_clip_units_max);
    const auto units = clipped_units(update, 20, clip).value();
    ASSERT_TRUE(within_norm(units, clip));
    for (std::size_t k = 0; k < units.size(); ++k) {
      const double plain = static_cast<double>(update[k]) * 0x1p20;
      ASSERT_LE(std::abs(static_cast<double>(units[k])), std::abs(plain));
      ASSERT_TRUE(units[k] == 0 || (units[k] > 0) == (update[k] > 0));
    }
  }
  EXPECT_EQ(clipped_units(std::vector<float>{3, -4}, 0, 5).value(),
            (std::vector<std::int64_t>{3, -4}));
  EXPECT_EQ(clipped_units(std::vector<float>{1.75F, -1.75F}, 0, 5).value(),
            (std::vector<std::int64_t>{1, -1}));
  const auto largest = std::numeric_limits<float>::max();
  EXPECT_TRUE(clipped_units(std::vector<float>(1'000, largest), 40, 1U << 20U));
  for (const float wrong : {std::numeric_limits<float>::infinity(), -INFINITY, NAN}) {
    EXPECT_EQ(clipped_units(std::vector<float>{1, wrong}, 20, 5).error().code, errc::nonfinite);
  }
  EXPECT_TRUE(within_norm(std::vector<std::int64_t>{3, -4}, 5));
  EXPECT_FALSE(within_norm(std::vector<std::int64_t>{3, -4, 1}, 5));
  EXPECT_FALSE(within_norm(std::vector<std::int64_t>{std::numeric_limits<std::int64_t>::min()}, 5));
}

TEST(round_integers, the_sum_of_the_largest_cohort_comes_back_and_nothing_larger_does) {
  const std::int64_t most = limits::round_value_max;
  for (const std::int64_t each : {most, -most}) {
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < limits::round_members_max; ++i) {
      sum += wrapped(std::vector<std::int64_t>{each})[0];
    }
    const std::vector<std::uint64_t> sums{sum};
    EXPECT_EQ(unwrapped(sums, limits::round_members_max).value()[0],
              each * limits::round_members_max);
    EXPECT_FALSE(unwrapped(sums, limits::round_members_max - 1));
  }
  EXPECT_FALSE(unwrapped(std::vector<std::uint64_t>{std::uint64_t{1} << 63U}, 256));
}

TEST(round_integers, the_mean_is_added_in_units_and_shapes_must_fit) {
  lora_numbers numbers(1);
  numbers[0][0] = {{1, 2}, {3}};
  ASSERT_TRUE(add_mean(numbers, std::vector<std::int64_t>{4, -4, 2}, 2, 1));
  EXPECT_EQ(numbers[0][0].a, (std::vector<float>{2, 1}));
  EXPECT_EQ(numbers[0][0].b, (std::vector<float>{3.5F}));
  EXPECT_FALSE(add_mean(numbers, std::vector<std::int64_t>{4, -4}, 2, 1));
  numbers[0][0].b[0] = std::numeric_limits<float>::infinity();
  const auto added = add_mean(numbers, std::vector<std::int64_t>{0, 0, 1}, 1, 0);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, errc::nonfinite);
}

TEST(round_epsilon, is_that_of_the_formulas_and_of_the_script) {
  // Many quanta of noise: tau is 0, and rho is clip^2 / (2 workers variance).
  const noise_share wide{3, 1'000'000, 5'000, 1'000};
  EXPECT_DOUBLE_EQ(rho_of(wide), 1e6 / (2 * 3e6));
  // Little noise: the sum is far from one discrete Gaussian, and every number costs.
  EXPECT_GT(rho_of({3, 1, 5'000, 1'000}), 1e6 / (2 * 3.0));
  double last = 0;
  for (const double rho : {0.0, 0.01, 0.1, 0.5, 1.0, 10.0}) {
    const double epsilon = epsilon_of(rho, 20);
    EXPECT_GE(epsilon, last);
    // Never worse than Bun and Steinke's simpler conversion, but for the steps of the grid.
    EXPECT_LE(epsilon, 1.001 * (rho + 2 * std::sqrt(rho * 20 * std::log(2.0))) + 1e-3);
    last = epsilon;
  }
  if (run_child({"/usr/bin/python3", "-c", ""}).exit_code != 0) {
    GTEST_SKIP() << "needs python3: scripts/setup test";
  }
  for (const noise_share& n : {wide, noise_share{2, 1, 10, 3}, noise_share{200, 7, 100'000, 50},
                               noise_share{5, 1'500'000, 65'536, 4'096}}) {
    for (const unsigned delta_bits : {10U, 20U, 40U}) {
      const auto said =
          run_child({"/usr/bin/python3", source_file("docs/proofs/round_epsilon.py").string(),
                     "--workers", std::to_string(n.workers), "--variance",
                     std::to_string(n.variance), "--numbers", std::to_string(n.numbers), "--clip",
                     std::to_string(n.clip_units), "--delta-bits", std::to_string(delta_bits)});
      ASSERT_EQ(said.exit_code, 0) << said.err;
      const double wanted = epsilon_of(rho_of(n), static_cast<std::uint8_t>(delta_bits));
      const std::size_t at = said.out.find("epsilon ");
      ASSERT_NE(at, std::string::npos) << said.out;
      EXPECT_NEAR(std::stod(said.out.substr(at + 8)) / wanted, 1, 1e-9) << said.out;
    }
  }
}

} // namespace
} // namespace ovir::test
