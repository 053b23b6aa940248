// The bytes of docs/formats/answer.md, field by field. A change here is a new version.
#include "actors/reuse/answer_record.hpp"
#include "tests/support/cluster/answers.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned>(b));
  }
  return out;
}

TEST(answer_golden, keys_are_these) {
  sampling_params sampling;
  sampling.temperature = 0.5F;
  sampling.top_k = 40;
  sampling.top_p = 0.75;
  sampling.min_p = 0.125;
  sampling.repeat_penalty = 1.25F;
  sampling.seed = 9;
  const std::vector<token_id> prompt{1, 2, 3};
  const digest request = request_digest(hash_plain({}), prompt, sampling);
  EXPECT_EQ(to_hex(request), "698ea1184df3f077fbe09161cd5c16d2ed62b32a631f6c9801562f835e13985a");
  EXPECT_EQ(to_hex(finished_key(request, 128, std::vector<std::string>{"end", ""})),
            "770f122ce00b5506a62d40fe2d61a7c65a82eae4d87e8df92b7ccd728c4819f2");
  EXPECT_EQ(to_hex(draws_key(request, 2)),
            "eb38db8cbc952f5de6855719a6d451821da8841a4599921e5d61b5161340396c");
}

TEST(answer_golden, a_finished_answer_of_one_token_is_these_bytes) {
  const std::vector<std::byte> bytes = to_bytes(test::finished_answer(1));
  ASSERT_EQ(bytes.size(), 96 + 36 + 4 * 32 + 32U);
  EXPECT_EQ(hex(std::span{bytes}.first(32)),
            "4f56414e" // "OVAN"
            "0200"     // version
            "02"       // finished
            "02"       // by length
            "28000000" // positions
            "02000000" // hashed layers
            "01000000" // draws
            "04000000" // leaves
            "00000000" // no receipt
            "00000000");
  EXPECT_EQ(hex(std::span{bytes}.subspan(32, 64)),
            "a47d63adadaa525dcc9826e277049ba50f2e9f578058dc41b7bc186eda55d084"
            "9d3c061b5343d4667070d93b40c7d5852d87b6428e38deb431bfce1eb5720e19");
  EXPECT_EQ(hex(std::span{bytes}.subspan(96, 36)),
            "3c000000"
            "4e4ab8647cdd9f3745e05e5cde5d0058221920430ea36411cebe57e78899dec5");
  EXPECT_EQ(hex(std::span{bytes}.last(32)),
            "f1ee36b78afcae7b8018d6f43069517897bb8e2a82bd01d828d9302494756501");
}

TEST(answer_golden, a_window_of_draws_has_neither_end_nor_leaves) {
  const std::vector<std::byte> bytes = to_bytes(test::drawn_window());
  ASSERT_EQ(bytes.size(), 96 + 32 * 36 + 32U);
  EXPECT_EQ(hex(std::span{bytes}.first(32)), "4f56414e"
                                             "0200"
                                             "01"
                                             "00"
                                             "00000000"
                                             "00000000"
                                             "20000000"
                                             "00000000"
                                             "00000000"
                                             "00000000");
  EXPECT_EQ(hex(std::span{bytes}.subspan(64, 32)), std::string(64, '0'));
}

} // namespace
} // namespace ovir::actors
