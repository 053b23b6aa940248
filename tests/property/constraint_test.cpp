// Whatever the model says, a constrained answer parses and fits its schema.
#include "compute/text/constraint.hpp"
#include "compute/text/sampler.hpp"
#include "compute/text/token_matcher.hpp"
#include "tests/support/byte_words.hpp"
#include "tests/support/model/random_schema.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::compute {
namespace {

using test::byte_words;
using test::ordered_json;

const byte_words& words() {
  static const byte_words made{byte_words::bytes_and(
      {"{\"",       "\":",          "\": ",  "\",",    "\"}",         "[[",    "]]",
       "}}",        " {",           "true",  "false",  "nul",         "null",  "10",
       "123",       "-1",           "0.",    "e1",     "\\u",         "\\ud8", "name",
       "na",        "\"name\":",    "größ",  "日",     "\xE6\x97",    "hello", " world",
       "\n  ",      "  ",           "<tool", "_call>", "<tool_call>", "\n{\"", "name\": \"",
       "arguments", "</tool_call>", ", ",    "},{",    "a\"",         "]}"})};
  return made;
}

std::vector<float> random_logits(std::mt19937_64& random) {
  std::vector<float> logits(words().vocabulary());
  for (float& x : logits) {
    x = static_cast<float>(random() % 10'000) / 1'000.F;
  }
  return logits;
}

/// What a model of random logits answers; `narrow` counts answers that their tokens had to end.
std::string answer(const std::string& constraint, std::mt19937_64& random, std::uint32_t tokens) {
  auto matcher = token_matcher::make(constraint, words().words());
  EXPECT_TRUE(matcher) << constraint << matcher.error().message;
  const float temperature = random() % 4 == 0 ? 0.F : 1.F;
  sampler draw{{.temperature = temperature,
                .top_p = 0.95,
                .repeat_penalty = random() % 2 == 0 ? 1.F : 1.1F,
                .seed = random()}};
  std::vector<token_id> output;
  std::string text;
  while (output.size() < tokens) {
    const auto allowed = (*matcher)->allowed(output);
    if (!allowed) {
      ADD_FAILURE() << "nothing may follow " << text << " of " << constraint;
      return text;
    }
    const auto logits = random_logits(random);
    const token_id id = draw.draw(logits, output, static_cast<position>(output.size()), *allowed);
    output.push_back(id);
    if (words().ends_generation(id)) {
      return text;
    }
    text += words().piece(id, false);
  }
  return text;
}

std::uint32_t shortest(const std::string& body) {
  const auto made = token_matcher::make(constraint_text(1U << 16U, body), words().words());
  EXPECT_TRUE(made) << body << made.error().message;
  return (*made)->shortest();
}

TEST(constraint, answers_to_a_thousand_random_schemas_parse_and_fit) {
  std::mt19937_64 random{20'250'920};
  std::size_t squeezed = 0;
  for (int i = 0; i < 1'000; ++i) {
    const ordered_json schema = test::random_schema(random, 3);
    const std::string body = fmt::format("\"schema\":{}", schema.dump());
    const std::uint32_t least = shortest(body);
    const std::uint32_t tokens = least + static_cast<std::uint32_t>(random() % 60);
    squeezed += tokens == least ? 1 : 0;
    const std::string text = answer(constraint_text(tokens, body), random, tokens);
    const auto value = nlohmann::json::parse(text, nullptr, false);
    ASSERT_FALSE(value.is_discarded()) << schema << "\n" << text;
    ASSERT_TRUE(test::fits(schema, schema, value)) << schema << "\n" << text;
  }
  EXPECT_GT(squeezed, 3U); // some had room for nothing but the shortest answer
}

TEST(constraint, free_objects_parse) {
  std::mt19937_64 random{7};
  for (int i = 0; i < 300; ++i) {
    const auto tokens = static_cast<std::uint32_t>(2 + random() % 100);
    const std::string text = answer(constraint_text(tokens, "\"json\":\"object\""), random, tokens);
    ASSERT_TRUE(nlohmann::json::parse(text, nullptr, false).is_object()) << text;
  }
}

TEST(constraint, recursive_schemas_end) {
  std::mt19937_64 random{8};
  const ordered_json schema = ordered_json::parse(
      R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"v":{"type":
      "integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v",
      "next"],"additionalProperties":false}}})");
  for (int i = 0; i < 200; ++i) {
    const auto tokens = static_cast<std::uint32_t>(21 + random() % 300);
    const std::string text =
        answer(constraint_text(tokens, "\"schema\":" + schema.dump()), random, tokens);
    const auto value = nlohmann::json::parse(text, nullptr, false);
    ASSERT_TRUE(!value.is_discarded() && test::fits(schema, schema, value)) << text;
  }
}

/// Text, then calls: each of a tool there is, with arguments that fit.
TEST(constraint, calls_of_tools_parse) {
  std::mt19937_64 random{9};
  for (int i = 0; i < 300; ++i) {
    const ordered_json schema = test::random_schema(random, 2);
    const ordered_json tools =
        ordered_json::array({{{"name", "one"}, {"parameters", schema}},
                             {{"name", "other-2"}, {"parameters", {{"type", "null"}}}}});
    const bool needed = i % 2 == 0;
    const std::string body =
        fmt::format(R"("needed":{},"calls":{},"tools":{})", needed, 1 + i % 3, tools.dump());
    const std::uint32_t tokens = shortest(body) + 60 + static_cast<std::uint32_t>(random() % 100);
    std::string text = answer(constraint_text(tokens, body), random, tokens);
    std::size_t at = text.find(tool_call_trigger);
    ASSERT_TRUE(!needed || at == 0) << text;
    int calls = 0;
    while (at != std::string::npos) {
      ASSERT_TRUE(text.substr(at).starts_with(tool_call_open)) << text;
      const std::size_t end = text.find(tool_call_close, at);
      ASSERT_NE(end, std::string::npos) << text;
      const auto call = nlohmann::json::parse(
          text.substr(at + tool_call_open.size(), end - at - tool_call_open.size()), nullptr,
          false);
      ASSERT_FALSE(call.is_discarded()) << text;
      const bool first = call["name"] == "one";
      ASSERT_TRUE(first ? test::fits(schema, schema, call["arguments"])
                        : call["name"] == "other-2" && call["arguments"].is_null())
          << text;
      ++calls;
      at = text.find(tool_call_trigger, end + tool_call_close.size());
    }
    ASSERT_LE(calls, 1 + i % 3);
  }
}

/// The same tokens are allowed whoever asks, from wherever it goes on.
TEST(constraint, a_matcher_that_goes_on_in_the_middle_allows_the_same) {
  std::mt19937_64 random{10};
  for (int i = 0; i < 100; ++i) {
    const ordered_json schema = test::random_schema(random, 3);
    const std::string body = fmt::format("\"schema\":{}", schema.dump());
    const std::string constraint = constraint_text(shortest(body) + 30, body);
    auto one = token_matcher::make(constraint, words().words()).value();
    std::vector<token_id> output;
    for (int t = 0; t < 20; ++t) {
      const auto allowed = one->allowed(output);
      ASSERT_TRUE(allowed);
      const std::vector<std::uint64_t> bits{allowed->begin(), allowed->end()};
      auto other = token_matcher::make(constraint, words().words()).value();
      const auto again = other->allowed(output);
      ASSERT_TRUE(again);
      ASSERT_TRUE(std::equal(bits.begin(), bits.end(), again->begin(), again->end())) << schema;
      sampler draw{{.temperature = 1, .seed = random()}};
      const token_id id = draw.draw(random_logits(random), output, 0, bits);
      if (words().ends_generation(id)) {
        break;
      }
      output.push_back(id);
    }
    // And one that is asked for what it passed already.
    const std::vector<token_id> start;
    const auto back = one->allowed(start);
    ASSERT_TRUE(back);
    const std::vector<std::uint64_t> bits{back->begin(), back->end()};
    auto fresh = token_matcher::make(constraint, words().words()).value();
    const auto first = fresh->allowed(start);
    ASSERT_TRUE(first && std::equal(bits.begin(), bits.end(), first->begin(), first->end()));
  }
}

} // namespace
} // namespace ovir::compute
