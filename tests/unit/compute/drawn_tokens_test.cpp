// Tokens of a receipt follow from the logits revealed, by the sampling that was asked for.
#include "compute/text/constraint.hpp"
#include "compute/text/sampler.hpp"
#include "tests/support/byte_words.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "verify/receipt_check.hpp"

#include <gmock/gmock.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ovir::compute {
namespace {

using test::receipt_maker;
constexpr std::size_t lead = receipt_maker::lead;

const receipt_maker& cast() {
  static const receipt_maker made;
  return made;
}

const signer_policy anybody{signer_policy::kind::any, {}};

class drawn_tokens : public ::testing::Test {
protected:
  // A receipt whose logits are real rows, and whose tokens follow from them.
  void SetUp() override {
    made_ = cast().honest();
    statement& last = made_.stages[2].statements[2];
    std::vector<token_id> tokens = made_.asked.prompt;
    const sampling_params& f = made_.asked.sampling;
    sampler draw{{f.temperature, f.top_k, f.top_p, f.min_p, f.repeat_penalty, f.seed}};
    for (std::size_t i = 0; i < last.logits.size(); ++i) {
      std::vector<float> row(64);
      for (std::size_t j = 0; j < row.size(); ++j) {
        row[j] = static_cast<float>((i * 31 + j * 17) % 64) / 8.0F;
      }
      const position at = last.first_draw + static_cast<position>(i);
      last.logits[i] = logits_digest(at, row);
      tokens.push_back(draw.draw(row, tokens, at + 1));
      rows_.push_back(std::move(row));
    }
    made_.output.assign(tokens.begin() + 70, tokens.end());
    sign_all();
  }

  void sign_all() {
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      cast().sign_link(made_, i);
      cast().sign_stage(made_, i);
    }
    cast().follow_statements(made_);
    cast().close(made_);
    ASSERT_TRUE(check_receipt(made_, anybody).empty());
  }

  receipt made_;
  std::vector<std::vector<float>> rows_;
};

TEST_F(drawn_tokens, follow_from_the_logits_revealed) {
  auto checker = draw_checker::make(made_).value();
  ASSERT_EQ(checker.draws(), 21U);
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    EXPECT_FALSE(checker.check(i, rows_[i]));
  }
}

TEST_F(drawn_tokens, are_told_from_others_that_a_lead_took_instead) {
  made_.output[4] += 1;
  made_.output.back() += 1;
  sign_all(); // all of the path goes along with it
  auto checker = draw_checker::make(made_).value();
  EXPECT_FALSE(checker.check(3, rows_[3]));
  for (const std::size_t i : {std::size_t{4}, rows_.size() - 1}) {
    const auto wrong = checker.check(i, rows_[i]);
    ASSERT_TRUE(wrong);
    EXPECT_EQ(wrong->signer, cast().id(lead));
    EXPECT_EQ(wrong->at, static_cast<position>(70 + i));
  }
}

TEST_F(drawn_tokens, that_the_last_stage_chose_wrongly_are_its_own) {
  made_.asked.sampling.temperature = 0;
  made_.asked.sampling.repeat_penalty = 1;
  statement& last = made_.stages[2].statements[2];
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    made_.output[i] = highest_of(rows_[i]);
    last.choices.push_back(made_.output[i]);
  }
  sign_all();
  auto honest = draw_checker::make(made_).value();
  EXPECT_FALSE(honest.check(4, rows_[4]));
  made_.output[4] = last.choices[4] = (made_.output[4] + 1) % 64;
  sign_all(); // the lead tells what it was told
  auto checker = draw_checker::make(made_).value();
  EXPECT_FALSE(checker.check(3, rows_[3]));
  const auto wrong = checker.check(4, rows_[4]);
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->signer, cast().id(2));
  EXPECT_EQ(wrong->at, position{74});
}

/// The first 64 tokens are "0" to "9" and what is no JSON; only integers are to be drawn.
TEST_F(drawn_tokens, of_a_constrained_answer_keep_to_it_and_are_told_from_others) {
  std::vector<std::string> text(63, "x");
  for (std::size_t i = 0; i < 10; ++i) {
    text[20 + i] = std::to_string(i);
  }
  const test::byte_words words{text};
  made_.asked.sampling.constraint =
      constraint_text(static_cast<std::uint32_t>(made_.output.size()),
                      R"("schema":{"type":"array","items":{"type":"integer"}})");
  ASSERT_FALSE(draw_checker::make(made_, &words.words())); // no "[" in this vocabulary
  made_.asked.sampling.constraint = constraint_text(static_cast<std::uint32_t>(made_.output.size()),
                                                    R"("schema":{"type":"integer"})");
  auto matcher = token_matcher::make(made_.asked.sampling.constraint, words.words()).value();
  sampler draw{made_.asked.sampling};
  std::vector<token_id> tokens = made_.asked.prompt;
  made_.output.clear();
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const auto allowed = matcher->allowed(made_.output);
    ASSERT_TRUE(allowed);
    made_.output.push_back(draw.draw(rows_[i], tokens, static_cast<position>(70 + i), *allowed));
    tokens.push_back(made_.output.back());
    if (words.ends_generation(tokens.back())) {
      // What is drawn behind the end is nothing the rest of this test looks at.
      made_.output.resize(rows_.size(), tokens.back());
      break;
    }
  }
  sign_all();
  EXPECT_FALSE(draw_checker::make(made_)); // cannot be judged without the vocabulary
  auto checker = draw_checker::make(made_, &words.words()).value();
  for (std::size_t i = 0; i < rows_.size() && made_.output[i] != words.end(); ++i) {
    EXPECT_FALSE(checker.check(i, rows_[i])) << i;
    EXPECT_TRUE(words.piece(made_.output[i], false) != "x") << i;
  }
  // A lead that draws as if there were no constraint, and signs that.
  const std::vector<token_id> honest = made_.output;
  made_.output[1] = 3;
  sign_all();
  auto again = draw_checker::make(made_, &words.words()).value();
  EXPECT_FALSE(again.check(0, rows_[0]));
  const auto wrong = again.check(1, rows_[1]);
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->signer, cast().id(lead));
  const auto behind = again.check(2, rows_[2]);
  ASSERT_TRUE(behind);
  EXPECT_THAT(behind->what, testing::HasSubstr("do not keep to the constraint"));
  // One that signs another constraint than was asked for has another request.
  made_.output = honest;
  const digest asked = request_digest(made_.asked);
  made_.asked.sampling.constraint.clear();
  EXPECT_NE(request_digest(made_.asked), asked);
}

TEST_F(drawn_tokens, follow_the_penalties_and_biases_that_were_asked_for) {
  sampling_params& how = made_.asked.sampling;
  how.presence_penalty = 0.75F;
  how.frequency_penalty = 0.5F;
  how.logit_bias = {{9, 3.0F}, {40, -100.0F}};
  sampler draw{how};
  std::vector<token_id> tokens = made_.asked.prompt;
  made_.output.clear();
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const auto at = static_cast<position>(70 + i);
    made_.output.push_back(draw.draw(rows_[i], tokens, at, {}, made_.output));
    tokens.push_back(made_.output.back());
  }
  sign_all();
  const auto wrong_at = [&]() -> std::optional<position> {
    auto checker = draw_checker::make(made_).value();
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (const auto wrong = checker.check(i, rows_[i])) {
        EXPECT_EQ(wrong->signer, cast().id(lead));
        return wrong->at;
      }
    }
    return std::nullopt;
  };
  EXPECT_FALSE(wrong_at());
  // A lead that draws so and has other parameters signed, properly.
  const auto forged = [&](const std::function<void(sampling_params&)>& change) {
    const sampling_params honest = made_.asked.sampling;
    change(made_.asked.sampling);
    sign_all();
    const bool found = wrong_at().has_value();
    made_.asked.sampling = honest;
    return found;
  };
  EXPECT_TRUE(forged([](sampling_params& p) { p.presence_penalty = 0; }));
  EXPECT_TRUE(forged([](sampling_params& p) { p.frequency_penalty = 0; }));
  EXPECT_TRUE(forged([](sampling_params& p) { p.logit_bias[0].bias = 0.5F; }));
}

TEST_F(drawn_tokens, before_the_least_length_are_no_ends) {
  const test::byte_words words{std::vector<std::string>(62, "x")}; // 62 ends an answer
  made_.asked.sampling.min_tokens = 4;
  auto matcher = token_matcher::make(made_.asked.sampling, words.words()).value();
  for (std::vector<float>& row : rows_) {
    row[62] = 50; // a model that wants to end
  }
  statement& last = made_.stages[2].statements[2];
  sampler draw{made_.asked.sampling};
  std::vector<token_id> tokens = made_.asked.prompt;
  made_.output.clear();
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const auto at = static_cast<position>(70 + i);
    last.logits[i] = logits_digest(at - 1, rows_[i]);
    const auto allowed = matcher->allowed(made_.output).value();
    made_.output.push_back(draw.draw(rows_[i], tokens, at, allowed, made_.output));
    tokens.push_back(made_.output.back());
    EXPECT_EQ(made_.output.back() == 62, i >= 4) << i;
  }
  sign_all();
  EXPECT_FALSE(draw_checker::make(made_)); // cannot be judged without the vocabulary
  auto checker = draw_checker::make(made_, &words.words()).value();
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    EXPECT_FALSE(checker.check(i, rows_[i])) << i;
  }
  made_.output[2] = 62; // a lead that ends early
  sign_all();
  auto again = draw_checker::make(made_, &words.words()).value();
  const auto wrong = again.check(2, rows_[2]);
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->signer, cast().id(lead));
}

TEST_F(drawn_tokens, need_the_logits_that_were_stated) {
  rows_[2][7] += 1;
  auto checker = draw_checker::make(made_).value();
  const auto wrong = checker.check(2, rows_[2]);
  ASSERT_TRUE(wrong);
  EXPECT_FALSE(wrong->signer);
  EXPECT_EQ(wrong->at, 71U);
}

} // namespace
} // namespace ovir::compute
