#include "actors/request/draft_model.hpp"
#include "compute/make/synth.hpp"
#include "messages/limits/draft.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/letters_tokenizer.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace ovir::actors {
namespace {

using ids = std::vector<token_id>;

class draft_model_of_two_layers : public testing::Test {
protected:
  draft_model_of_two_layers() {
    compute::synth_spec spec;
    spec.context = 256;
    model_ = std::make_unique<test::loaded_model>(test::synthetic_model(spec));
    vocabulary_ = compute::tokenizer::make(model_->file()).value();
    drafts_ = make(*vocabulary_).value();
  }

  [[nodiscard]] result<std::shared_ptr<draft_model>> make(const compute::tokenizer& target) {
    compute::model checked = model_->get();
    OVIR_TRY(compute::check_weights(checked, {0, checked.config.layers}, runner_));
    return draft_model::make(checked, *compute::select_kernels(std::nullopt).value(), *vocabulary_,
                             target, nullptr);
  }
  [[nodiscard]] std::unique_ptr<draft_run> open() {
    return draft_model::open(drafts_, 200, sampling_);
  }
  static ids text(std::size_t length) {
    ids history(length);
    for (std::size_t i = 0; i < length; ++i) {
      history[i] = static_cast<token_id>(5 + (i * 37) % 200);
    }
    return history;
  }
  /// What a run that begins anew guesses.
  ids fresh(const ids& history, std::size_t output, std::uint32_t count) {
    const auto run = open();
    while (run->prepare(std::span{history}.first(history.size() - 1), runner_)) {
    }
    return run->guess(history, output, count, runner_);
  }

  compute::serial_runner runner_;
  sampling_params sampling_;
  std::unique_ptr<test::loaded_model> model_;
  std::unique_ptr<compute::tokenizer> vocabulary_;
  std::shared_ptr<draft_model> drafts_;
};

TEST_F(draft_model_of_two_layers, guesses_one_token_after_another_as_it_would_draw_them) {
  for (const float temperature : {0.0F, 0.9F}) {
    sampling_.temperature = temperature;
    sampling_.seed = 11;
    ids history = text(150); // more than two chunks
    const ids all = fresh(history, 3, 5);
    ASSERT_EQ(all.size(), 5U);
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(fresh(history, 3 + i, 1), ids{all[i]});
      history.push_back(all[i]);
    }
  }
}

TEST_F(draft_model_of_two_layers, takes_back_what_it_guessed) {
  const auto run = open();
  ids history = text(40);
  EXPECT_EQ(run->guess(history, 0, 7, runner_), fresh(history, 0, 7));
  for (std::uint32_t i = 0; i < 40; ++i) { // what came was another token, and at times several
    for (std::uint32_t j = 0; j <= i % 4; ++j) {
      history.push_back(5 + (i * 31 + j) % 190);
    }
    const std::uint32_t count = i % 8;
    ASSERT_EQ(run->guess(history, 0, count, runner_), fresh(history, 0, count)) << i;
  }
}

TEST_F(draft_model_of_two_layers, computes_a_prompt_in_chunks) {
  const auto run = open();
  const ids history = text(150);
  EXPECT_FALSE(run->is_ready(history.size()));
  EXPECT_TRUE(run->prepare(history, runner_));
  EXPECT_TRUE(run->prepare(history, runner_));
  EXPECT_FALSE(run->prepare(history, runner_));
  EXPECT_FALSE(run->is_ready(history.size())) << "the last token's logits were not asked for";
  EXPECT_TRUE(run->is_ready(history.size() + 1));
  EXPECT_FALSE(run->is_ready(history.size() + 1 + limits::draft_chunk));
}

TEST_F(draft_model_of_two_layers, guesses_nothing_beyond_its_context) {
  const auto run = draft_model::open(drafts_, 1'000, sampling_); // the model has 256
  ids history = text(254);
  while (run->prepare(std::span{history}.first(253), runner_)) {
  }
  EXPECT_EQ(run->guess(history, 0, 7, runner_).size(), 3U) << "two fit, one follows them";
  history.insert(history.end(), 3, 7);
  EXPECT_FALSE(run->prepare(history, runner_));
  EXPECT_TRUE(run->failed());
  EXPECT_FALSE(run->is_ready(history.size()));
}

TEST_F(draft_model_of_two_layers, guesses_for_so_many_requests_at_once) {
  std::vector<std::unique_ptr<draft_run>> runs;
  for (std::uint32_t i = 0; i < limits::draft_runs_max; ++i) {
    runs.push_back(open());
    ASSERT_NE(runs.back(), nullptr);
  }
  EXPECT_EQ(open(), nullptr);
  runs.pop_back();
  EXPECT_NE(open(), nullptr);
}

TEST_F(draft_model_of_two_layers, does_not_guess_for_another_vocabulary) {
  const test::letters other;
  const auto made = make(other);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, errc::invalid_argument);
}

} // namespace
} // namespace ovir::actors
