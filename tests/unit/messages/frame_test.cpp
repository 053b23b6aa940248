#include "messages/limits/draft.hpp"
#include "messages/limits/gather.hpp"
#include "messages/wire/frame.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace ovir {
namespace {

const std::vector<float> rows{0.5F, -1.0F, 2.0F, 0.0F, 3.5F, -0.0F};

frame_header boundary_header() {
  return {frame_kind::boundary, request_id{7}, epoch{3}, 64, 2, 3, 1};
}

std::vector<std::byte> boundary_frame() {
  return encode_frame(boundary_header(), std::as_bytes(std::span{rows}));
}

errc refusal(const std::vector<std::byte>& bytes) {
  const auto decoded = decode_frame(bytes);
  EXPECT_FALSE(decoded);
  return decoded ? errc::internal : decoded.error().code;
}

TEST(frame, reads_back_what_was_written) {
  const auto bytes = boundary_frame();
  EXPECT_EQ(bytes.size(), frame_overhead_bytes + rows.size() * sizeof(float));
  const auto view = decode_frame(bytes);
  ASSERT_TRUE(view) << view.error().message;
  EXPECT_EQ(view->header, boundary_header());
  EXPECT_EQ(std::memcmp(view->floats().data(), rows.data(), rows.size() * sizeof(float)), 0);
}

TEST(frame, carries_tokens_and_logits_too) {
  const std::vector<token_id> ids{1, 2, 3};
  const frame_header tokens{frame_kind::tokens, request_id{1}, epoch{1}, 0, 3, 1, 0};
  const auto sent = encode_frame(tokens, std::as_bytes(std::span{ids}));
  const auto view = decode_frame(sent);
  ASSERT_TRUE(view);
  EXPECT_TRUE(std::equal(ids.begin(), ids.end(), view->tokens().begin()));
  const frame_header logits{frame_kind::logits, request_id{1}, epoch{1}, 9, 1, 6, 1};
  EXPECT_TRUE(decode_frame(encode_frame(logits, std::as_bytes(std::span{rows}))));
}

TEST(frame, carries_choices_of_their_own_width_only) {
  const std::vector<token_choice> two{{7, {}}, {8, {}}};
  frame_header choices{frame_kind::choice, request_id{1}, epoch{1}, 9, 2, choice_width, 2};
  const auto sent = encode_frame(choices, std::as_bytes(std::span{two}));
  const auto view = decode_frame(sent);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->choices().size(), 2U);
  EXPECT_EQ(view->choices()[1].token, 8U);
  choices.width = choice_width - 1;
  EXPECT_EQ(check(choices).error().code, errc::malformed);
  choices.width = choice_width;
  choices.logit_rows = 1;
  EXPECT_EQ(check(choices).error().code, errc::malformed);
}

TEST(frame, refuses_every_truncation_and_every_trailing_byte) {
  const auto whole = boundary_frame();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::byte> cut{whole.begin(),
                                     whole.begin() + static_cast<std::ptrdiff_t>(size)};
    EXPECT_EQ(refusal(cut), errc::malformed) << size;
  }
  auto longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_EQ(refusal(longer), errc::malformed);
}

TEST(frame, a_flipped_bit_is_refused_or_still_the_one_encoding_of_another_frame) {
  const auto whole = boundary_frame();
  for (std::size_t bit = 0; bit < frame_overhead_bytes * 8; ++bit) {
    auto flipped = whole;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    const auto view = decode_frame(flipped);
    if (view) {
      EXPECT_NE(view->header, boundary_header());
      EXPECT_EQ(encode_frame(view->header, view->tensor), flipped);
    }
  }
}

TEST(frame, refuses_another_version_and_an_unknown_kind) {
  auto bytes = boundary_frame();
  // The header's first data word follows the prefix, the segment table and the root pointer.
  constexpr std::size_t version_at = 16 + 8 + 8;
  bytes[version_at] = std::byte{2};
  EXPECT_EQ(refusal(bytes), errc::unsupported);
  bytes[version_at] = std::byte{1};
  bytes[version_at + 2] = std::byte{9};
  EXPECT_EQ(refusal(bytes), errc::unsupported);
}

TEST(frame, states_its_bounds_before_it_is_sent) {
  const auto code = [](auto change) {
    frame_header h = boundary_header();
    change(h);
    const auto checked = check(h);
    return checked ? errc::internal : checked.error().code;
  };
  EXPECT_EQ(code([](frame_header& h) { h.count = 0; }), errc::malformed);
  EXPECT_EQ(code([](frame_header& h) { h.width = 0; }), errc::malformed);
  EXPECT_EQ(code([](frame_header& h) { h.count = limits::prefill_chunk_max + 1; }),
            errc::over_limit);
  EXPECT_EQ(code([](frame_header& h) { h.width = limits::embedding_max + 1; }), errc::over_limit);
  EXPECT_EQ(code([](frame_header& h) { h.first = limits::context_max - 1; }), errc::over_limit);
  EXPECT_EQ(code([](frame_header& h) { h.logit_rows = 3; }), errc::malformed);
  EXPECT_EQ(code([](frame_header& h) { h.kind = frame_kind::tokens; }), errc::over_limit);
  EXPECT_EQ(code([](frame_header& h) { h.slack = limits::slack_batch; }), errc::internal);
  EXPECT_EQ(code([](frame_header& h) { h.slack = limits::slack_batch + 1; }), errc::malformed);
  EXPECT_EQ(code([](frame_header& h) {
              h.kind = frame_kind::logits;
              h.logit_rows = h.count;
              h.slack = 1;
            }),
            errc::malformed);
  EXPECT_EQ(code([](frame_header& h) {
              h.count = limits::prefill_chunk_max;
              h.width = limits::embedding_max;
            }),
            errc::over_limit);
}

TEST(frame, of_guesses_needs_a_row_that_is_none_and_has_few_of_them) {
  frame_header h{frame_kind::drafted_boundary, request_id{7}, epoch{3}, 64, 20, 3, 2};
  EXPECT_TRUE(check(h));
  EXPECT_EQ(h.drafts(), 1U);
  for (const std::uint32_t wanted : {0U, 1U, limits::draft_tokens_max + 2}) {
    h.logit_rows = wanted;
    EXPECT_EQ(check(h).error().code, errc::malformed) << wanted;
  }
  h.kind = frame_kind::drafted_tokens;
  h.logit_rows = limits::draft_tokens_max + 1;
  EXPECT_EQ(check(h).error().code, errc::over_limit) << "tokens have a width of 1";
  h.width = 1;
  const std::vector<token_id> ids(20, 9);
  const auto sent = encode_frame(h, std::as_bytes(std::span{ids}));
  const auto view = decode_frame(sent);
  ASSERT_TRUE(view) << view.error().message;
  EXPECT_EQ(view->header, h);
  EXPECT_EQ(view->tokens().size(), 20U);
}

TEST(frame, a_header_that_claims_much_is_refused_without_believing_it) {
  auto bytes = boundary_frame();
  const std::uint64_t huge = std::uint64_t{1} << 40U;
  std::memcpy(bytes.data() + 8, &huge, sizeof(huge));
  EXPECT_EQ(refusal(bytes), errc::malformed);
}

} // namespace
} // namespace ovir
