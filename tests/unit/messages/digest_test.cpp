#include "messages/digest.hpp"
#include "messages/hash_pieces.hpp"

#include <gtest/gtest.h>

namespace ovir {

TEST(digest, matches_the_official_blake3_vector_of_nothing) {
  EXPECT_EQ(to_hex(hash_plain({})),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
}

TEST(digest, of_pieces_is_that_of_the_whole) {
  std::vector<std::byte> bytes(5'000);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i * 7);
  }
  for (const std::size_t piece : {std::size_t{1}, std::size_t{64}, std::size_t{1'250},
                                  std::size_t{4'999}, std::size_t{5'000}, std::size_t{9'000}}) {
    std::size_t times = 0;
    EXPECT_EQ(hash_plain_in_pieces(bytes, piece, [&times] { ++times; }), hash_plain(bytes));
    EXPECT_EQ(times, (bytes.size() + piece - 1) / piece);
  }
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
