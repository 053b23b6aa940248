#include "actors/request/choices.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace ovir::actors {
namespace {

constexpr std::uint32_t vocabulary = 9;

std::vector<std::byte> choices(const std::vector<token_id>& tokens) {
  std::vector<token_choice> rows;
  rows.reserve(tokens.size());
  for (const token_id token : tokens) {
    rows.push_back({token, {}});
  }
  const auto count = static_cast<std::uint32_t>(rows.size());
  return encode_frame({frame_kind::choice, request_id{1}, epoch{1}, 4, count, choice_width, count},
                      std::as_bytes(std::span{rows}));
}

std::vector<token_id> taken(const std::vector<token_id>& chosen,
                            const std::vector<token_id>& drafts) {
  const auto frame = choices(chosen);
  std::vector<token_id> out;
  for (const drawn_token& drawn : take_choices(decode_frame(frame).value(), 4, drafts).drawn) {
    out.push_back(drawn.token);
  }
  return out;
}

TEST(choices, is_of_the_kind_that_was_asked_for) {
  const std::vector<float> row(vocabulary);
  const auto logits =
      encode_frame({frame_kind::logits, request_id{1}, epoch{1}, 4, 1, vocabulary, 1},
                   std::as_bytes(std::span{row}));
  const auto chosen = choices({3});
  EXPECT_TRUE(can_draw_from(decode_frame(logits).value(), false, vocabulary));
  EXPECT_FALSE(can_draw_from(decode_frame(logits).value(), true, vocabulary));
  EXPECT_FALSE(can_draw_from(decode_frame(logits).value(), false, vocabulary + 1));
  EXPECT_TRUE(can_draw_from(decode_frame(chosen).value(), true, vocabulary));
  EXPECT_FALSE(can_draw_from(decode_frame(chosen).value(), false, vocabulary));
}

TEST(choices, chooses_no_token_beyond_the_vocabulary_in_any_row) {
  EXPECT_TRUE(can_draw_from(decode_frame(choices({0, 8})).value(), true, vocabulary));
  EXPECT_FALSE(can_draw_from(decode_frame(choices({0, 9})).value(), true, vocabulary));
}

TEST(choices, counts_as_far_as_guesses_were_right) {
  using ids = std::vector<token_id>;
  EXPECT_EQ(taken({5}, {}), (ids{5}));
  EXPECT_EQ(taken({5, 6, 7}, {5, 6}), (ids{5, 6, 7}));
  EXPECT_EQ(taken({5, 6, 7}, {5, 4}), (ids{5, 6}));
  EXPECT_EQ(taken({5, 6, 7}, {4, 6}), (ids{5}));
  EXPECT_EQ(taken({5, 6, 7}, {5}), (ids{5, 6}));
}

} // namespace
} // namespace ovir::actors
