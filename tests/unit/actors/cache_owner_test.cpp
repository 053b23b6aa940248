#include "actors/reuse/cache_owner.hpp"

#include <gtest/gtest.h>

#include <array>

namespace ovir::actors {
namespace {

digest secret_of(std::byte first) {
  const std::array<std::byte, 32> bytes{first};
  return cache_secret(bytes);
}

TEST(cache_owner, every_secret_and_owner_has_a_salt_of_its_own) {
  const digest here = secret_of(std::byte{1});
  const digest there = secret_of(std::byte{2});
  EXPECT_NE(here, there);
  EXPECT_NE(owner_salt(here, "ada"), owner_salt(here, "bob"));
  EXPECT_NE(owner_salt(here, "ada"), owner_salt(there, "ada"));
  EXPECT_EQ(owner_salt(here, "ada"), owner_salt(here, "ada"));
  EXPECT_NE(owner_salt(here, ""), digest{});
}

TEST(cache_owner, private_is_the_default_and_public_is_opted_into) {
  cache_policy policy{true, false, secret_of(std::byte{1})};
  const digest ada = owner_salt(policy.secret, "ada");
  const auto salt = [&](cache_choice choice) {
    return cache_use_of(policy, choice, "ada", true).salt;
  };
  EXPECT_EQ(salt(cache_choice::as_configured), ada);
  EXPECT_EQ(salt(cache_choice::owned), ada);
  EXPECT_EQ(salt(cache_choice::shared), digest{});
  policy.share = true;
  EXPECT_EQ(salt(cache_choice::as_configured), digest{});
  EXPECT_EQ(salt(cache_choice::owned), ada);
}

TEST(cache_owner, what_is_off_uses_nothing_and_chance_keeps_no_answers) {
  cache_policy policy{true, false, secret_of(std::byte{1})};
  EXPECT_EQ(cache_use_of(policy, cache_choice::off, "ada", true), cache_use{});
  EXPECT_TRUE(cache_use_of(policy, cache_choice::as_configured, "ada", false).prefixes);
  EXPECT_FALSE(cache_use_of(policy, cache_choice::as_configured, "ada", false).answers);
  EXPECT_TRUE(cache_use_of(policy, cache_choice::as_configured, "ada", true).answers);
  policy.enabled = false;
  EXPECT_EQ(cache_use_of(policy, cache_choice::shared, "ada", true), cache_use{});
}

TEST(cache_owner, choices_have_one_name_each) {
  EXPECT_EQ(cache_choice_from("default").value(), cache_choice::as_configured);
  EXPECT_EQ(cache_choice_from("off").value(), cache_choice::off);
  EXPECT_EQ(cache_choice_from("private").value(), cache_choice::owned);
  EXPECT_EQ(cache_choice_from("public").value(), cache_choice::shared);
  EXPECT_EQ(cache_choice_from("shared").error().code, errc::invalid_argument);
}

} // namespace
} // namespace ovir::actors
