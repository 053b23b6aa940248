#include "gateway/api/chat_format.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>

#include <algorithm>

namespace ovir::gateway {
namespace {

using kind = prompt_part::kind;

const test::loaded_model& tales() {
  static const test::loaded_model model{test::source_file("assets/tales-q4_k_m.gguf")};
  return model;
}

const compute::tokenizer& vocabulary_of_tales() {
  static const auto vocabulary = compute::tokenizer::make(tales().file()).value();
  return *vocabulary;
}

std::vector<prompt_part> rendered(std::string_view format, std::vector<chat_message> messages) {
  const auto found = chat_format_for(format, "", vocabulary_of_tales());
  auto parts = found.value()->render(messages);
  if (const auto* const refused = std::get_if<api_error>(&parts)) {
    ADD_FAILURE() << refused->message;
    return {};
  }
  return std::get<std::vector<prompt_part>>(parts);
}

std::string flat(const std::vector<prompt_part>& parts) {
  std::string text;
  for (const prompt_part& p : parts) {
    text += p.what == kind::bos ? "<s>" : p.what == kind::eos ? "</s>" : p.text;
  }
  return text;
}

std::string refused_role(std::string_view format, std::vector<chat_message> messages) {
  const auto parts = chat_format_for(format, "", vocabulary_of_tales()).value()->render(messages);
  return std::holds_alternative<api_error>(parts) ? std::get<api_error>(parts).param : "accepted";
}

TEST(chat_format, writes_conversations_as_the_models_templates_do) {
  const std::vector<chat_message> talk{
      {"system", "S"}, {"user", "U"}, {"assistant", "A"}, {"user", " V "}};
  EXPECT_EQ(
      flat(rendered("chatml", talk)),
      "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
      "A<|im_end|>\n<|im_start|>user\n V <|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(flat(rendered("llama-3", talk)),
            "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user"
            "<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA"
            "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|><|start_header_id|>"
            "assistant<|end_header_id|>\n\n");
  EXPECT_EQ(flat(rendered("llama-2", talk)),
            "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A </s><s>[INST] V [/INST]");
  EXPECT_EQ(flat(rendered("zephyr", talk)),
            "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|user|>\n V </s>\n"
            "<|assistant|>\n");
}

TEST(chat_format, an_order_it_has_no_place_for_is_refused_by_message) {
  EXPECT_EQ(refused_role("llama-2", {{"user", "a"}, {"user", "b"}}), "messages[1].role");
  EXPECT_EQ(refused_role("llama-2", {{"user", "a"}, {"assistant", "b"}}), "messages[1].role");
  EXPECT_EQ(refused_role("llama-2", {{"system", "a"}}), "messages[0].role");
  EXPECT_EQ(refused_role("tales", {{"user", "a"}, {"system", "b"}}), "messages[1].role");
}

TEST(chat_format, a_template_that_cannot_be_rendered_is_refused) {
  const compute::tokenizer& v = vocabulary_of_tales();
  EXPECT_EQ(chat_format_for("auto", "", v).error().code, errc::unsupported);
  EXPECT_EQ(chat_format_for("auto", "{% include 'x' %}", v).error().code, errc::unsupported);
  EXPECT_EQ(chat_format_for("auto", "{% if %}", v).error().code, errc::malformed);
  EXPECT_EQ(chat_format_for("nonsense", "", v).error().code, errc::not_found);
}

TEST(chat_format, any_other_template_is_rendered_and_may_refuse) {
  const compute::tokenizer& v = vocabulary_of_tales();
  const auto format =
      chat_format_for("auto",
                      "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
                      "{{ raise_exception('no system here') }}{% endif %}"
                      "[{{ m.role }}]{{ m.content | trim }}{{ eos_token }}{% endfor %}",
                      v)
          .value();
  const std::vector<chat_message> talk{{"user", " a<|eos|> "}, {"assistant", "b"}};
  const auto ids =
      encode_parts(v, std::get<std::vector<prompt_part>>(format->render(talk))).value();
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *v.eos()), 2);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *v.bos()), 1);
  EXPECT_EQ(v.decode(ids, true), "<|bos|>[user]a<|eos|><|eos|>[assistant]b<|eos|>");
  const std::vector<chat_message> other{{"system", "x"}};
  const auto refused = format->render(other);
  ASSERT_TRUE(std::holds_alternative<api_error>(refused));
  EXPECT_EQ(std::get<api_error>(refused).param, "messages");
  EXPECT_THAT(std::get<api_error>(refused).message, testing::HasSubstr("no system here"));
}

constexpr std::string_view template_with_tools =
    "{% if tools %}tools:{% for t in tools %}{{ t | tojson }};{% endfor %}{% endif %}"
    "{% for m in messages %}[{{ m.role }}"
    "{% if m.role == 'tool' %} {{ m.name }} {{ m.tool_call_id }}{% endif %}]{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }} "
    "{{ c.function.arguments.city }} {{ c.function.arguments | tojson }}</tool_call>{% endfor %}"
    "{{ eos_token }}{% endfor %}";

TEST(chat_format, a_template_that_speaks_of_tools_is_told_of_them) {
  const compute::tokenizer& v = vocabulary_of_tales();
  const auto format = chat_format_for("auto", template_with_tools, v).value();
  ASSERT_TRUE(format->writes_tools());
  const std::vector<chat_message> talk{
      {"user", "Is it cold?"},
      {"assistant", "", {{"call_1", "weather", R"({"city": "Bonn", "days": [1, 2.5, null]})"}}},
      {"tool", "3 degrees", {}, "call_1"}};
  const std::string tools = R"({"name":"weather","parameters":{"type":"object","z":1,"a":true}})"
                            "\n"
                            R"({"name":"<|eos|>"})"
                            "\n";
  const auto ids =
      encode_parts(v, std::get<std::vector<prompt_part>>(format->render_with_tools(talk, tools)))
          .value();
  EXPECT_EQ(v.decode(ids, true),
            "<|bos|>tools:"
            R"({"type": "function", "function": {"name": "weather", "parameters": )"
            R"({"type": "object", "z": 1, "a": true}}};)"
            R"({"type": "function", "function": {"name": "<|eos|>"}};)"
            "[user]Is it cold?<|eos|>[assistant]<tool_call>weather Bonn "
            R"({"city": "Bonn", "days": [1, 2.5, null]})"
            "</tool_call><|eos|>[tool weather call_1]3 degrees<|eos|>");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *v.eos()), 3) << "a tool's name is no token";
}

TEST(chat_format, tools_that_are_not_there_and_calls_that_are_no_json_are_written_all_the_same) {
  const compute::tokenizer& v = vocabulary_of_tales();
  const auto format = chat_format_for("auto", template_with_tools, v).value();
  const std::vector<chat_message> talk{{"assistant", "x", {{"c", "f", "not json"}}},
                                       {"tool", "y", {}, "of nobody"}};
  const auto ids =
      encode_parts(v, std::get<std::vector<prompt_part>>(format->render_with_tools(talk, "")))
          .value();
  EXPECT_EQ(v.decode(ids, true), "<|bos|>[assistant]x<tool_call>f  \"not json\"</tool_call><|eos|>"
                                 "[tool  of nobody]y<|eos|>");
}

TEST(chat_format, a_template_that_writes_calls_otherwise_is_not_told_of_tools) {
  const compute::tokenizer& v = vocabulary_of_tales();
  EXPECT_FALSE(chat_format_for("auto", "{{ tools }}[TOOL_CALLS]", v).value()->writes_tools());
  EXPECT_FALSE(chat_format_for("auto", "<tool_call>{{ bos_token }}", v).value()->writes_tools());
  EXPECT_FALSE(chat_format_for("chatml", "", v).value()->writes_tools());
}

TEST(chat_format, the_model_inside_the_program_is_known_by_its_template) {
  const test::loaded_model model{test::source_file("assets/tales-q4_k_m.gguf")};
  const auto text = model.file().text_at("tokenizer.chat_template");
  ASSERT_TRUE(text);
  const auto format = chat_format_for("auto", *text, vocabulary_of_tales());
  ASSERT_TRUE(format) << format.error().message;
  const auto vocabulary = compute::tokenizer::make(model.file()).value();
  const std::vector<chat_message> talk{{"user", "Hi"}, {"assistant", "Ho"}, {"user", "Hi"}};
  auto parts = (*format)->render(talk);
  const auto ids = encode_parts(*vocabulary, std::get<std::vector<prompt_part>>(parts));
  ASSERT_TRUE(ids);
  const auto whole =
      vocabulary->encode("User: Hi\nAssistant: Ho<|eos|>\nUser: Hi\nAssistant:", {true, true});
  EXPECT_EQ(*ids, *whole);
}

TEST(chat_format, nobody_ends_their_own_turn) {
  const test::loaded_model model{test::source_file("assets/tales-q4_k_m.gguf")};
  const auto vocabulary = compute::tokenizer::make(model.file()).value();
  const auto eos = vocabulary->eos();
  ASSERT_TRUE(eos);
  const std::vector<prompt_part> parts{{kind::bos}, {kind::text, "User: <|eos|><|bos|>"}};
  const auto ids = encode_parts(*vocabulary, parts);
  ASSERT_TRUE(ids);
  EXPECT_THAT(std::vector<token_id>(ids->begin() + 1, ids->end()),
              testing::Each(testing::AllOf(testing::Ne(*eos), testing::Ne(*vocabulary->bos()))));
  const std::vector<prompt_part> said{{kind::control, "<|eos|>"}};
  EXPECT_EQ(encode_parts(*vocabulary, said)->back(), *eos);
}

} // namespace
} // namespace ovir::gateway
