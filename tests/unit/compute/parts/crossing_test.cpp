// What members send each other: every value comes back, and nothing else is taken.
#include "compute/parts/crossing.hpp"
#include "tests/support/model/kernel_inputs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <vector>

namespace ovir::compute {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto attention = layer_block::attention;
constexpr auto feed_forward = layer_block::feed_forward;

template <class T>
void put(std::vector<std::byte>& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

TEST(crossing, joins_maxima_and_states_over_members) {
  joined_rows joined;
  joined.clear(3);
  using enum row_state;
  const std::vector<row_state> first{good, bad_activation, good};
  const std::vector<row_state> second{good, bad_key_or_value, bad_activation};
  ASSERT_TRUE(join_maxima(encode_maxima(std::vector<float>{1, 0, 5}, first), attention, joined));
  ASSERT_TRUE(join_maxima(encode_maxima(std::vector<float>{2, 0, 4}, second), attention, joined));
  EXPECT_THAT(joined.most, ElementsAre(2, 0, 5));
  EXPECT_THAT(joined.states, ElementsAre(good, bad_key_or_value, bad_activation));
  // A key comes first, whichever member is.
  joined.clear(3);
  ASSERT_TRUE(join_maxima(encode_maxima(std::vector<float>{2, 0, 4}, second), attention, joined));
  ASSERT_TRUE(join_maxima(encode_maxima(std::vector<float>{1, 0, 5}, first), attention, joined));
  EXPECT_THAT(joined.states, ElementsAre(good, bad_key_or_value, bad_activation));
}

TEST(crossing, refuses_maxima_that_are_none) {
  joined_rows joined;
  joined.clear(2);
  const std::vector<row_state> good(2, row_state::good);
  const auto bytes = encode_maxima(std::vector<float>{1, 2}, good);
  for (const float bad : {-1.0F, -0.0F, std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    auto changed = bytes;
    put(changed, 4, bad);
    EXPECT_EQ(join_maxima(changed, attention, joined).error().code, errc::malformed) << bad;
  }
  auto state = bytes;
  state[9] = std::byte{3};
  EXPECT_EQ(join_maxima(state, attention, joined).error().code, errc::malformed);
  state[9] = std::byte{1};
  EXPECT_TRUE(join_maxima(state, attention, joined));
  EXPECT_EQ(join_maxima(state, feed_forward, joined).error().code, errc::malformed)
      << "a feed-forward block has no keys";
  auto shorter = bytes;
  shorter.pop_back();
  EXPECT_THAT(join_maxima(shorter, attention, joined).error().message, HasSubstr("9 bytes"));
}

TEST(crossing, takes_floats_with_any_bits_and_of_the_right_size_alone) {
  const std::vector<float> values{1, -0.0F, 3, std::numeric_limits<float>::infinity(), 5, 6, 7, 8};
  std::vector<std::byte> bytes;
  append_floats(values.data(), 2, 3, 4, bytes); // the fourth of each row is left out
  ASSERT_EQ(bytes.size(), 24U);
  std::vector<float> to(10, 9);
  ASSERT_TRUE(read_floats(bytes, 2, 3, 5, to.data() + 1));
  EXPECT_THAT(to, ElementsAre(9, 1, -0.0F, 3, 9, 9, 5, 6, 7, 9));
  EXPECT_TRUE(std::signbit(to[2]));
  bytes.push_back({});
  EXPECT_EQ(read_floats(bytes, 2, 3, 5, to.data()).error().code, errc::malformed);
  EXPECT_TRUE(read_floats({}, 2, 0, 5, to.data())) << "a member may have nothing";
}

TEST(crossing, brings_quantised_activations_to_their_columns) {
  test::kernel_random random{453};
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    const auto x = test::make_batch(random, form, 3, 1024, test::filling::random);
    quantized_batch to;
    to.reshape(form, 3, 1536);
    ASSERT_TRUE(read_quantised(encode_quantised(x, 768), {512, 1280}, to));
    for (std::size_t t = 0; t < 3; ++t) {
      EXPECT_EQ(std::memcmp(to.q_row(t) + 512, x.q_row(t), 768), 0);
      const std::size_t scale = to.scale_block();
      EXPECT_TRUE(std::equal(x.k_row(t), x.k_row(t) + 768 / scale, to.k_row(t) + 512 / scale));
      EXPECT_TRUE(std::equal(x.m_row(t), x.m_row(t) + 24, to.m_row(t) + 16));
      EXPECT_TRUE(std::equal(x.sum_row(t), x.sum_row(t) + 24, to.sum_row(t) + 16));
    }
  }
}

TEST(crossing, refuses_quantised_activations_beyond_their_ranges) {
  test::kernel_random random{454};
  const auto x = test::make_batch(random, activation_form::a256, 2, 256, test::filling::random);
  const auto bytes = encode_quantised(x, 256);
  ASSERT_EQ(bytes.size(), 2U * (256 + 2 + 8));
  quantized_batch to;
  to.reshape(activation_form::a256, 2, 256);
  const auto expect_refused = [&](std::size_t at, auto value) {
    auto changed = bytes;
    put(changed, at, value);
    const auto read = read_quantised(changed, {0, 256}, to);
    ASSERT_FALSE(read) << at;
    EXPECT_EQ(read.error().code, errc::malformed);
  };
  expect_refused(511, std::int8_t{-128});
  expect_refused(512, std::uint16_t{0});
  expect_refused(514, std::uint16_t{4096});
  expect_refused(516, std::uint8_t{0});
  expect_refused(531, std::uint8_t{64});
  EXPECT_FALSE(read_quantised(std::span{bytes}.first(531), {0, 256}, to));
  EXPECT_TRUE(read_quantised(bytes, {0, 256}, to));
}

TEST(crossing, sends_sums_in_the_fewest_bytes_that_hold_all) {
  struct sized {
    std::vector<std::int64_t> sums;
    std::size_t bytes;
  };
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
  for (const sized& one : {sized{{0, 127, -128}, 1},
                           {{128}, 2},
                           {{-129}, 2},
                           {{(std::int64_t{1} << 47U) - 1, 3}, 6},
                           {{std::int64_t{1} << 47U}, 7},
                           {{least, -1, std::numeric_limits<std::int64_t>::max()}, 8}}) {
    const auto bytes = encode_sums(one.sums);
    EXPECT_EQ(bytes.size(), 1 + one.sums.size() * one.bytes);
    std::vector<int128> totals(one.sums.size(), 10);
    ASSERT_TRUE(add_sums(bytes, totals));
    for (std::size_t i = 0; i < totals.size(); ++i) {
      EXPECT_EQ(totals[i], int128{one.sums[i]} + 10);
    }
  }
}

TEST(crossing, takes_sums_in_one_encoding_alone) {
  std::vector<int128> totals(2);
  const auto two = std::vector<std::byte>{std::byte{2}, std::byte{1}, {}, std::byte{2}, {}};
  EXPECT_EQ(add_sums(two, totals).error().code, errc::malformed) << "a byte each would do";
  EXPECT_FALSE(add_sums({}, totals));
  auto zero = encode_sums(std::vector<std::int64_t>{1, 2});
  zero[0] = std::byte{0};
  EXPECT_FALSE(add_sums(zero, totals));
  zero[0] = std::byte{9};
  EXPECT_FALSE(add_sums(zero, totals));
  EXPECT_FALSE(add_sums(encode_sums(std::vector<std::int64_t>{1, 2, 3}), totals));
}

} // namespace
} // namespace ovir::compute
