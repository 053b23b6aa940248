#include "compute/forward/segment.hpp"
#include "compute/make/synth.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace ovir::compute {

namespace {

using test::loaded_model;

loaded_model tiny(std::string_view quantisation) {
  return loaded_model{test::tiny_model(1, synth_quantization_from(quantisation).value())};
}

/// Hidden rows of all positions, computed in chunks.
std::vector<float> hidden_of(const loaded_model& m, std::uint32_t chunk,
                             const std::vector<token_id>& tokens) {
  serial_runner runner;
  const auto whole =
      segment::make(m.get(), {0, m.get().config.layers}, kernels_reference(), runner).value();
  segment_state state = whole->open(64, 1U << 26U).value();
  std::vector<float> all;
  for (std::size_t at = 0; at < tokens.size(); at += chunk) {
    const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(chunk, tokens.size() - at));
    step_input in{.first = static_cast<position>(at), .count = n};
    in.tokens = std::span{tokens}.subspan(at, n);
    in.hidden_rows = n;
    step_output out;
    EXPECT_TRUE(whole->forward(state, in, runner, out));
    EXPECT_TRUE(out.logits.empty());
    all.insert(all.end(), out.hidden.begin(), out.hidden.end());
  }
  return all;
}

/// Runs `tokens` through the model cut at `cuts` in chunks, and collects what must never change.
struct outcome {
  std::vector<float> logits;
  std::vector<unit_leaf> leaves;
};

outcome run_cut(const loaded_model& m, std::vector<layer_index> cuts, std::uint32_t chunk,
                const std::vector<token_id>& tokens) {
  serial_runner runner;
  cuts.insert(cuts.begin(), 0);
  cuts.push_back(m.get().config.layers);
  std::vector<std::unique_ptr<segment>> segments;
  std::vector<segment_state> states;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    segments.push_back(
        segment::make(m.get(), {cuts[i], cuts[i + 1]}, kernels_reference(), runner).value());
    states.push_back(segments.back()->open(64, 1U << 26U).value());
  }
  outcome all;
  for (std::size_t at = 0; at < tokens.size(); at += chunk) {
    const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(chunk, tokens.size() - at));
    std::vector<float> boundary;
    for (std::size_t s = 0; s < segments.size(); ++s) {
      step_input in{.first = static_cast<position>(at), .count = n};
      if (s == 0) {
        in.tokens = std::span{tokens}.subspan(at, n);
      } else {
        in.boundary = boundary;
      }
      in.logit_rows = segments[s]->is_last() ? n : 0;
      step_output out;
      const auto done = segments[s]->forward(states[s], in, runner, out);
      EXPECT_TRUE(done) << done.error().message;
      all.leaves.insert(all.leaves.end(), out.leaves.begin(), out.leaves.end());
      all.logits.insert(all.logits.end(), out.logits.begin(), out.logits.end());
      boundary = out.boundary;
    }
  }
  for (const segment_state& state : states) {
    const auto open = state.units.open_leaves();
    all.leaves.insert(all.leaves.end(), open.begin(), open.end());
  }
  std::sort(all.leaves.begin(), all.leaves.end(),
            [](const unit_leaf& a, const unit_leaf& b) { return a.unit < b.unit; });
  return all;
}

std::vector<token_id> some_tokens(std::size_t n, std::uint32_t vocabulary) {
  std::vector<token_id> tokens;
  for (std::size_t i = 0; i < n; ++i) {
    tokens.push_back(static_cast<token_id>((i * 7919 + 13) % vocabulary));
  }
  return tokens;
}

} // namespace

TEST(segment, hidden_rows_are_what_the_head_multiplies) {
  const loaded_model m = tiny("q8_0");
  const model_config& config = m.get().config;
  const std::vector<token_id> tokens{5, 9, 1, 7, 3, 4, 8};
  const auto logits = run_cut(m, {}, 7, tokens).logits;
  const auto hidden = hidden_of(m, 7, tokens);
  ASSERT_EQ(hidden.size(), tokens.size() * config.dim);
  EXPECT_EQ(hidden_of(m, 1, tokens), hidden);
  EXPECT_EQ(hidden_of(m, 3, tokens), hidden);
  std::vector<float> head(config.dim);
  double error = 0;
  double size = 0;
  for (std::uint32_t v = 0; v < config.vocabulary; ++v) {
    embed_row(m.get().output, v, head.data());
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      double product = 0;
      for (std::uint32_t i = 0; i < config.dim; ++i) {
        product += static_cast<double>(head[i]) * static_cast<double>(hidden[t * config.dim + i]);
      }
      const double logit = logits[t * config.vocabulary + v];
      error += (product - logit) * (product - logit);
      size += logit * logit;
    }
  }
  EXPECT_LT(error, 1e-3 * size) << "but for the rounding of activations they are the same";
}

TEST(segment, gives_the_same_bits_however_it_is_cut_and_chunked) {
  for (const char* quantisation : {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_k_m"}) {
    const loaded_model m = tiny(quantisation);
    const auto tokens = some_tokens(37, m.get().config.vocabulary);
    const outcome whole = run_cut(m, {}, 37, tokens);
    ASSERT_EQ(whole.leaves.size(), 2U * (m.get().config.layers - 1));
    const std::vector<std::vector<layer_index>> all_cuts{{}, {1}};
    for (const auto& cuts : all_cuts) {
      for (const std::uint32_t chunk : {1U, 7U, 32U}) {
        const outcome other = run_cut(m, cuts, chunk, tokens);
        EXPECT_EQ(other.leaves, whole.leaves) << quantisation << " chunk " << chunk;
        EXPECT_TRUE(std::equal(
            other.logits.begin(), other.logits.end(), whole.logits.begin(), whole.logits.end(),
            [](float a, float b) {
              return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
            }))
            << quantisation << " chunk " << chunk;
      }
    }
  }
}

TEST(segment, refuses_steps_that_do_not_fit_and_stays_as_it_was) {
  const loaded_model m = tiny("q8_0");
  serial_runner runner;
  auto s = segment::make(m.get(), {0, m.get().config.layers}, kernels_reference(), runner).value();
  auto state = s->open(4, 1U << 26U).value();
  step_output out;
  const auto step = [&](position first, std::vector<token_id> tokens, std::uint32_t rows) {
    const step_input in{.first = first,
                        .count = static_cast<std::uint32_t>(tokens.size()),
                        .tokens = tokens,
                        .logit_rows = rows};
    return s->forward(state, in, runner, out);
  };
  EXPECT_EQ(step(1, {1}, 1).error().code, errc::malformed);
  EXPECT_EQ(step(0, {}, 0).error().code, errc::malformed);
  EXPECT_EQ(step(0, {m.get().config.vocabulary}, 1).error().code, errc::malformed);
  EXPECT_EQ(step(0, {1}, 2).error().code, errc::malformed);
  EXPECT_EQ(step(0, {1, 2, 3, 4, 5}, 1).error().code, errc::over_limit);
  EXPECT_TRUE(step(0, {1, 2, 3, 4}, 1));
  EXPECT_EQ(state.kv.length(), 4U);
  EXPECT_EQ(step(4, {1}, 1).error().code, errc::over_limit);
}

TEST(segment, names_the_layer_where_a_value_stopped_being_finite) {
  const loaded_model m = tiny("q8_0");
  serial_runner runner;
  auto s = segment::make(m.get(), {1, 2}, kernels_reference(), runner).value();
  auto state = s->open(4, 1U << 26U).value();
  std::vector<float> boundary(m.get().config.dim, 1.0F);
  step_output out;
  boundary[3] = std::numeric_limits<float>::infinity();
  const step_input in{.first = 0, .count = 1, .boundary = boundary};
  const auto failed = s->forward(state, in, runner, out);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, errc::nonfinite);
  EXPECT_NE(failed.error().message.find("layer 1"), std::string::npos) << failed.error().message;
  EXPECT_EQ(state.kv.length(), 0U);
}

TEST(segment, refuses_an_impossible_range) {
  const loaded_model m = tiny("q8_0");
  serial_runner runner;
  for (const layer_range range : {layer_range{0, 0}, layer_range{1, 0}, layer_range{0, 3}}) {
    EXPECT_EQ(segment::make(m.get(), range, kernels_reference(), runner).error().code,
              errc::invalid_argument);
  }
}

TEST(segment, scales_attention_by_the_correctly_rounded_inverse_root) {
  // a is correctly rounded when the exact 1/sqrt(d) lies between the midpoints to its neighbours:
  // low^2 * d < 1 < high^2 * d, and midpoints have 25 bits, so squares are exact in long double.
  for (std::uint32_t d = 1; d <= 1024; ++d) {
    const auto a = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
    const auto middle = [&](float to) {
      return (static_cast<long double>(a) + static_cast<long double>(std::nextafterf(a, to))) / 2;
    };
    EXPECT_LT(middle(0.0F) * middle(0.0F) * d, 1.0L) << d;
    EXPECT_GT(middle(2.0F) * middle(2.0F) * d, 1.0L) << d;
  }
}

} // namespace ovir::compute
