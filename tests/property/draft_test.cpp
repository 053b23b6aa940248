// Steps with guesses of which a random number is right, over segments cut anywhere, against the
// same positions without a guess, bit for bit.
#include "compute/forward/segment.hpp"
#include "compute/make/synth.hpp"
#include "messages/limits/draft.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

namespace ovir::compute {
namespace {

constexpr std::uint32_t draft_positions_max = 100;

/// A model in segments, one behind the other.
class chain {
public:
  chain(const model& m, const std::vector<layer_range>& cut) {
    for (const layer_range layers : cut) {
      parts_.push_back(segment::make(m, layers, kernels_reference(), runner_).value());
      states_.push_back(parts_.back()->open(draft_positions_max, 1U << 26U).value());
    }
  }

  /// Logits of the row that is no guess and of each guess.
  std::vector<float> step(position first, std::span<const token_id> ids, std::uint32_t drafts) {
    const auto count = static_cast<std::uint32_t>(ids.size());
    step_output out;
    std::vector<float> boundary;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const bool last = i + 1 == parts_.size();
      step_input in{first, count, {}, {}, last ? drafts + 1 : 0, drafts};
      if (i == 0) {
        in.tokens = ids;
      } else {
        in.boundary = boundary;
      }
      const auto done = parts_[i]->forward(states_[i], in, runner_, out);
      EXPECT_TRUE(done) << done.error().message;
      EXPECT_EQ(states_[i].length(), first + count - drafts);
      boundary = out.boundary;
      leaves.insert(leaves.end(), out.leaves.begin(), out.leaves.end());
    }
    return out.logits;
  }

  /// All leaves in order, of windows begun too.
  std::vector<unit_leaf> all_leaves() {
    std::vector<unit_leaf> all = leaves;
    for (segment_state& state : states_) {
      state.drop_drafts();
      const auto open = state.units.open_leaves();
      all.insert(all.end(), open.begin(), open.end());
    }
    std::sort(all.begin(), all.end(),
              [](const unit_leaf& a, const unit_leaf& b) { return a.unit < b.unit; });
    return all;
  }

  std::vector<unit_leaf> leaves;

private:
  serial_runner runner_;
  std::vector<std::unique_ptr<segment>> parts_;
  std::vector<segment_state> states_;
};

std::uint32_t seed() {
  const char* const wanted = std::getenv("OVIR_SEED");
  return wanted != nullptr ? static_cast<std::uint32_t>(std::strtoul(wanted, nullptr, 10)) : 3;
}

TEST(draft, of_any_length_and_any_part_right_leaves_no_trace_but_speed) {
  RecordProperty("seed", std::to_string(seed()));
  std::mt19937 random{seed()};
  synth_spec spec;
  spec.layers = 5;
  spec.dim = 32;
  spec.ffn_dim = 64;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.vocabulary = 300;
  spec.quantization = synth_quantization::q8_0;
  const test::loaded_model m{test::synthetic_model(spec)};
  for (const std::vector<layer_range>& cut :
       {std::vector<layer_range>{{0, 5}}, {{0, 2}, {2, 5}}, {{0, 1}, {1, 4}, {4, 5}}}) {
    for (int round = 0; round < 6; ++round) {
      std::vector<token_id> text(draft_positions_max);
      std::generate(text.begin(), text.end(), [&] { return random() % spec.vocabulary; });
      chain plain{m.get(), {{0, 5}}};
      chain guessing{m.get(), cut};
      const auto prompt = static_cast<position>(1 + random() % 40);
      const auto prompt_ids = std::span<const token_id>{text}.first(prompt);
      EXPECT_EQ(plain.step(0, prompt_ids, 0), guessing.step(0, prompt_ids, 0));
      for (position at = prompt; at < draft_positions_max;) {
        const auto room = std::min(draft_positions_max - at - 1, limits::draft_tokens_max);
        const auto drafts = static_cast<std::uint32_t>(random() % (room + 1));
        const auto right = static_cast<std::uint32_t>(random() % (drafts + 1));
        std::vector<token_id> ids(text.begin() + at, text.begin() + at + 1 + drafts);
        for (std::size_t i = right + 1; i < ids.size(); ++i) {
          const auto other = 1 + static_cast<token_id>(random() % (spec.vocabulary - 1));
          ids[i] = (ids[i] + other) % spec.vocabulary;
        }
        const std::vector<float> logits = guessing.step(at, ids, drafts);
        for (std::uint32_t i = 0; i <= right; ++i) {
          const auto expected = plain.step(at + i, std::span{text}.subspan(at + i, 1), 0);
          const auto row = logits.begin() + std::ptrdiff_t{i} * spec.vocabulary;
          ASSERT_TRUE(std::equal(expected.begin(), expected.end(), row))
              << "position " << at + i << " of a step at " << at;
        }
        at += right + 1;
        if (at == draft_positions_max) {
          break;
        }
        if (random() % 8 == 0) { // another guess at once, so that none is left at the end
          (void)guessing.step(at, std::span{text}.subspan(at, 1), 0);
          (void)plain.step(at, std::span{text}.subspan(at, 1), 0);
          ++at;
        }
      }
    }
  }
}

TEST(draft, leaves_are_those_of_what_was_right) {
  std::mt19937 random{seed()};
  const test::loaded_model m{test::tiny_model(3, synth_quantization::q8_0)};
  const std::uint32_t layers = m.get().config.layers;
  std::vector<token_id> text(70);
  std::generate(text.begin(), text.end(), [&] { return random() % 300; });
  chain plain{m.get(), {{0, layers}}};
  (void)plain.step(0, text, 0);
  for (int round = 0; round < 4; ++round) {
    chain guessing{m.get(), {{0, 1}, {1, layers}}};
    for (position at = 0; at < text.size();) {
      const auto left = static_cast<std::uint32_t>(text.size()) - at;
      const auto drafts =
          static_cast<std::uint32_t>(random() % (std::min(left - 1, limits::draft_tokens_max) + 1));
      // The last step has none, because nobody would say whether they were right.
      const auto right = static_cast<std::uint32_t>(random() % (drafts + 1));
      const bool end = at + right + 1 == text.size();
      std::vector<token_id> ids(text.begin() + at, text.begin() + at + 1 + (end ? 0 : drafts));
      for (std::size_t i = right + 1; i < ids.size(); ++i) {
        ids[i] = (ids[i] + 1) % 300;
      }
      const auto sent = static_cast<std::uint32_t>(ids.size()) - 1;
      (void)guessing.step(at, ids, sent);
      at += std::min(right, sent) + 1;
    }
    EXPECT_EQ(guessing.all_leaves(), plain.all_leaves()) << "round " << round;
  }
}

TEST(draft, is_refused_in_the_place_of_all_rows_and_beyond_its_bound) {
  const test::loaded_model m{test::tiny_model(3, synth_quantization::q8_0)};
  serial_runner runner;
  const auto s = segment::make(m.get(), {0, 1}, kernels_reference(), runner).value();
  segment_state state = s->open(draft_positions_max, 1U << 26U).value();
  step_output out;
  const std::vector<token_id> ids(20, 1);
  const auto refused = [&](std::uint32_t count, std::uint32_t drafts) {
    const step_input in{0, count, std::span{ids}.first(count), {}, 0, drafts};
    const auto done = s->forward(state, in, runner, out);
    return !done && done.error().code == errc::malformed;
  };
  EXPECT_TRUE(refused(2, 2));
  EXPECT_TRUE(refused(20, limits::draft_tokens_max + 1));
  EXPECT_FALSE(refused(20, limits::draft_tokens_max));
}

} // namespace
} // namespace ovir::compute
