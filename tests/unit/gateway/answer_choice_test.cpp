// Which answers are told and what with them: best_of, echo, dimensions, and what a model is asked
// for by a suffix.
#include "compute/forward/pooled_rows.hpp"
#include "gateway/api/prepared_request.hpp"
#include "tests/support/model/small_vocabularies.hpp"
#include "tests/unit/gateway/made_up_endpoint.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

namespace ovir::gateway {
namespace {

using plain_json = nlohmann::json;

class answer_choice : public endpoint {
protected:
  /// Answer `index` is told as tokens of these logprobs, and is over.
  void answer(std::size_t index, const std::string& text, const std::vector<float>& logprobs) {
    const std::uint64_t tag = cluster_.started.at(index).tag;
    for (std::size_t i = 0; i < logprobs.size(); ++i) {
      const auto told = std::make_shared<token_logprobs>();
      told->drawn = logprobs[i];
      app_->calls().on_token(tag, {static_cast<std::uint32_t>(i), 7, i == 0 ? text : "", told});
    }
    app_->calls().on_end(tag, outcome(text, static_cast<std::uint32_t>(logprobs.size())));
  }
  static plain_json body_of(const made_up_exchange& e) { return plain_json::parse(e.head.body); }
};

TEST_F(answer_choice, the_likeliest_by_the_sum_of_their_logprobs_are_told_and_all_are_billed) {
  const auto asked = complete(R"(, "n": 2, "best_of": 4, "temperature": 1)");
  ASSERT_EQ(cluster_.started.size(), 4U);
  for (const auto& start : cluster_.started) {
    EXPECT_EQ(start.order.logprobs, 0U);
  }
  answer(0, "a", {-3.0F});
  answer(1, "b", {-0.5F, -0.5F});
  answer(2, "c", {-0.25F, -0.5F, -0.5F});
  EXPECT_FALSE(asked->ended);
  answer(3, "d", {-1.0F}); // as likely as "b", and made later
  ASSERT_TRUE(asked->ended);
  const plain_json body = body_of(*asked);
  ASSERT_EQ(body["choices"].size(), 2U) << body;
  EXPECT_EQ(body["choices"][0]["text"], "b");
  EXPECT_EQ(body["choices"][0]["index"], 0);
  EXPECT_EQ(body["choices"][1]["text"], "d");
  EXPECT_TRUE(body["choices"][0]["logprobs"].is_null()) << "nobody asked for them";
  EXPECT_EQ(body["usage"]["completion_tokens"], 7);
}

TEST_F(answer_choice, the_likeliest_are_chosen_for_each_prompt) {
  const auto asked =
      ask(R"({"model": "m", "prompt": ["Once", "There"], "best_of": 2})", "/v1/completions");
  ASSERT_EQ(cluster_.started.size(), 4U);
  answer(0, "a", {-2.0F});
  answer(1, "b", {-1.0F});
  answer(2, "c", {-5.0F});
  answer(3, "d", {-6.0F});
  const plain_json body = body_of(*asked);
  ASSERT_EQ(body["choices"].size(), 2U);
  EXPECT_EQ(body["choices"][0]["text"], "b");
  EXPECT_EQ(body["choices"][1]["text"], "c");
  EXPECT_EQ(body["choices"][1]["index"], 1);
}

TEST_F(answer_choice, without_logprobs_no_answer_is_called_the_best) {
  const auto asked = complete(R"(, "best_of": 2)");
  app_->calls().on_token(tag(), {0, 7, "x", nullptr});
  EXPECT_EQ(asked->head.status, 503);
  EXPECT_EQ(body_of(*asked)["error"]["code"], "logprobs_lost");
}

TEST_F(answer_choice, a_prompt_is_repeated_in_front_of_its_answers) {
  const auto asked =
      ask(R"({"model": "m", "prompt": "Once upon", "echo": true, "n": 2})", "/v1/completions");
  answer(0, " a time", {-1.0F});
  answer(1, " a cow", {-1.0F});
  const plain_json body = body_of(*asked);
  EXPECT_EQ(body["choices"][0]["text"], "Once upon a time");
  EXPECT_EQ(body["choices"][1]["text"], "Once upon a cow");
  EXPECT_EQ(body["usage"]["completion_tokens"], 2);
}

TEST_F(answer_choice, a_stream_repeats_the_prompt_in_its_first_event_alone) {
  const auto asked = complete(R"(, "echo": true, "stream": true)");
  const std::uint64_t tag = cluster_.started.at(0).tag;
  app_->calls().on_token(tag, {0, 7, " upon", nullptr});
  app_->calls().on_token(tag, {1, 7, " a", nullptr});
  app_->calls().on_end(tag, outcome(" upon a", 2));
  const std::string& told = asked->head.body;
  EXPECT_NE(told.find(R"("text":"Once upon")"), std::string::npos) << told;
  EXPECT_NE(told.find(R"("text":" a")"), std::string::npos);
  EXPECT_EQ(told.find("Once"), told.rfind("Once"));
}

TEST_F(answer_choice, a_vector_is_cut_and_of_length_one_again) {
  cluster_.list[0].dim = 4;
  const std::vector<float> whole{0.5F, -0.25F, 0.75F, 0.125F};
  const auto asked = ask(R"({"model": "m", "input": "x", "dimensions": 2})", "/v1/embeddings");
  generation_outcome done = outcome("", 0);
  done.embedding = whole;
  app_->calls().on_end(tag(), done);
  const auto told = body_of(*asked)["data"][0]["embedding"].get<std::vector<float>>();
  const double length = std::sqrt(0.25 + 0.0625);
  EXPECT_EQ(told, (std::vector<float>{static_cast<float>(0.5 / length),
                                      static_cast<float>(-0.25 / length)}));
  const auto refused = ask(R"({"model": "m", "input": "x", "dimensions": 5})", "/v1/embeddings");
  EXPECT_EQ(body_of(*refused)["error"]["param"], "dimensions");
}

TEST_F(answer_choice, biases_of_unknown_tokens_and_lengths_beyond_the_room_are_refused) {
  const auto param = [this](const std::string& more) {
    return body_of(*complete(", " + more))["error"]["param"];
  };
  EXPECT_EQ(param(R"("logit_bias": {"1000000": 1})"), "logit_bias");
  EXPECT_EQ(param(R"("min_tokens": 5, "max_tokens": 4)"), "min_tokens");
  EXPECT_EQ(param(R"("min_tokens": 17)"), "min_tokens") << "16 tokens are made at most";
  EXPECT_TRUE(cluster_.started.empty());
  EXPECT_EQ(param(R"("suffix": "x")"), "suffix") << "this model fills no gaps";
}

TEST(infill, has_the_text_before_a_gap_and_behind_it_between_the_tokens_of_the_model) {
  auto metadata = test::small_bpe();
  metadata.u32("tokenizer.ggml.prefix_token_id", 3)
      .u32("tokenizer.ggml.fim_suf_token_id", 4)
      .u32("tokenizer.ggml.suffix_token_id", 9) // an older name of the same, passed over
      .u32("tokenizer.ggml.fim_mid_token_id", 5)
      .boolean("tokenizer.ggml.add_bos_token", true);
  served_model model;
  model.context = 64;
  model.vocabulary = test::tokenizer_of(metadata);
  EXPECT_EQ(model.vocabulary->infill(), (compute::infill_tokens{3, 4, 5}));
  completion_request request;
  request.prompts = {std::string{"ab"}, std::vector<token_id>{7, 8}};
  request.suffix = "c";
  const auto made = prepare(request, model, request_id{1}, {}, {});
  const auto& orders = std::get<prepared_request>(made).orders;
  ASSERT_EQ(orders.size(), 2U);
  const auto plain = [&](std::string_view text) {
    return model.vocabulary->encode(text, {.add_bos = false}).value();
  };
  std::vector<token_id> wanted{*model.vocabulary->bos(), 3};
  const auto add = [&wanted](const std::vector<token_id>& ids) {
    wanted.insert(wanted.end(), ids.begin(), ids.end());
  };
  add(plain("ab"));
  add({4});
  add(plain("c"));
  add({5});
  EXPECT_EQ(orders[0].prompt, wanted);
  wanted = {*model.vocabulary->bos(), 3, 7, 8, 4};
  add(plain("c"));
  add({5});
  EXPECT_EQ(orders[1].prompt, wanted);
}

TEST(infill, needs_all_three_tokens_and_those_of_the_vocabulary) {
  auto two = test::small_spm();
  two.u32("tokenizer.ggml.fim_pre_token_id", 3).u32("tokenizer.ggml.fim_suf_token_id", 4);
  EXPECT_FALSE(test::tokenizer_of(two)->infill());
  two.u32("tokenizer.ggml.fim_mid_token_id", 1'000'000);
  EXPECT_NE(test::refusal_of(two).message.find("fim_mid_token_id"), std::string::npos);
}

} // namespace
} // namespace ovir::gateway
