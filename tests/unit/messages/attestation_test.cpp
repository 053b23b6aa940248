// What attestors sign of nodes, what counts of it, and what a tier demands.
#include "messages/evidence/attestation.hpp"
#include "messages/hex.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

namespace ovir {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t attested_until = 2'000'000'000;

secret_key attesting_key(std::uint8_t number) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = std::byte{number};
  return secret_key::from_seed(seed);
}

/// Key 1 says of key 2.
attestation of_two(node_properties what, std::uint64_t expires = attested_until) {
  return attest(attesting_key(1), attesting_key(2).id(), std::move(what), expires);
}

tier_demand demand_of(node_properties what) { return {{attesting_key(1).id()}, std::move(what)}; }

TEST(attestation, comes_back_as_it_went_as_bytes_and_as_text) {
  for (const node_properties& what :
       {node_properties{"Example Ltd", "eu", "tdx"}, node_properties{{}, "eu", {}},
        node_properties{std::string(limits::attested_operator_bytes_max, 'o'),
                        std::string(limits::attested_region_bytes_max, 'r'),
                        std::string(limits::attested_level_bytes_max, 'l')}}) {
    const attestation made = of_two(what);
    EXPECT_TRUE(is_genuine(made));
    EXPECT_LE(to_bytes(made).size(), limits::attestation_bytes_max);
    EXPECT_EQ(attestation_from_bytes(to_bytes(made)).value(), made);
    EXPECT_EQ(attestation_from_text(to_text(made)).value(), made);
  }
}

TEST(attestation, with_a_flipped_bit_is_refused_or_not_genuine) {
  const std::vector<std::byte> bytes = to_bytes(of_two({"o", "eu", "yes"}));
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::vector<std::byte> other = bytes;
    other[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto back = attestation_from_bytes(other);
    if (back) {
      EXPECT_FALSE(is_genuine(*back)) << bit;
      EXPECT_EQ(to_bytes(*back), other) << bit;
    }
  }
}

TEST(attestation, cut_short_or_with_more_behind_it_is_none) {
  std::vector<std::byte> bytes = to_bytes(of_two({"o", "eu", "yes"}));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(attestation_from_bytes(std::span{bytes}.first(size))) << size;
  }
  bytes.push_back(std::byte{0});
  EXPECT_EQ(attestation_from_bytes(bytes).error().code, errc::malformed);
  bytes.resize(limits::attestation_bytes_max + 1);
  EXPECT_EQ(attestation_from_bytes(bytes).error().code, errc::over_limit);
  std::string text = to_text(of_two({"o", "eu", "yes"}));
  EXPECT_FALSE(attestation_from_text(text + "="));
  EXPECT_FALSE(attestation_from_text(text.substr(1)));
  EXPECT_FALSE(attestation_from_text(text + std::string(1'000'000, 'A')));
  text.back() = '*';
  EXPECT_FALSE(attestation_from_text(text));
}

TEST(attestation, by_anyone_else_or_under_another_domain_is_not_genuine) {
  attestation made = of_two({{}, "eu", {}});
  made.attestor = attesting_key(3).id();
  EXPECT_FALSE(is_genuine(made));
  made = of_two({{}, "eu", {}});
  const std::vector<std::byte> bytes = to_bytes(made);
  made.proof = attesting_key(1).sign("ovir/join-token/v1",
                                     std::span{bytes}.first(bytes.size() - node_id::size - 64));
  EXPECT_FALSE(is_genuine(made)) << "a signature for another purpose";
}

TEST(attestation, says_something_in_printable_words) {
  for (const node_properties& wrong :
       {node_properties{}, node_properties{{}, "e\nu", {}}, node_properties{{}, " eu", {}},
        node_properties{{}, "eu,us", {}}, node_properties{"\xc3\xa4", {}, {}}}) {
    attestation made = of_two({{}, "eu", {}});
    made.properties = wrong;
    EXPECT_EQ(attestation_from_bytes(to_bytes(made)).error().code, errc::malformed);
  }
}

TEST(attestation, lines_of_a_file_are_read_with_their_numbers) {
  const std::string one = to_text(of_two({{}, "eu", {}}));
  EXPECT_THAT(attestations_from_lines("# mine\n\n  " + one + " \r\n" + one, 2).value(), SizeIs(2));
  EXPECT_EQ(attestations_from_lines(one + "\n" + one, 1).error().code, errc::over_limit);
  EXPECT_THAT(attestations_from_lines(one + "\nnothing\n", 4).error().message, HasSubstr("line 2"));
}

TEST(tier, is_read_as_it_is_written) {
  const std::string key = to_hex(attesting_key(1).id());
  const tier_demand made =
      tier_from_text("attestor=" + key + ",region=eu,operator=Example Ltd,confidential").value();
  EXPECT_EQ(made, demand_of({"Example Ltd", "eu", "yes"}));
  EXPECT_EQ(tier_from_text(to_text(made)).value(), made);
  for (const std::string& wrong :
       {std::string{}, std::string{"region=eu"}, "attestor=" + key + ",attestor=" + key,
        std::string{"attestor=12"}, "attestor=" + key + ",region", "attestor=" + key + ",country=x",
        "attestor=" + key + ",region=eu,region=us", "attestor=" + key + ",",
        std::string(limits::tier_text_bytes_max + 1, 'a')}) {
    const auto read = tier_from_text(wrong);
    ASSERT_FALSE(read) << wrong;
    EXPECT_FALSE(read.error().message.empty());
  }
}

TEST(tier, counts_what_a_named_key_signed_of_the_node_and_has_not_ended) {
  const node_id two = attesting_key(2).id();
  const tier_demand eu = demand_of({{}, "eu", {}});
  const attestation good = of_two({{}, "eu", {}});
  const attestation of_three =
      attest(attesting_key(1), attesting_key(3).id(), {{}, "eu", {}}, attested_until);
  const attestation by_four = attest(attesting_key(4), two, {{}, "eu", {}}, attested_until);
  attestation forged = good;
  forged.properties.region = "us";
  const std::vector<attestation> shown{of_three, by_four, forged, good};
  EXPECT_EQ(counting(eu, two, shown, attested_until - 1, is_genuine), std::vector{good});
  EXPECT_THAT(counting(eu, two, shown, attested_until, is_genuine), IsEmpty()) << "it ended";
}

TEST(tier, names_the_first_property_that_a_node_lacks) {
  const std::vector<attestation> eu{of_two({"Example Ltd", "eu", {}})};
  EXPECT_EQ(lacking(demand_of({{}, "eu", {}}), eu), std::nullopt);
  EXPECT_EQ(lacking(demand_of({}), eu), std::nullopt) << "any attestation";
  EXPECT_EQ(lacking(demand_of({{}, "us", {}}), eu), "region us");
  EXPECT_EQ(lacking(demand_of({"Example Ltd", "eu", "yes"}), eu), "confidential yes");
  EXPECT_EQ(lacking(demand_of({}), {}), "attestation");
  const std::vector<attestation> both{of_two({{}, "eu", {}}), of_two({{}, {}, "tdx"})};
  EXPECT_EQ(lacking(demand_of({{}, "eu", "yes"}), both), std::nullopt) << "any level";
  EXPECT_EQ(lacking(demand_of({{}, "eu", "tdx"}), both), std::nullopt);
  EXPECT_EQ(lacking(demand_of({{}, "eu", "sev-snp"}), both), "confidential sev-snp");
  const std::vector<attestation> some{of_two({{}, {}, "yes"})};
  EXPECT_EQ(lacking(demand_of({{}, {}, "tdx"}), some), "confidential tdx")
      << "some level is not this one";
}

TEST(tier, of_two_nodes_is_what_both_have) {
  EXPECT_EQ(common({"a", "eu", "tdx"}, {"b", "eu", "sev-snp"}), (node_properties{{}, "eu", "yes"}));
  EXPECT_EQ(common({"a", "eu", "tdx"}, {"a", "us", {}}), (node_properties{"a", {}, {}}));
}

TEST(tier, has_names_of_its_own_in_caches) {
  const digest owner = hash("owner", {});
  const digest eu = names_salt(owner, demand_of({{}, "eu", {}}));
  EXPECT_NE(eu, owner);
  EXPECT_NE(eu, names_salt(owner, demand_of({{}, "us", {}})));
  EXPECT_NE(eu, names_salt({}, demand_of({{}, "eu", {}})));
}

} // namespace
} // namespace ovir
