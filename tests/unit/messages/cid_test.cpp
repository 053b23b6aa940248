#include "messages/cid.hpp"

#include <gtest/gtest.h>

#include <string>

namespace ovir {
namespace {

TEST(cid, names_of_digests_come_back) {
  for (int round = 0; round < 64; ++round) {
    const std::string text = "digest " + std::to_string(round);
    const digest d = hash_plain(std::as_bytes(std::span{text}));
    EXPECT_EQ(digest_from_cid(to_cid(d)).value(), d);
  }
}

TEST(cid, everything_that_is_not_the_one_name_of_a_digest_is_refused) {
  const std::string right = to_cid(hash_plain({}));
  EXPECT_TRUE(right.starts_with(cid_begin));
  for (std::size_t at = 0; at < right.size(); ++at) {
    for (const char c : {'A', '1', '=', ' ', '\0'}) {
      std::string wrong = right;
      wrong[at] = c;
      EXPECT_EQ(digest_from_cid(wrong).error().code, errc::malformed) << at << c;
    }
    EXPECT_FALSE(digest_from_cid(right.substr(0, at)));
  }
  EXPECT_FALSE(digest_from_cid(right + "a"));
  // The last letter has three spare bits, which are zero in the one form.
  std::string spare = right;
  spare.back() = static_cast<char>(spare.back() + 1);
  EXPECT_FALSE(digest_from_cid(spare));
}

} // namespace
} // namespace ovir
