#include "messages/digest.hpp"

#include <gtest/gtest.h>

namespace ovir {

TEST(digest, matches_the_official_blake3_vector_of_nothing) {
  EXPECT_EQ(to_hex(hash_plain({})),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
}

TEST(digest, reads_back_its_hex_and_refuses_anything_else) {
  const digest d = hash_plain({});
  const auto back = digest_from_hex(to_hex(d));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, d);
  EXPECT_EQ(digest_from_hex("af13").error().code, errc::malformed);
  EXPECT_EQ(digest_from_hex(std::string(64, 'G')).error().code, errc::malformed);
}

TEST(digest, prints_a_cid_other_tools_read) {
  EXPECT_EQ(to_cid(hash_plain({})), "bafkr4ifpcne3t5pzugtkaqcn5i3nzskjtpfslsnnyejlpte2spfoihzsmi");
}

TEST(digest, separates_domains_and_strings) {
  EXPECT_NE(hash("a", {}), hash("b", {}));
  EXPECT_NE(hasher{"a"}.update_text("x").update_text("yz").finish(),
            hasher{"a"}.update_text("xy").update_text("z").finish());
}

TEST(digest, a_copied_hasher_goes_on_alone) {
  hasher one{"a"};
  one.update_u32(1);
  hasher two = one;
  two.update_u32(2);
  EXPECT_EQ(one.finish(), hasher{"a"}.update_u32(1).finish());
  EXPECT_EQ(two.finish(), hasher{"a"}.update_u32(1).update_u32(2).finish());
}

} // namespace ovir
