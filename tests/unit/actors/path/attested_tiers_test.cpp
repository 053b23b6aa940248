// Which holders a request that demands a tier may have, and what it is told where there are none.
#include "actors/path/attested_tiers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace ovir::actors {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t tier_ends_at = 2'000'000'000;

secret_key tier_key(std::uint8_t number) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = std::byte{number};
  return secret_key::from_seed(seed);
}

tier_demand tier_wanted(node_properties what) { return {{tier_key(1).id()}, std::move(what)}; }

attestation tier_said(node_properties what) {
  return attest(tier_key(1), tier_key(2).id(), std::move(what), tier_ends_at);
}

attested_holder tier_holder(layer_range held, std::vector<node_properties> all = {}) {
  attested_holder holder{held, {}};
  for (node_properties& one : all) {
    holder.attested.push_back(tier_said(std::move(one)));
  }
  return holder;
}

TEST(attested_tiers, verifies_a_signature_once_and_a_false_one_each_time) {
  attested_tiers tiers;
  member m;
  m.node = tier_key(2).id();
  m.advert.attested = {tier_said({{}, "eu", {}})};
  const tier_demand eu = tier_wanted({{}, "eu", {}});
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(tiers.has(eu, m, tier_ends_at - 1));
  }
  EXPECT_EQ(tiers.verified(), 1U);
  EXPECT_FALSE(tiers.has(eu, m, tier_ends_at)) << "what ends counts no longer, known or not";
  m.advert.attested[0].proof.bytes[5] ^= 1;
  EXPECT_FALSE(tiers.has(eu, m, tier_ends_at - 1));
  EXPECT_FALSE(tiers.has(eu, m, tier_ends_at - 1));
  EXPECT_EQ(tiers.verified(), 3U);
  m.advert.attested = {attest(tier_key(7), m.node, {{}, "eu", {}}, tier_ends_at)};
  EXPECT_FALSE(tiers.has(eu, m, tier_ends_at - 1));
  EXPECT_EQ(tiers.verified(), 3U) << "an attestor that is not named costs nothing";
}

TEST(attested_tiers, layers_that_nodes_of_the_tier_hold_are_not_in_the_way) {
  const std::array held{tier_holder({0, 4}, {{{}, "eu", {}}}),
                        tier_holder({2, 8}, {{{}, "eu", {}}}), tier_holder({0, 8})};
  EXPECT_FALSE(no_tier(tier_wanted({{}, "eu", {}}), "m", held, 8));
  EXPECT_FALSE(no_tier(tier_wanted({{}, "eu", {}}), "m", std::span{held}.first(1), 8))
      << "layers without a holder are told of otherwise";
}

TEST(attested_tiers, the_error_names_the_layers_and_what_no_holder_is_attested) {
  const std::array held{tier_holder({0, 3}, {{{}, "eu", "yes"}}),
                        tier_holder({3, 8}, {{{}, "eu", {}}}),
                        tier_holder({7, 8}, {{{}, {}, "yes"}})};
  const auto sealed = no_tier(tier_wanted({{}, "eu", "yes"}), "m", held, 8);
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->code, errc::segment_missing);
  EXPECT_THAT(sealed->message, HasSubstr("of m, no node that holds layers 3-6 is attested "
                                         "confidential yes by a key"));
  const auto last = no_tier(tier_wanted({{}, "eu", "yes"}), "m", std::span{held}.subspan(1), 8);
  ASSERT_TRUE(last);
  EXPECT_THAT(last->message, HasSubstr("layers 3-6 is"));
  const auto other = no_tier(tier_wanted({"Example Ltd", {}, {}}), "m", held, 8);
  ASSERT_TRUE(other);
  EXPECT_THAT(other->message, HasSubstr("layers 0-7 is attested operator Example Ltd by"));
  const auto both = no_tier(tier_wanted({{}, "eu", "yes"}), "m", std::span{held}.subspan(2), 8);
  ASSERT_TRUE(both);
  EXPECT_THAT(both->message, HasSubstr("layers 7 is attested region eu by"));
}

TEST(attested_tiers, where_each_property_has_its_holder_all_are_named) {
  const std::array held{tier_holder({0, 2}, {{{}, "eu", {}}}),
                        tier_holder({0, 2}, {{{}, {}, "yes"}})};
  const auto why = no_tier(tier_wanted({{}, "eu", "yes"}), "m", held, 2);
  ASSERT_TRUE(why);
  EXPECT_THAT(why->message, HasSubstr("layers 0-1 is attested region eu, confidential yes by"));
}

} // namespace
} // namespace ovir::actors
