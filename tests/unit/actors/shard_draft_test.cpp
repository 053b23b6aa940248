// What a stage does with rows that are guesses: computes them, sends them on, and counts them only
// when the next frame says that they were right.
#include "actors/stage/shard_core.hpp"
#include "compute/model/transcript.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace ovir::actors {
namespace {

constexpr request_id request{1};
constexpr std::uint32_t vocabulary = 300;
constexpr std::uint32_t dim = 32;

const test::loaded_model& model() {
  static const test::loaded_model m = [] {
    compute::synth_spec spec;
    spec.layers = 4;
    spec.dim = dim;
    spec.ffn_dim = 64;
    spec.heads = 2;
    spec.kv_heads = 1;
    spec.vocabulary = vocabulary;
    spec.quantization = compute::synth_quantization::q8_0;
    return test::loaded_model{test::synthetic_model(spec)};
  }();
  return m;
}

class stage {
public:
  explicit stage(layer_range layers, const compute::model& m = model().get())
      : bench_(std::make_shared<stage_bench>()), core(bench_) {
    bench_->segment =
        compute::segment::make(m, layers, compute::kernels_reference(), runner_).value();
    bench_->kv_bytes_max = 1U << 20U;
    open();
  }

  shard_outcome work() {
    shard_outcome last;
    for (auto pass = core.next_pass(false); !pass.empty(); pass = core.next_pass(false)) {
      last = perform(pass, *bench_, runner_).back();
      (void)core.job_ended(pass.back().request, last.length);
    }
    return last;
  }
  shard_outcome send(const frame_bytes& frame) {
    EXPECT_TRUE(core.accept(frame));
    return work();
  }
  void open(std::uint32_t e = 1) {
    ASSERT_TRUE(core.open(request, epoch{e}, 64, 64));
    shard_core::drop_drafts(*core.find(request));
  }

private:
  compute::serial_runner runner_;
  std::shared_ptr<stage_bench> bench_;

public:
  shard_core core;
};

frame_bytes tokens(position first, const std::vector<token_id>& ids, std::uint32_t drafts = 0,
                   std::uint32_t rows = 1, std::uint32_t e = 1) {
  const auto kind = drafts > 0 ? frame_kind::drafted_tokens : frame_kind::tokens;
  const frame_header h{kind, request,      epoch{e}, first, static_cast<std::uint32_t>(ids.size()),
                       1,    rows + drafts};
  return std::make_shared<const std::vector<std::byte>>(
      encode_frame(h, std::as_bytes(std::span{ids})));
}

std::vector<float> floats_of(const shard_outcome& out) {
  const auto view = decode_frame(*out.outgoing).value();
  return {view.floats().begin(), view.floats().end()};
}

std::vector<float> row(const std::vector<float>& rows, std::size_t i, std::size_t width) {
  const auto at = rows.begin() + static_cast<std::ptrdiff_t>(i * width);
  return {at, at + static_cast<std::ptrdiff_t>(width)};
}

TEST(shard_draft, sends_guesses_on_and_does_not_count_them) {
  stage s{{0, 2}};
  (void)s.send(tokens(0, {1, 2, 3}, 0, 0));
  const auto out = s.send(tokens(3, {4, 5, 6}, 2));
  ASSERT_TRUE(out.done);
  EXPECT_EQ(out.length, 4U);
  EXPECT_EQ(decode_frame(*out.outgoing)->header,
            (frame_header{frame_kind::drafted_boundary, request, epoch{1}, 3, 3, dim, 3}));
}

TEST(shard_draft, the_last_stage_answers_with_logits_of_every_guess_and_keeps_the_first) {
  stage s{{0, 4}};
  stage plain{{0, 4}};
  const auto out = s.send(tokens(0, {1, 2, 3}, 2));
  EXPECT_EQ(decode_frame(*out.outgoing)->header,
            (frame_header{frame_kind::logits, request, epoch{1}, 0, 3, vocabulary, 3}));
  const auto all = floats_of(out);
  for (position p = 0; p < 3; ++p) {
    EXPECT_EQ(row(all, p, vocabulary), floats_of(plain.send(tokens(p, {p + 1}))));
  }
  ASSERT_TRUE(s.core.resend({{0}, request, epoch{1}}));
  EXPECT_EQ(floats_of(s.work()), row(all, 0, vocabulary));
}

// A stage's progress may come before its logits: the lead asks for those that are under way, and
// goes on once they are there.
TEST(shard_draft, an_order_for_logits_that_the_lead_has_meanwhile_is_void) {
  stage s{{0, 4}};
  (void)s.send(tokens(0, {1, 2, 3}));
  (void)s.send(tokens(3, {4}));
  ASSERT_TRUE(s.core.resend({{2}, request, epoch{1}}));
  const auto crossed = s.work();
  EXPECT_TRUE(crossed.done);
  EXPECT_EQ(crossed.outgoing, nullptr);
  EXPECT_EQ(crossed.length, 4U);
  s.open(2); // its lead has not seen what came of the steps of the one before
  ASSERT_TRUE(s.core.resend({{2}, request, epoch{2}}));
  EXPECT_EQ(s.work().done.error().code, errc::peer_lost);
}

TEST(shard_draft, the_last_stage_chooses_where_the_highest_logit_is_wanted) {
  stage s{{0, 4}};
  stage plain{{0, 4}};
  s.core.find(request)->answers = stage_answers::highest;
  const auto out = s.send(tokens(0, {1, 2, 3}, 2));
  const auto choices = decode_frame(*out.outgoing).value();
  ASSERT_EQ(choices.header,
            (frame_header{frame_kind::choice, request, epoch{1}, 0, 3, choice_width, 3}));
  for (position p = 0; p < 3; ++p) {
    const auto logits = floats_of(plain.send(tokens(p, {p + 1})));
    const auto highest = std::max_element(logits.begin(), logits.end()) - logits.begin();
    EXPECT_EQ(choices.choices()[p].token, static_cast<token_id>(highest));
    EXPECT_EQ(choices.choices()[p].logits, compute::logits_digest(p, logits));
  }
  ASSERT_TRUE(s.core.resend({{0}, request, epoch{1}}));
  const auto again = s.work();
  const auto first = decode_frame(*again.outgoing).value();
  ASSERT_EQ(first.header.count, 1U);
  EXPECT_EQ(first.choices()[0].logits, choices.choices()[0].logits);
}

TEST(shard_draft, goes_on_behind_right_guesses_and_in_the_place_of_wrong_ones) {
  for (const layer_range layers : {layer_range{0, 2}, layer_range{0, 4}}) {
    for (std::uint32_t right = 0; right <= 3; ++right) {
      SCOPED_TRACE(right);
      stage s{layers};
      stage plain{layers};
      const std::vector<token_id> text{7, 8, 9, 10, 11};
      std::vector<token_id> guessed{text[0], text[1], text[2], text[3]};
      for (std::uint32_t i = right + 1; i < guessed.size(); ++i) {
        guessed[i] = 200 + i;
      }
      (void)s.send(tokens(0, guessed, 3));
      const auto out = s.send(tokens(right + 1, {text[right + 1]}));
      (void)plain.send(tokens(0, {text.begin(), text.begin() + right + 1}));
      const auto expected = plain.send(tokens(right + 1, {text[right + 1]}));
      EXPECT_EQ(out.length, right + 2);
      EXPECT_EQ(*out.outgoing, *expected.outgoing);
      EXPECT_EQ(s.core.describe(*s.core.find(request)).leaves,
                plain.core.describe(*plain.core.find(request)).leaves);
    }
  }
}

TEST(shard_draft, states_a_window_when_the_guess_that_closes_it_was_right) {
  stage s{{0, 2}};
  std::vector<token_id> ids(31, 5);
  EXPECT_TRUE(s.send(tokens(0, ids, 0, 0)).leaves.empty());
  const auto guess = s.send(tokens(31, {5, 6, 7}, 2));
  EXPECT_EQ(guess.leaves.size(), 2U); // closed by a known token
  EXPECT_EQ(guess.units, 2U);
  const std::vector<token_id> more(29, 8);
  (void)s.send(tokens(33, more));
  const auto open = s.send(tokens(62, {1, 2}, 1));
  EXPECT_TRUE(open.leaves.empty());
  EXPECT_EQ(open.units, 0U);
}

TEST(shard_draft, a_right_guess_closes_its_window_with_the_next_frame) {
  stage s{{0, 2}};
  stage plain{{0, 2}};
  const std::vector<token_id> ids(31, 5);
  (void)s.send(tokens(0, {ids.begin(), ids.end() - 1}, 0, 0));
  EXPECT_TRUE(s.send(tokens(30, {5, 6, 7}, 2)).leaves.empty());
  const auto out = s.send(tokens(33, {9}));
  (void)plain.send(tokens(0, ids, 0, 0));
  const auto expected = plain.send(tokens(31, {6}));
  EXPECT_EQ(out.leaves, expected.leaves);
  EXPECT_EQ(out.leaves.size(), 2U);
  EXPECT_EQ(out.units, expected.units);
}

TEST(shard_draft, an_epoch_forgets_guesses_and_replays_what_counts) {
  stage s{{0, 2}};
  (void)s.send(tokens(0, {1, 2, 3, 4}, 2));
  s.open(2);
  ASSERT_TRUE(s.core.replay({{0, 3, 1}, request, epoch{2}}));
  EXPECT_EQ(s.work().done.error().code, errc::peer_lost);
  ASSERT_TRUE(s.core.replay({{0, 2, 1}, request, epoch{2}}));
  EXPECT_TRUE(s.work().done);
  EXPECT_EQ(s.send(tokens(3, {9}, 0, 1, 2)).done.error().code, errc::peer_lost);
  EXPECT_EQ(s.send(tokens(2, {9}, 0, 1, 2)).length, 3U);
}

TEST(shard_draft, refuses_a_gap_behind_guesses) {
  stage s{{0, 2}};
  (void)s.send(tokens(0, {1, 2, 3}, 2));
  EXPECT_EQ(s.send(tokens(4, {1})).done.error().code, errc::peer_lost);
  EXPECT_TRUE(s.send(tokens(3, {1})).done);
}

// What a guess does cannot end a request that would not have met it.
TEST(shard_draft, leaves_guesses_out_that_make_values_which_are_not_finite) {
  // A layer that makes keys beyond fp16 of rows that do not begin with 0.
  std::vector<float> norm(dim, 1.0F);
  norm[0] = 1e9F;
  compute::model hostile = model().get();
  hostile.layers.back().attn_norm.data = reinterpret_cast<const std::byte*>(norm.data());
  stage s{{3, 4}, hostile};
  std::vector<float> rows(3 * dim, 0.5F);
  rows[0] = 0;
  rows[dim] = 0; // the known one and the first guess are harmless, the second is not
  const auto frame = [&](std::uint32_t count) {
    const frame_header h{count > 1 ? frame_kind::drafted_boundary : frame_kind::boundary,
                         request,
                         epoch{1},
                         0,
                         count,
                         dim,
                         count};
    return std::make_shared<const std::vector<std::byte>>(
        encode_frame(h, std::as_bytes(std::span{rows}.first(count * dim))));
  };
  const auto out = s.send(frame(3));
  ASSERT_TRUE(out.done) << out.done.error().message;
  EXPECT_EQ(out.length, 1U);
  EXPECT_EQ(decode_frame(*out.outgoing)->header.count, 1U);
  stage plain{{3, 4}, hostile};
  EXPECT_EQ(*out.outgoing, *plain.send(frame(1)).outgoing);
}

TEST(shard_draft, frames_with_guesses_share_passes_with_those_that_decode) {
  stage s{{0, 2}};
  ASSERT_TRUE(s.core.open(request_id{2}, epoch{1}, 64, 64));
  ASSERT_TRUE(s.core.accept(tokens(0, {1, 2, 3, 4, 5, 6, 7, 8}, 7)));
  ASSERT_TRUE(s.core.replay({{0, 1, 0}, request_id{2}, epoch{1}}));
  EXPECT_TRUE(s.core.find(request)->decodes);
}

} // namespace
} // namespace ovir::actors
