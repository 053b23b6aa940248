#include "gateway/api/answer_writer.hpp"
#include "gateway/api/token_logprobs_json.hpp"

#include <gtest/gtest.h>

namespace ovir::gateway {
namespace {

/// 0 ends a generation, 1 is a control token, 2 and 3 are the halves of "é", 4 is "é", others
/// letters.
class letters final : public compute::tokenizer {
public:
  result<std::vector<token_id>> encode(std::string_view, options) const override {
    return fail(errc::unsupported, "letters are not encoded");
  }
  std::string piece(token_id id, bool special) const override {
    switch (id) {
    case 0: return special ? "</s>" : "";
    case 1: return special ? "<|x|>" : "";
    case 2: return "\xc3";
    case 3: return "\xa9";
    case 4: return "\xc3\xa9";
    default: return std::string(1, static_cast<char>(id));
    }
  }
  std::uint32_t vocabulary() const noexcept override { return 128; }
  std::optional<token_id> bos() const noexcept override { return std::nullopt; }
  std::optional<token_id> eos() const noexcept override { return 0; }
  bool adds_bos() const noexcept override { return false; }
  bool ends_generation(token_id id) const noexcept override { return id == 0; }
  bool has_space_prefix() const noexcept override { return false; }
};

const auto vocabulary = std::make_shared<letters>();

told_token told(token_id token, float drawn, std::vector<token_logprob> top = {}) {
  return {
      0, token, {}, std::make_shared<const token_logprobs>(token_logprobs{drawn, std::move(top)})};
}

told_token told_at(std::uint32_t index, std::string text, told_token token) {
  token.index = index;
  token.text = std::move(text);
  return token;
}

TEST(token_logprobs_json, of_a_chat_has_each_token_with_its_bytes_and_the_likeliest) {
  const told_tokens tokens{{told('a', -0.5F, {{'a', -0.5F}, {2, -1}}), told(1, -2)}, 0};
  EXPECT_EQ(logprobs_json(api_kind::chat, tokens, *vocabulary), json::parse(R"({
    "content": [
      {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [
        {"token": "a", "logprob": -0.5, "bytes": [97]},
        {"token": "bytes:\\xc3", "logprob": -1.0, "bytes": [195]}]},
      {"token": "<|x|>", "logprob": -2.0, "bytes": [60, 124, 120, 124, 62], "top_logprobs": []}],
    "refusal": null})"));
}

TEST(token_logprobs_json, of_a_completion_has_lists_and_offsets_in_characters) {
  const told_tokens tokens{
      {told('a', -0.5F, {{'b', -0.25F}}), told(4, -1), told(2, -2), told(3, -3), told('z', -4)}, 7};
  EXPECT_EQ(logprobs_json(api_kind::completion, tokens, *vocabulary), json::parse(R"({
    "tokens": ["a", "é", "bytes:\\xc3", "bytes:\\xa9", "z"],
    "token_logprobs": [-0.5, -1.0, -2.0, -3.0, -4.0],
    "top_logprobs": [{"a": -0.5, "b": -0.25}, {"é": -1.0}, {"bytes:\\xc3": -2.0},
                     {"bytes:\\xa9": -3.0}, {"z": -4.0}],
    "text_offset": [7, 8, 9, 10, 10]})"));
}

TEST(token_logprobs_json, leaves_out_the_token_that_ends_the_answer) {
  const told_tokens tokens{{told('a', -0.5F), told(0, -1)}, 0};
  EXPECT_EQ(logprobs_json(api_kind::chat, tokens, *vocabulary)["content"].size(), 1U);
  EXPECT_EQ(logprobs_json(api_kind::completion, tokens, *vocabulary)["tokens"].size(), 1U);
}

answer_shape shape_of(api_kind kind, bool stream) {
  answer_shape shape;
  shape.kind = kind;
  shape.id = request_id{5};
  shape.answers = {shape.id};
  shape.stream = stream;
  shape.vocabulary = vocabulary;
  return shape;
}

json data_of(const std::string& event) {
  return json::parse(event.substr(event.find("data: ") + 6));
}

TEST(token_logprobs_json, an_event_has_those_of_its_token_whatever_the_client_had_before) {
  answer_writer writer{shape_of(api_kind::completion, true), {1}};
  EXPECT_EQ(writer.on_token(0, told_at(0, "a", told('a', -1))), "");
  const json event = data_of(writer.on_token(0, told_at(1, "b", told('b', -2))));
  EXPECT_EQ(event["choices"][0]["logprobs"]["tokens"], json::array({"b"}));
  EXPECT_EQ(event["choices"][0]["logprobs"]["text_offset"], json::array({1}));
  const std::string end = writer.on_end(0, {finish_reason::length, 2, "ab", {}});
  EXPECT_EQ(data_of(end.substr(0, end.find('\n', end.find("data: "))))["choices"][0]["logprobs"],
            nullptr);
}

TEST(token_logprobs_json, a_body_has_those_of_all_tokens) {
  answer_writer writer{shape_of(api_kind::chat, false)};
  EXPECT_EQ(writer.on_token(0, told_at(0, "a", told('a', -1))), "");
  EXPECT_EQ(writer.on_token(0, told_at(1, "b", told('b', -2))), "");
  EXPECT_EQ(writer.on_end(0, {finish_reason::length, 2, "ab", {}}), "");
  const json content = json::parse(writer.body())["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 2U);
  EXPECT_EQ(content[1]["logprob"], -2.0);
}

} // namespace
} // namespace ovir::gateway
