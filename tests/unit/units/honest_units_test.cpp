// Units of random models: what builds and kernel sets are compared by.
#include "tests/units/honest_units.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ovir::units {
namespace {

const compute::kernel_set& fastest() { return **compute::select_kernels({}); }

seed_outcome units_of(const seed_order& order, const compute::kernel_set& kernels = fastest()) {
  auto done = compute_units(order, kernels);
  EXPECT_TRUE(done) << done.error().message;
  return done ? std::move(*done) : seed_outcome{};
}

seed_order short_order(std::uint64_t seed) { return {.seed = seed, .prompts = 3}; }

TEST(honest_units, are_the_same_with_the_reference) {
  const seed_outcome one = units_of(short_order(5));
  const seed_outcome other = units_of(short_order(5), compute::kernels_reference());
  EXPECT_EQ(one.value, other.value);
  ASSERT_EQ(one.units.size(), other.units.size());
  for (std::size_t i = 0; i < one.units.size(); ++i) {
    EXPECT_EQ(one.units[i].boundary, other.units[i].boundary) << i;
    EXPECT_EQ(one.units[i].kv, other.units[i].kv) << i;
  }
}

TEST(honest_units, are_others_with_another_seed) {
  EXPECT_EQ(units_of(short_order(1)).value, units_of(short_order(1)).value);
  EXPECT_NE(units_of(short_order(1)).value, units_of(short_order(2)).value);
}

TEST(honest_units, are_computed_again_from_what_is_stated_of_their_inputs) {
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
    seed_order order = short_order(seed);
    order.also_windows = true;
    const seed_outcome done = units_of(order);
    EXPECT_EQ(done.value, units_of(short_order(seed)).value);
    EXPECT_EQ(done.again, done.units.size());
    EXPECT_EQ(done.mismatches, std::vector<std::string>{});
  }
}

TEST(honest_units, show_one_wrong_bit_in_one_unit) {
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
    seed_order order = short_order(seed);
    const seed_outcome right = units_of(order);
    order.also_windows = true;
    order.plant = true;
    const seed_outcome wrong = units_of(order);
    EXPECT_NE(wrong.value, right.value);
    ASSERT_EQ(wrong.units.size(), right.units.size());
    std::vector<std::string> other;
    for (std::size_t i = 0; i < wrong.units.size(); ++i) {
      const auto& [prompt, unit, positions, boundary, kv] = wrong.units[i];
      if (kv != right.units[i].kv || boundary != right.units[i].boundary) {
        other.push_back(fmt::format("seed {}, prompt {}, window {}, layer {}", seed, prompt,
                                    unit.window, unit.layer));
      }
    }
    EXPECT_EQ(other.size(), 1);
    EXPECT_EQ(wrong.mismatches, other);
  }
}

} // namespace
} // namespace ovir::units
