#include "apps/ovir/node/open_join.hpp"
#include "messages/limits/strangers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::apps {
namespace {

constexpr std::uint64_t asked_at = 1'000'000;

secret_key word_key(std::uint16_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = static_cast<std::byte>(value);
  seed[1] = static_cast<std::byte>(value >> 8U);
  return secret_key::from_seed(seed);
}

digest model_numbered(std::uint8_t n) {
  digest d;
  d.bytes.fill(n);
  return d;
}

actors::signed_update advert_of(std::uint16_t key, std::uint8_t model, role_set roles = {}) {
  actors::node_advert a;
  a.name = "n";
  a.address = "10.0.0.1:" + std::to_string(1'000 + key);
  a.roles = roles.add(role::worker);
  if (model > 0) {
    a.held.push_back({model_numbered(model), {0, 4}, 8});
  }
  return sign_advert(word_key(key), 5, std::move(a));
}

struct introductions : testing::Test {
  secret_key swarm = word_key(1);
  secret_key member = word_key(2);

  [[nodiscard]] std::vector<std::byte> token(const node_id& node, role_set roles,
                                             std::uint64_t until = asked_at + 60) const {
    std::array<std::byte, 16> nonce{};
    nonce[0] = std::byte{1};
    return to_bytes(issue_token(swarm, node, roles, until, nonce));
  }
};

TEST_F(introductions, of_a_member_with_leave_say_cluster_key_model_and_keeper) {
  introduction_words words;
  words.take_hello(member.id(), "swarm-1", token(member.id(), member_roles), true, asked_at);
  EXPECT_FALSE(words.enough()) << "no model yet";
  const std::vector<actors::signed_update> said{advert_of(2, 7), advert_of(3, 7), advert_of(4, 8)};
  words.take_adverts(said);
  ASSERT_TRUE(words.enough());
  const introduction told = words.taken();
  EXPECT_EQ(told.cluster, "swarm-1");
  EXPECT_EQ(told.swarm, swarm.id());
  EXPECT_EQ(told.model, model_numbered(7)) << "what most hold";
  EXPECT_EQ(told.keeper, member.id()) << "its own leave has the role";
}

TEST_F(introductions, of_a_member_without_leave_name_others_and_nothing_else) {
  for (int lie = 0; lie < 4; ++lie) {
    introduction_words words;
    const std::vector<std::byte> good = token(member.id(), member_roles);
    switch (lie) {
    case 0: words.take_hello(member.id(), "c", {}, false, asked_at); break;
    case 1: words.take_hello(member.id(), "c", good, false, asked_at); break;      // not bound
    case 2: words.take_hello(word_key(3).id(), "c", good, true, asked_at); break;  // another's
    default: words.take_hello(member.id(), "c", good, true, asked_at + 61); break; // over
    }
    const std::vector<actors::signed_update> said{advert_of(2, 7), advert_of(3, 7)};
    words.take_adverts(said);
    EXPECT_FALSE(words.enough()) << lie;
    EXPECT_FALSE(words.has_leave()) << lie;
    EXPECT_FALSE(words.others().empty()) << lie;
  }
}

TEST_F(introductions, take_no_word_with_a_false_signature_and_no_more_than_their_bound) {
  introduction_words words;
  words.take_hello(member.id(), "c", token(member.id(), {1}), true, asked_at);
  auto forged = advert_of(3, 7);
  std::get<actors::signed_advert>(forged).advert.address = "10.6.6.6:1";
  const std::vector<actors::signed_update> lie{forged};
  words.take_adverts(lie);
  EXPECT_TRUE(words.others().empty());
  std::vector<actors::signed_update> many;
  for (std::uint16_t n = 10; n < 10 + 2 * limits::introduction_adverts_max; ++n) {
    many.push_back(advert_of(n, 0));
  }
  words.take_adverts(many);
  EXPECT_EQ(words.others().size(), limits::introduction_adverts_max);
}

TEST_F(introductions, know_the_keeper_by_what_a_member_with_leave_tells) {
  introduction_words words;
  words.take_hello(member.id(), "c", token(member.id(), {1}), true, asked_at);
  const std::vector<actors::signed_update> said{advert_of(2, 7)};
  words.take_adverts(said);
  EXPECT_TRUE(words.enough());
  EXPECT_FALSE(words.complete());
  const std::vector<actors::signed_update> more{advert_of(5, 7, role_set{}.add(role::ledger))};
  words.take_adverts(more);
  ASSERT_TRUE(words.complete());
  EXPECT_EQ(words.taken().keeper, word_key(5).id());
}

TEST(address_lists, are_told_from_lines) {
  EXPECT_TRUE(is_address_list("swarm.example.org:7300"));
  EXPECT_TRUE(is_address_list("10.0.0.1:7300,[fd00::1]:7300"));
  EXPECT_FALSE(is_address_list("10.0.0.1:7300/ovir-swarm-abc"));
  EXPECT_FALSE(is_address_list("auto"));
}

} // namespace
} // namespace ovir::apps
