// What a process need not verify again, and that nothing else passes for it.
#include "messages/evidence/evidence.hpp"
#include "messages/evidence/known_signatures.hpp"
#include "messages/limits/known.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string_view>

namespace ovir {
namespace {

secret_key key_number(std::uint8_t number) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(std::byte{number});
  return secret_key::from_seed(seed);
}

digest what(std::uint64_t number) {
  return hash("ovir/test/v1", std::as_bytes(std::span{&number, 1}));
}

constexpr std::array kinds{signed_as::order, signed_as::commitment, signed_as::statement,
                           signed_as::link, signed_as::closing};

TEST(known_signatures, are_those_made_here) {
  const secret_key key = key_number(1);
  known_signatures known;
  for (const signed_as kind : kinds) {
    const signature s = known.sign(kind, key, what(1));
    EXPECT_TRUE(verify(kind, key.id(), what(1), s));
    EXPECT_TRUE(known.holds(kind, key.id(), what(1), s));
  }
  EXPECT_EQ(known.verified(), 0U);
}

TEST(known_signatures, are_those_that_held_once) {
  const secret_key key = key_number(1);
  known_signatures known;
  const signature s = sign_statement(key, what(1));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(known.holds(signed_as::statement, key.id(), what(1), s));
    EXPECT_EQ(known.verified(), 1U);
  }
}

// Whoever knows the format and owns a valid key can send anything: another message under a
// signature that is known, a known one for another purpose, his own under a known name.
TEST(known_signatures, vouch_for_nothing_that_differs_in_a_bit) {
  const secret_key key = key_number(1);
  const secret_key stranger = key_number(2);
  known_signatures known;
  const signature s = known.sign(signed_as::statement, key, what(1));
  const signature of_stranger = known.sign(signed_as::statement, stranger, what(1));
  for (int round = 0; round < 2; ++round) { // what failed is not remembered
    for (const signed_as kind : kinds) {
      EXPECT_EQ(known.holds(kind, key.id(), what(1), s), kind == signed_as::statement);
    }
    EXPECT_FALSE(known.holds(signed_as::statement, stranger.id(), what(1), s));
    EXPECT_FALSE(known.holds(signed_as::statement, key.id(), what(1), of_stranger));
    EXPECT_FALSE(known.holds(signed_as::statement, key.id(), what(2), s));
    for (std::size_t bit = 0; bit < 8 * digest::size; bit += 5) {
      digest other = what(1);
      other.bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
      EXPECT_FALSE(known.holds(signed_as::statement, key.id(), other, s)) << bit;
      node_id by = key.id();
      by.key[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
      EXPECT_FALSE(known.holds(signed_as::statement, by, what(1), s)) << bit;
    }
    for (std::size_t bit = 0; bit < 8 * s.bytes.size(); bit += 7) {
      signature other = s;
      other.bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
      EXPECT_FALSE(known.holds(signed_as::statement, key.id(), what(1), other)) << bit;
    }
  }
}

TEST(known_signatures, are_forgotten_beyond_the_limit_and_then_verified_again) {
  const secret_key key = key_number(1);
  known_signatures known;
  const signature first = known.sign(signed_as::link, key, what(0));
  for (std::uint64_t i = 1; i <= 2 * limits::known_signatures_max + 1; ++i) {
    (void)known.sign(signed_as::link, key, what(i));
    ASSERT_LE(known.size(), 2 * limits::known_signatures_max);
  }
  EXPECT_TRUE(known.holds(signed_as::link, key.id(), what(0), first));
  EXPECT_EQ(known.verified(), 1U);
  const signature other = sign_link(key_number(2), what(0));
  EXPECT_FALSE(known.holds(signed_as::link, key.id(), what(0), other));
}

} // namespace
} // namespace ovir
