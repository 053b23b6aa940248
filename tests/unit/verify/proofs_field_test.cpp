// The field of proofs, their transcript, and the sum-check alone.
#include "tests/support/model/kernel_inputs.hpp"
#include "verify/freivalds.hpp"
#include "verify/proofs/multilinear.hpp"
#include "verify/proofs/reed_solomon.hpp"
#include "verify/proofs/sum_check.hpp"

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace ovir::proofs {
namespace {

element some(test::kernel_random& random) { return {random.next() % prime, random.next() % prime}; }
std::vector<element> some(test::kernel_random& random, std::size_t count) {
  std::vector<element> all(count);
  for (element& e : all) {
    e = some(random);
  }
  return all;
}

TEST(proofs_field, reduces_as_the_remainder_of_a_division_does) {
  static_assert(prime == compute::field_prime);
  test::kernel_random random{1};
  std::printf("seed %llu\n", static_cast<unsigned long long>(random.seed()));
  const std::uint64_t edges[] = {0, 1, prime - 1, prime, prime + 1, 2 * prime, ~std::uint64_t{0}};
  for (const std::uint64_t high : edges) {
    for (const std::uint64_t low : edges) {
      const uint128 x = (uint128{high} << 60U | low) & ((uint128{1} << 124U) - 1);
      EXPECT_EQ(reduce(x), static_cast<std::uint64_t>(x % prime));
      const std::uint64_t negative = reduce_signed(-static_cast<int128>(x));
      EXPECT_EQ(base_add(negative, reduce(x)), 0U);
      EXPECT_LT(negative, prime);
    }
  }
  for (int i = 0; i < 10'000; ++i) {
    const uint128 x = (uint128{random.next()} << 64U | random.next()) >> 4U;
    ASSERT_EQ(reduce(x), static_cast<std::uint64_t>(x % prime));
  }
}

TEST(proofs_field, is_a_field) {
  test::kernel_random random{2};
  EXPECT_EQ((element{0, 1} * element{0, 1}), (element{prime - 1, 0}));
  for (int i = 0; i < 1'000; ++i) {
    const element a = some(random);
    const element b = some(random);
    const element c = some(random);
    ASSERT_EQ(a * b, b * a);
    ASSERT_EQ(a * (b + c), a * b + a * c);
    ASSERT_EQ((a * b) * c, a * (b * c));
    ASSERT_EQ((a - b) + b, a);
    ASSERT_EQ(a * inverse(a), one);
    ASSERT_EQ(times_base(a, b.re), a * element({b.re, 0}));
  }
  // x -> x^p is the conjugation, so that x^(p * p) = x.
  const element a = some(random);
  EXPECT_EQ(power(a, prime), (element{a.re, prime - a.im}));
}

TEST(proofs_field, has_roots_of_unity_of_each_order) {
  for (std::uint64_t order = 2; order <= std::uint64_t{1} << 61U; order *= 2) {
    const element root = root_of_unity(order);
    EXPECT_EQ(power(root, order / 2), (element{prime - 1, 0})) << order;
  }
}

TEST(proofs_transcript, gives_each_value_label_and_boundary_a_say) {
  const auto bytes = [](std::string_view text) { return std::as_bytes(std::span{text}); };
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  const auto draw = [&](auto&& absorb, std::string_view label = "c", std::size_t count = 1) {
    transcript script;
    absorb(script);
    const element e = script.challenges(label, count).front();
    seen.insert({e.re, e.im});
  };
  draw([](transcript&) {});
  draw([](transcript&) {}, "d");
  draw([](transcript&) {}, "c", 2);
  draw([](transcript& s) { (void)s.challenge("c"); });
  draw([&](transcript& s) { s.absorb("a", bytes("")); });
  draw([&](transcript& s) { s.absorb("a", bytes("x")); });
  draw([&](transcript& s) { s.absorb("b", bytes("x")); });
  draw([&](transcript& s) { s.absorb("a", bytes("xy")); });
  draw([&](transcript& s) { s.absorb("ax", bytes("y")); });
  draw([&](transcript& s) { s.absorb("a", bytes("x")), s.absorb("a", bytes("y")); });
  draw([&](transcript& s) { s.absorb("a", bytes("y")), s.absorb("a", bytes("x")); });
  EXPECT_EQ(seen.size(), 11U);
}

TEST(proofs_transcript, draws_numbers_over_their_whole_range) {
  transcript script;
  std::vector<int> hits(16);
  for (const std::uint32_t at : script.positions("columns", 1'600, 16)) {
    ASSERT_LT(at, 16U);
    ++hits[at];
  }
  for (const int h : hits) {
    EXPECT_GT(h, 50);
    EXPECT_LT(h, 160);
  }
  EXPECT_LT(script.challenge("c").im, prime);
}

TEST(proofs_multilinear, an_equality_table_picks_the_entry_of_its_index) {
  for (std::uint32_t index = 0; index < 8; ++index) {
    std::vector<element> point;
    for (std::uint32_t j = 0; j < 3; ++j) {
      point.push_back((index >> j & 1U) != 0 ? one : zero);
    }
    std::vector<element> picked(8, zero);
    picked[index] = one;
    EXPECT_EQ(equality_table(point), picked);
  }
  EXPECT_EQ(variables_of(1), 0U);
  EXPECT_EQ(variables_of(5), 3U);
  EXPECT_EQ(variables_of(8), 3U);
}

TEST(proofs_sum_check, leads_a_true_sum_to_a_true_value_and_a_false_one_to_a_false_one) {
  test::kernel_random random{3};
  std::vector<table_pair> pairs;
  element sum = zero;
  for (int k = 0; k < 3; ++k) {
    pairs.push_back({some(random, 32), some(random, 32)});
    sum = sum + inner_product(pairs.back().x, pairs.back().w);
  }
  const std::vector<table_pair> whole = pairs;
  transcript prover;
  const sum_check_result proven = prove_sum(pairs, prover);
  ASSERT_EQ(proven.rounds.size(), 5U);
  element value = zero;
  const std::vector<element> at = equality_table(proven.point);
  for (const table_pair& pair : whole) {
    value = value + inner_product(pair.x, at) * inner_product(pair.w, at);
  }
  transcript verifier;
  const sum_claim left = follow_sum(proven.rounds, sum, verifier);
  EXPECT_EQ(left.point, proven.point);
  EXPECT_EQ(left.value, value);
  transcript again;
  EXPECT_NE(follow_sum(proven.rounds, sum + one, again).value, value);
}

} // namespace
} // namespace ovir::proofs
