// The bytes of docs/formats/answer.md, field by field. A change here is a new version.
#include "actors/answer_record.hpp"
#include "tests/support/answers.hpp"

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
  compute::sampling_params sampling;
  sampling.temperature = 0.5F;
  sampling.top_k = 40;
  sampling.top_p = 0.75;
  sampling.min_p = 0.125;
  sampling.repeat_penalty = 1.25F;
  sampling.seed = 9;
  const std::vector<token_id> prompt{1, 2, 3};
  const digest request = request_digest(hash_plain({}), prompt, sampling);
  EXPECT_EQ(to_hex(request), "4fb362ef9ab3e942d514a3d855b05ddd60494ea17713bbb7d79fdc3afc88a74d");
  EXPECT_EQ(to_hex(finished_key(request, 128, std::vector<std::string>{"end", ""})),
            "4af083cb0df2c16b21e87a300d5a49a9cf8075e51f0337f5b88be17493f1bfb1");
  EXPECT_EQ(to_hex(draws_key(request, 2)),
            "5198058a1d557d8cd2743f86a04cb9c55dfe2214b1e432a0f54240a1c027dc9c");
}

TEST(answer_golden, a_finished_answer_of_one_token_is_these_bytes) {
  const std::vector<std::byte> bytes = to_bytes(test::finished_answer(1));
  ASSERT_EQ(bytes.size(), 88 + 36 + 4 * 32 + 32U);
  EXPECT_EQ(hex(std::span{bytes}.first(24)),
            "4f56414e" // "OVAN"
            "0100"     // version
            "02"       // finished
            "02"       // by length
            "28000000" // positions
            "02000000" // hashed layers
            "01000000" // draws
            "04000000" // leaves
  );
  EXPECT_EQ(hex(std::span{bytes}.subspan(24, 64)),
            "a47d63adadaa525dcc9826e277049ba50f2e9f578058dc41b7bc186eda55d084"
            "28cc02690b231daa601de2f603de7a9373498194dde05fc052de7f4674360f2f");
  EXPECT_EQ(hex(std::span{bytes}.subspan(88, 36)),
            "3c000000"
            "4e4ab8647cdd9f3745e05e5cde5d0058221920430ea36411cebe57e78899dec5");
  EXPECT_EQ(hex(std::span{bytes}.last(32)),
            "c28709d6eefe4ecd07113bb74cf703043d5e6c7b7bdd37083018816e5893fee9");
}

TEST(answer_golden, a_window_of_draws_has_neither_end_nor_leaves) {
  const std::vector<std::byte> bytes = to_bytes(test::drawn_window());
  ASSERT_EQ(bytes.size(), 88 + 32 * 36 + 32U);
  EXPECT_EQ(hex(std::span{bytes}.first(24)), "4f56414e"
                                             "0100"
                                             "01"
                                             "00"
                                             "00000000"
                                             "00000000"
                                             "20000000"
                                             "00000000");
  EXPECT_EQ(hex(std::span{bytes}.subspan(56, 32)), std::string(64, '0'));
}

} // namespace
} // namespace ovir::actors
