#include "apps/key_file.hpp"
#include "storage/env/memory_env.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::apps {
namespace {

using storage::memory_env;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

const std::string rfc_8032_test_1 =
    "ovir-key-v1 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n";

/// A file only its owner may read.
void given_secret(memory_env& env, const std::string& path, const std::string& text) {
  env.add_file(path, text);
  env.make_private(path);
}

TEST(key_file, is_one_line_with_the_seed) {
  memory_env env;
  given_secret(env, "k", rfc_8032_test_1);
  EXPECT_EQ(to_hex(load_key(env, "k").value().id()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
}

TEST(key_file, is_made_once_and_found_afterwards) {
  memory_env env{4};
  const auto first = keep_key(env, "k");
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->made);
  EXPECT_THAT(env.read("k", 100).value(), MatchesRegex("ovir-key-v1 [0-9a-f]{64}\n"));
  const auto again = keep_key(env, "k");
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->made);
  EXPECT_EQ(again->key.id(), first->key.id());
  EXPECT_EQ(load_or_make_key(env, "k").value().id(), first->key.id());
  EXPECT_NE(load_or_make_key(env, "other").value().id(), first->key.id());
}

TEST(key_file, is_never_made_over_another) {
  memory_env env;
  given_secret(env, "k", "anything");
  const auto made = make_key(env, "k");
  ASSERT_TRUE(made);
  EXPECT_FALSE(made->has_value());
  EXPECT_FALSE(load_or_make_key(env, "k")) << "a damaged key is for a person to decide about";
  EXPECT_EQ(env.read("k", 100).value(), "anything");
}

TEST(key_file, that_others_may_read_is_refused) {
  memory_env env;
  env.add_file("k", rfc_8032_test_1);
  for (const auto& key : {load_key(env, "k"), load_or_make_key(env, "k")}) {
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().code, errc::io_failed);
    EXPECT_THAT(key.error().message, HasSubstr("chmod 600"));
  }
}

TEST(key_file, in_any_other_form_is_refused) {
  memory_env env;
  const std::string& good = rfc_8032_test_1;
  std::string upper = good;
  upper[14] = 'D';
  std::string nul = good;
  nul[21] = '\0';
  for (const std::string& wrong :
       {std::string{}, good.substr(0, good.size() - 1), good + "\n", "\n" + good,
        good.substr(0, good.size() - 1) + "\r", "ovir-key-v2" + good.substr(11), upper, nul,
        good.substr(0, 12) + good.substr(13), std::string(good.size(), 'x')}) {
    given_secret(env, "k", wrong);
    const auto key = load_key(env, "k");
    ASSERT_FALSE(key) << wrong;
    EXPECT_EQ(key.error().code, errc::malformed) << wrong;
    EXPECT_THAT(key.error().message, HasSubstr("k: is not a key file"));
    EXPECT_THAT(key.error().message, ::testing::Not(HasSubstr("9d61"))) << "never print a secret";
  }
  given_secret(env, "k", std::string(10'000, 'x'));
  EXPECT_EQ(load_key(env, "k").error().code, errc::over_limit);
}

TEST(key_file, errors_of_the_place_are_told_apart) {
  memory_env env;
  env.add_folder("d");
  EXPECT_EQ(load_key(env, "d").error().code, errc::unsupported);
  EXPECT_EQ(load_or_make_key(env, "d").error().code, errc::unsupported);
  EXPECT_EQ(load_key(env, "none").error().code, errc::not_found);
  env.set_sync_fails(true);
  EXPECT_EQ(load_or_make_key(env, "none").error().code, errc::io_failed);
  EXPECT_FALSE(env.has_file("none"));
}

} // namespace
} // namespace ovir::apps
