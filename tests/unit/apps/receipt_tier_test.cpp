// The tier that a receipt shows: of its weakest node, by what it carries, whoever made it.
#include "apps/receipt_tier.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace ovir::apps {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// Long before the deadline of the maker's commitments.
constexpr std::uint64_t shown_at = 1'000'000'000;
constexpr std::uint64_t shown_until = shown_at + 1;

const test::receipt_maker& tier_cast() {
  static const test::receipt_maker made;
  return made;
}

secret_key receipt_attestor(std::uint8_t number = 77) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = std::byte{number};
  return secret_key::from_seed(seed);
}

attestation shown_of(std::size_t stage, node_properties what, std::uint64_t until = shown_until) {
  return attest(receipt_attestor(), tier_cast().id(stage), std::move(what), until);
}

receipt shown_receipt(std::vector<attestation> attested) {
  receipt r = tier_cast().honest();
  r.attested = std::move(attested);
  return r;
}

tier_demand shown_demand(node_properties what) {
  return {{receipt_attestor().id()}, std::move(what)};
}

TEST(receipt_tier, is_that_of_the_weakest_node) {
  const receipt r = shown_receipt({shown_of(0, {"a", "eu", "tdx"}), shown_of(1, {"b", "eu", "tdx"}),
                                   shown_of(2, {"a", "eu", "sev-snp"})});
  const auto tiers = tiers_of(r, shown_at);
  ASSERT_THAT(tiers, SizeIs(1));
  EXPECT_EQ(tiers[0].attestor, receipt_attestor().id());
  EXPECT_EQ(tiers[0].properties, (node_properties{{}, "eu", "yes"}));
  EXPECT_EQ(tiers[0].nodes, 3U);
  EXPECT_THAT(tiers_text(r, shown_at), HasSubstr("attests: region eu, confidential yes"));
  EXPECT_EQ(tiers_document(r, shown_at).size(), 1U);
  EXPECT_EQ(lacking_tier(r, shown_demand({{}, "eu", "yes"}), shown_at), std::nullopt);
  EXPECT_THAT(lacking_tier(r, shown_demand({{}, {}, "tdx"}), shown_at).value(),
              HasSubstr(to_hex(tier_cast().id(2)) + " is not shown to be attested confidential"));
}

TEST(receipt_tier, is_none_where_one_node_is_not_attested) {
  const receipt r = shown_receipt({shown_of(0, {{}, "eu", {}}), shown_of(1, {{}, "eu", {}})});
  EXPECT_THAT(tiers_of(r, shown_at), IsEmpty());
  EXPECT_THAT(tiers_text(r, shown_at), HasSubstr("none"));
  EXPECT_THAT(lacking_tier(r, shown_demand({{}, "eu", {}}), shown_at).value(),
              HasSubstr(to_hex(tier_cast().id(2))));
  EXPECT_EQ(tiers_text(tier_cast().honest(), shown_at), "") << "no tier was demanded";
  EXPECT_TRUE(lacking_tier(tier_cast().honest(), shown_demand({}), shown_at));
}

// What a lead that lies can put into a receipt: nothing else signs the attestations.
TEST(receipt_tier, a_forged_a_foreign_and_an_expired_attestation_count_for_nothing) {
  const attestation zero = shown_of(0, {{}, "eu", {}});
  const attestation one = shown_of(1, {{}, "eu", {}});
  const attestation good = shown_of(2, {{}, "eu", {}});
  attestation forged = shown_of(2, {{}, "us", {}});
  forged.properties.region = "eu";
  attestation renamed = shown_of(tier_cast().lead, {{}, "eu", {}});
  renamed.node = tier_cast().id(2);
  const attestation foreign =
      attest(receipt_attestor(78), tier_cast().id(2), {{}, "eu", {}}, shown_until);
  const attestation expired = shown_of(2, {{}, "eu", {}}, shown_at);
  const tier_demand eu = shown_demand({{}, "eu", {}});
  EXPECT_EQ(lacking_tier(shown_receipt({zero, one, good}), eu, shown_at), std::nullopt);
  for (const attestation& wrong : {forged, renamed, foreign, expired}) {
    const receipt r = shown_receipt({zero, one, wrong});
    EXPECT_TRUE(lacking_tier(r, eu, shown_at));
    EXPECT_THAT(tiers_of(r, shown_at), IsEmpty());
  }
}

TEST(receipt_tier, what_ended_since_counts_where_the_request_was_over_by_then) {
  receipt r = shown_receipt(
      {shown_of(0, {{}, "eu", {}}), shown_of(1, {{}, "eu", {}}), shown_of(2, {{}, "eu", {}})});
  const tier_demand eu = shown_demand({{}, "eu", {}});
  EXPECT_TRUE(lacking_tier(r, eu, shown_until)) << "its stages promise an end after that";
  for (stage_records& stage : r.stages) {
    for (commitment& c : stage.commitments) {
      c.deadline_unix = shown_at;
    }
  }
  EXPECT_EQ(lacking_tier(r, eu, 100 * shown_until), std::nullopt);
}

} // namespace
} // namespace ovir::apps
