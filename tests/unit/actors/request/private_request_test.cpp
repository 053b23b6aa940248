// Which requests few nodes may see, and what they carry for it.
#include "actors/request/private_request.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using ::testing::HasSubstr;

node_id asker_key(std::uint8_t number) {
  node_id id;
  id.key.fill(number);
  return id;
}

privacy_settings settings_here(privacy_mode requests = privacy_mode::none) {
  return {requests, {asker_key(1), asker_key(2)}, 3, 2, hash("secret", {})};
}

generation_request private_order(privacy_mode privacy) {
  generation_request request;
  request.id = request_id{7};
  request.prompt = {1, 2};
  request.cache = {true, true, hash("owner", {})};
  request.privacy = privacy;
  return request;
}

TEST(private_request, nothing_changes_where_it_is_not_asked_for) {
  generation_request request = private_order(privacy_mode::none);
  ASSERT_TRUE(make_private(request, settings_here()));
  EXPECT_FALSE(request.ends);
  EXPECT_EQ(request.cache, private_order(privacy_mode::none).cache);
}

TEST(private_request, the_client_or_the_node_may_want_it_and_neither_weakens_the_other) {
  for (const auto& [client, node] : {std::pair{privacy_mode::ends, privacy_mode::none},
                                     std::pair{privacy_mode::none, privacy_mode::ends},
                                     std::pair{privacy_mode::ends, privacy_mode::ends}}) {
    generation_request request = private_order(client);
    ASSERT_TRUE(make_private(request, settings_here(node)));
    EXPECT_EQ(request.privacy, privacy_mode::ends);
    ASSERT_TRUE(request.ends);
    EXPECT_EQ(
        *request.ends,
        (ends_rule{
            {asker_key(1), asker_key(2)}, 3, 2, request_salt(hash("secret", {}), request.id)}));
  }
}

TEST(private_request, one_of_a_tier_finds_what_requests_of_the_tier_left_alone) {
  generation_request plain = private_order(privacy_mode::none);
  generation_request tiered = plain;
  tiered.tier = tier_demand{{asker_key(1)}, {{}, "eu", {}}};
  generation_request again = tiered;
  ASSERT_TRUE(make_private(plain, settings_here()));
  ASSERT_TRUE(make_private(tiered, settings_here()));
  ASSERT_TRUE(make_private(again, settings_here()));
  EXPECT_NE(tiered.cache.salt, plain.cache.salt);
  EXPECT_EQ(tiered.cache.salt, again.cache.salt);
  EXPECT_TRUE(tiered.cache.answers);
  tiered.tier->attestors.clear();
  EXPECT_FALSE(make_private(tiered, settings_here())) << "a tier that names no key";
}

TEST(private_request, caches_know_it_by_names_that_no_other_request_has) {
  generation_request one = private_order(privacy_mode::ends);
  generation_request other = one;
  other.id = request_id{8};
  other.cache.salt = {}; // for everybody: that is not to be
  ASSERT_TRUE(make_private(one, settings_here()));
  ASSERT_TRUE(make_private(other, settings_here()));
  EXPECT_NE(one.cache.salt, private_order(privacy_mode::ends).cache.salt);
  EXPECT_NE(other.cache.salt, digest{});
  EXPECT_NE(one.cache.salt, other.cache.salt);
  EXPECT_FALSE(one.cache.answers);
}

TEST(private_request, one_that_another_lead_began_keeps_its_rule) {
  generation_request request = private_order(privacy_mode::none);
  request.ends = ends_rule{{asker_key(5)}, 1, 1, hash("theirs", {})};
  const ends_rule theirs = *request.ends;
  ASSERT_TRUE(make_private(request, settings_here(privacy_mode::ends)));
  EXPECT_EQ(request.ends, theirs);
  EXPECT_EQ(request.privacy, privacy_mode::ends);
  EXPECT_EQ(request.cache.salt, names_salt(theirs.salt));
}

TEST(private_request, what_its_client_signed_for_the_ledger_would_say_what_is_asked) {
  generation_request request = private_order(privacy_mode::ends);
  request.payment = std::make_shared<const std::vector<std::byte>>();
  const auto made = make_private(request, settings_here());
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, errc::invalid_argument);
  EXPECT_THAT(made.error().message, HasSubstr("--pay"));
}

} // namespace
} // namespace ovir::actors
