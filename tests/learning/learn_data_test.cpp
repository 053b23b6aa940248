// Files of examples: what counts of them, and what is refused.
#include "apps/ovir/learn/learn_data.hpp"
#include "apps/ovir/learn/learn_plot.hpp"
#include "storage/env/env.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::apps {
namespace {

using learning::example;
using ::testing::HasSubstr;

const ready_model& tales() {
  static const auto environment = storage::make_env_posix();
  static const ready_model model =
      ready_model_at(*environment, test::source_file("assets/tales-q8_0.gguf")).value();
  return model;
}

example only(std::string_view line, bool train_prompts = false) {
  const auto read = examples_from(line, tales(), {512, train_prompts});
  EXPECT_TRUE(read) << (read ? "" : read.error().message);
  return read && read->examples.size() == 1 ? read->examples.front() : example{};
}

/// The text of the tokens that count.
std::string learnt(const example& e) {
  std::string text;
  for (std::size_t i = 0; i < e.ids.size(); ++i) {
    text += e.counts[i] != 0 ? tales().vocabulary->piece(e.ids[i], true) : "";
  }
  return text;
}

TEST(learn_data, counts_completions_and_the_end_and_no_prompt) {
  const char* const line = R"({"prompt": "Once upon a", "completion": " time there was a fox."})";
  EXPECT_EQ(learnt(only(line)), " time there was a fox.<|eos|>");
  EXPECT_EQ(learnt(only(line, true)), "Once upon a time there was a fox.<|eos|>");
}

TEST(learn_data, counts_all_of_a_text_but_its_first_token) {
  const example e = only(R"({"text": "A fox."})");
  EXPECT_EQ(learnt(e), "A fox.<|eos|>");
  EXPECT_EQ(e.ids.front(), tales().vocabulary->bos());
}

TEST(learn_data, counts_what_the_assistant_says_in_every_turn) {
  const example e = only(R"({"messages": [{"role": "user", "content": "Tell me of a fox."},)"
                         R"({"role": "assistant", "content": "It ran."},)"
                         R"({"role": "user", "content": "And then?"},)"
                         R"({"role": "assistant", "content": "It slept."}]})");
  const std::string text = learnt(e);
  EXPECT_THAT(text, HasSubstr("It ran."));
  EXPECT_THAT(text, HasSubstr("It slept."));
  EXPECT_EQ(text.find("And then"), std::string::npos) << text;
  EXPECT_EQ(text.find("Tell me"), std::string::npos) << text;
}

TEST(learn_data, cuts_long_examples_and_leaves_out_those_without_anything_to_learn) {
  const std::string file = R"({"prompt": "Once upon a time there was", "completion": " a fox."})"
                           "\n\n"
                           R"({"text": "Once upon a time there was a fox."})";
  const auto read = examples_from(file, tales(), {4, false});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->cut, 2U);
  EXPECT_EQ(read->dropped, 1U);
  ASSERT_EQ(read->examples.size(), 1U);
  EXPECT_EQ(read->examples[0].ids.size(), 4U);
}

TEST(learn_data, names_the_line_that_is_wrong) {
  const auto refused = [](const std::string& second) {
    const auto read = examples_from("{\"text\": \"a fox\"}\n" + second, tales(), {});
    return read ? std::string{"accepted"} : read.error().message;
  };
  EXPECT_THAT(refused("{"), HasSubstr("line 2: this is no JSON object"));
  EXPECT_THAT(refused("[1]"), HasSubstr("line 2: this is no JSON object"));
  EXPECT_THAT(refused("{\"prompt\": \"a\"}"), HasSubstr("line 2: the object has neither"));
  EXPECT_THAT(refused("{\"text\": 7}"), HasSubstr("line 2: \"text\" is not a text"));
  EXPECT_THAT(refused("{\"messages\": []}"), HasSubstr("line 2: \"messages\" is not a list"));
  EXPECT_THAT(refused("{\"messages\": [{\"role\": \"root\", \"content\": \"a\"}]}"),
              HasSubstr("line 2: a message has a \"role\""));
  EXPECT_THAT(refused("{\"text\": \"" + std::string((1U << 20U) + 1, 'a') + "\"}"),
              HasSubstr("line 2: the line has"));
  EXPECT_THAT(refused(std::string(100'000, '[')), HasSubstr("line 2: this is no JSON object"));
}

TEST(loss_plot, draws_every_step_and_evaluation_within_the_picture) {
  const std::vector<double> losses{3, 2.5, 2.75, 2};
  const std::vector<learning::evaluation> evaluations{{0, 3.25}, {4, 2.25}};
  const std::string svg = loss_plot(losses, evaluations);
  EXPECT_THAT(svg, HasSubstr("<svg "));
  EXPECT_EQ(svg.substr(svg.size() - 7), "</svg>\n");
  const std::size_t line = svg.find("points=\"") + 8;
  const std::string points = svg.substr(line, svg.find('"', line) - line);
  EXPECT_EQ(std::count(points.begin(), points.end(), ','), 4);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(loss_plot(std::vector<double>{2, 2}, {}).find("nan"), std::string::npos);
  EXPECT_EQ(loss_plot({}, {}).find("nan"), std::string::npos);
}

} // namespace
} // namespace ovir::apps
