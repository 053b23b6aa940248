#include "gateway/api/completion_request.hpp"
#include "messages/limits/gateway.hpp"
#include "messages/limits/general.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace ovir::gateway {
namespace {

using json = nlohmann::json;

completion_request parsed(api_kind kind, const std::string& body) {
  const auto out = parse_completion(kind, body);
  if (const auto* const refused = std::get_if<api_error>(&out)) {
    ADD_FAILURE() << refused->message;
    return {};
  }
  return std::get<completion_request>(out);
}

/// The parameter a body is refused for.
api_error refused(api_kind kind, const std::string& body) {
  const auto out = parse_completion(kind, body);
  if (!std::holds_alternative<api_error>(out)) {
    ADD_FAILURE() << "accepted: " << body;
    return {};
  }
  const api_error e = std::get<api_error>(out);
  EXPECT_EQ(e.status, 400) << body;
  EXPECT_EQ(e.type, "invalid_request_error");
  return e;
}

std::string with(const std::string& parameter) {
  return R"({"model": "m", "prompt": "x", )" + parameter + "}";
}

std::string chat_with(const std::string& parameter) {
  return R"({"model": "m", "messages": [{"role": "user", "content": "x"}], )" + parameter + "}";
}

TEST(completion_request, reads_what_a_client_may_ask) {
  const auto r = parsed(api_kind::completion,
                        with(R"("max_tokens": 7, "temperature": 0, "top_p": 0.5, "n": 2, "seed": 9,
                             "stop": ["a", "b"], "stream": true, "user": "ann",
                             "stream_options": {"include_usage": true}, "deadline_ms": 1500,
                             "priority": "batch",
                             "speculate": false)"));
  EXPECT_EQ(r.max_tokens, 7U);
  EXPECT_EQ(r.asked.sampling.temperature, 0);
  EXPECT_EQ(r.asked.sampling.top_p, 0.5);
  EXPECT_EQ(r.n, 2U);
  EXPECT_EQ(r.seed, 9U);
  EXPECT_EQ(r.asked.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(r.stream && r.include_usage);
  EXPECT_EQ(r.deadline, std::chrono::milliseconds{1500});
  EXPECT_TRUE(r.batch);
  EXPECT_EQ(r.drafts, speculation::off);
}

TEST(completion_request, defaults_are_those_of_the_api) {
  const auto r = parsed(api_kind::completion, R"({"model": "m", "prompt": "x"})");
  EXPECT_EQ(r.asked.sampling.temperature, 1);
  EXPECT_EQ(r.asked.sampling.top_p, 1);
  EXPECT_EQ(r.n, 1U);
  EXPECT_FALSE(r.seed || r.max_tokens || r.stream);
  EXPECT_EQ(r.drafts, speculation::automatic);
}

/// Of each kind of body that the OpenAPI document describes.
TEST(completion_request, takes_null_for_the_default_of_every_parameter) {
  const auto schemas =
      json::parse(std::ifstream{test::source_file("docs/openapi.json")})["components"]["schemas"];
  struct body {
    api_kind kind;
    const char* schema;
    json least;
  };
  const std::vector<body> bodies{
      {api_kind::completion, "CompletionRequest", {{"model", "m"}, {"prompt", "x"}}},
      {api_kind::chat,
       "ChatRequest",
       {{"model", "m"}, {"messages", {{{"role", "user"}, {"content", "x"}}}}}},
      {api_kind::embedding, "EmbeddingRequest", {{"model", "m"}, {"input", "x"}}}};
  for (const body& b : bodies) {
    const completion_request plain = parsed(b.kind, b.least.dump());
    std::size_t nulls = 0;
    for (const auto& [key, unused] : schemas.at(b.schema).at("properties").items()) {
      if (b.least.contains(key)) {
        continue;
      }
      json with_null = b.least;
      with_null[key] = nullptr;
      const completion_request r = parsed(b.kind, with_null.dump());
      EXPECT_EQ(r.asked, plain.asked) << key;
      EXPECT_EQ(r.seed, plain.seed) << key;
      EXPECT_EQ(r.max_tokens, plain.max_tokens) << key;
      ++nulls;
    }
    EXPECT_GE(nulls, 5U) << b.schema;
  }
}

TEST(completion_request, takes_every_form_of_prompt) {
  using tokens = std::vector<token_id>;
  const auto prompts = [](const std::string& value) {
    return parsed(api_kind::completion, R"({"model": "m", "prompt": )" + value + "}").prompts;
  };
  EXPECT_EQ(prompts(R"("a")"), (std::vector<prompt_input>{"a"}));
  EXPECT_EQ(prompts(R"(["a", "b"])"), (std::vector<prompt_input>{"a", "b"}));
  EXPECT_EQ(prompts("[1, 2]"), (std::vector<prompt_input>{tokens{1, 2}}));
  EXPECT_EQ(prompts("[[1], [2]]"), (std::vector<prompt_input>{tokens{1}, tokens{2}}));
}

TEST(completion_request, reads_messages_in_both_forms_and_both_names_of_the_system) {
  const auto r = parsed(api_kind::chat, R"({"model": "m", "messages": [
    {"role": "developer", "content": "be kind"},
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    {"role": "assistant", "content": "c", "refusal": null}]})");
  EXPECT_EQ(r.messages,
            (std::vector<chat_message>{{"system", "be kind"}, {"user", "ab"}, {"assistant", "c"}}));
}

TEST(completion_request, refuses_what_is_out_of_range_and_names_it) {
  for (const auto& [parameter, name] : std::vector<std::pair<std::string, std::string>>{
           {R"("temperature": 2.1)", "temperature"},
           {R"("temperature": 0.0001)", "temperature"},
           {R"("temperature": "hot")", "temperature"},
           {R"("top_p": 0)", "top_p"},
           {R"("top_p": 1.5)", "top_p"},
           {R"("n": 0)", "n"},
           {R"("n": 17)", "n"},
           {R"("n": 1.5)", "n"},
           {R"("max_tokens": 0)", "max_tokens"},
           {R"("max_tokens": -1)", "max_tokens"},
           {R"("seed": -1)", "seed"},
           {R"("seed": 18446744073709551615)", "seed"},
           {R"("stop": [""])", "stop"},
           {R"("stop": [1])", "stop"},
           {R"("stream": 1)", "stream"},
           {R"("stream_options": {"include_usage": true})", "stream_options"},
           {R"("stream": true, "stream_options": {"other": 1})", "stream_options.other"},
           {R"("deadline_ms": 0)", "deadline_ms"},
           {R"("priority": "high")", "priority"},
           {R"("min_p": 1)", "min_p"},
           {R"("presence_penalty": 2.5)", "presence_penalty"},
           {R"("frequency_penalty": -2.5)", "frequency_penalty"},
           {R"("min_tokens": -1)", "min_tokens"},
           {R"("min_tokens": 2, "response_format": {"type": "json_object"})", "min_tokens"},
           {R"("logit_bias": [5])", "logit_bias"},
           {R"("logit_bias": {"x": 1})", "logit_bias"},
           {R"("logit_bias": {"-1": 1})", "logit_bias"},
           {R"("logit_bias": {"5": "1"})", "logit_bias"},
           {R"("logit_bias": {"5": 101})", "logit_bias"},
           {R"("logit_bias": {"5": 1, "05": 1})", "logit_bias"},
           {R"("logit_bias": {"1048576": 1})", "logit_bias"},
           {R"("user": 5)", "user"},
           {R"("speculate": "on")", "speculate"},
           {R"("audit": "after")", "audit"},
           {R"("audit": {"reveal": "later"})", "audit.reveal"},
           {R"("audit": {"reveal": true})", "audit.reveal"},
           {R"("audit": {"rate": 1})", "audit.rate"},
       }) {
    EXPECT_EQ(refused(api_kind::completion, with(parameter)).param, name) << parameter;
  }
}

TEST(completion_request, refuses_what_it_cannot_honour_instead_of_ignoring_it) {
  for (const std::string parameter :
       {R"("top_logprobs": 1)", R"("echo": true, "logprobs": 1)", R"("best_of": 3, "stream": true)",
        R"("tools": [{"type": "function"}])"}) {
    const api_error e = refused(api_kind::completion, with(parameter));
    EXPECT_EQ(e.param, parameter.substr(1, parameter.find('"', 1) - 1));
    EXPECT_EQ(e.code, "unsupported_parameter");
  }
  for (const std::string parameter :
       {R"("tool_choice": "required")", R"("store": true)", R"("service_tier": "priority")",
        R"("metadata": {"a": 1})", R"("metadata": "a")", R"("modalities": ["audio"])",
        R"("functions": [{}])"}) {
    EXPECT_EQ(refused(api_kind::chat, chat_with(parameter)).param,
              parameter.substr(1, parameter.find('"', 1) - 1));
  }
  const api_error unknown = refused(api_kind::completion, with(R"("tempreature": 1)"));
  EXPECT_EQ(unknown.param, "tempreature");
  EXPECT_EQ(unknown.code, "unknown_parameter");
}

TEST(completion_request, reads_penalties_biases_and_the_least_length) {
  const std::string asked = R"("presence_penalty": 1.5, "frequency_penalty": -0.5, "min_tokens": 3,
      "logit_bias": {"50": -100, "7": 2.5, "9": 0})";
  for (const completion_request& r :
       {parsed(api_kind::completion, with(asked)), parsed(api_kind::chat, chat_with(asked))}) {
    const sampling_params& s = r.asked.sampling;
    EXPECT_EQ(s.presence_penalty, 1.5F);
    EXPECT_EQ(s.frequency_penalty, -0.5F);
    EXPECT_EQ(s.min_tokens, 3U);
    EXPECT_EQ(s.logit_bias, (std::vector<token_bias>{{7, 2.5F}, {50, -100.0F}}));
  }
}

TEST(completion_request, reads_which_answers_are_told_and_what_with_them) {
  const auto r =
      parsed(api_kind::completion, with(R"("n": 2, "best_of": 5, "echo": true, "suffix": "end")"));
  EXPECT_EQ(r.n, 2U);
  EXPECT_EQ(r.best_of, 5U);
  EXPECT_TRUE(r.echo);
  EXPECT_EQ(r.suffix, "end");
  EXPECT_EQ(
      parsed(api_kind::embedding, R"({"model": "m", "input": "a", "dimensions": 8})").dimensions,
      8U);
  for (const std::string parameter :
       {R"("best_of": 1, "n": 2)", R"("best_of": 17)", R"("best_of": 0)"}) {
    EXPECT_EQ(refused(api_kind::completion, with(parameter)).param, "best_of") << parameter;
  }
  EXPECT_EQ(
      refused(api_kind::completion, R"({"model": "m", "prompt": ["a", "b"], "best_of": 9})").param,
      "best_of");
  EXPECT_EQ(refused(api_kind::chat, chat_with(R"("best_of": 2)")).code, "unknown_parameter");
}

TEST(completion_request, reads_logprobs_as_each_kind_asks_for_them) {
  EXPECT_EQ(parsed(api_kind::completion, with(R"("logprobs": 0)")).asked.logprobs, 0U);
  EXPECT_EQ(parsed(api_kind::completion, with(R"("logprobs": 20)")).asked.logprobs, 20U);
  EXPECT_FALSE(parsed(api_kind::completion, with(R"("logprobs": false)")).asked.logprobs);
  EXPECT_FALSE(parsed(api_kind::completion, with(R"("logprobs": null)")).asked.logprobs);
  EXPECT_EQ(parsed(api_kind::chat, chat_with(R"("logprobs": true)")).asked.logprobs, 0U);
  EXPECT_EQ(
      parsed(api_kind::chat, chat_with(R"("logprobs": true, "top_logprobs": 20)")).asked.logprobs,
      20U);
  EXPECT_FALSE(parsed(api_kind::chat, chat_with(R"("top_logprobs": 0)")).asked.logprobs);
  for (const std::string parameter :
       {R"("logprobs": 21)", R"("logprobs": -1)", R"("logprobs": true)", R"("logprobs": 1.5)"}) {
    EXPECT_EQ(refused(api_kind::completion, with(parameter)).param, "logprobs") << parameter;
  }
  EXPECT_EQ(refused(api_kind::chat, chat_with(R"("logprobs": 1)")).param, "logprobs");
  for (const std::string parameter :
       {R"("top_logprobs": 2)", R"("logprobs": false, "top_logprobs": 2)",
        R"("logprobs": true, "top_logprobs": 21)", R"("logprobs": true, "top_logprobs": true)"}) {
    EXPECT_EQ(refused(api_kind::chat, chat_with(parameter)).param, "top_logprobs") << parameter;
  }
}

TEST(completion_request, reads_when_tokens_are_told) {
  for (const char* const plain :
       {R"("audit": null)", R"("audit": {})", R"("audit": {"reveal": null})",
        R"("audit": {"reveal": "at_once"})"}) {
    EXPECT_EQ(parsed(api_kind::completion, with(plain)).reveal, reveal_when::at_once) << plain;
  }
  const std::string after = R"("audit": {"reveal": "after"})";
  EXPECT_EQ(parsed(api_kind::completion, with(after)).reveal, reveal_when::after);
  EXPECT_EQ(parsed(api_kind::chat, chat_with(after)).reveal, reveal_when::after);
}

TEST(completion_request, reads_which_nodes_may_see_it_and_refuses_a_tier_by_name) {
  for (const char* const plain :
       {R"("privacy": null)", R"("privacy": "none")", R"("tier": null)"}) {
    EXPECT_EQ(parsed(api_kind::completion, with(plain)).privacy, privacy_mode::none) << plain;
  }
  const std::string ends = R"("privacy": "ends")";
  EXPECT_EQ(parsed(api_kind::completion, with(ends)).privacy, privacy_mode::ends);
  EXPECT_EQ(parsed(api_kind::chat, chat_with(ends)).privacy, privacy_mode::ends);
  EXPECT_EQ(
      parsed(api_kind::embedding, R"({"model": "m", "input": "a", "privacy": "ends"})").privacy,
      privacy_mode::ends);
  EXPECT_EQ(refused(api_kind::completion, with(R"("privacy": "all")")).param, "privacy");
  const api_error tier = refused(api_kind::chat, chat_with(R"("tier": "sealed")"));
  EXPECT_EQ(tier.param, "tier");
  EXPECT_NE(tier.message.find("sealed"), std::string::npos);
}

TEST(completion_request, reads_what_nodes_must_be_attested_and_by_whom) {
  const std::string key(64, 'a');
  const std::string other(64, '0');
  const node_id attestor = node_id_from_hex(key).value();
  const std::string tier = "\"tier\": {\"attestor\": \"" + key + "\", ";
  EXPECT_FALSE(parsed(api_kind::completion, with(R"("n": 1)")).tier);
  EXPECT_EQ(
      parsed(api_kind::chat, chat_with(tier + R"("region": "eu", "confidential": true})")).tier,
      (tier_demand{{attestor}, {{}, "eu", "yes"}}));
  EXPECT_EQ(parsed(api_kind::completion,
                   with(tier + R"("operator": "Example Ltd", "confidential": "tdx"})"))
                .tier,
            (tier_demand{{attestor}, {"Example Ltd", {}, "tdx"}}));
  EXPECT_EQ(parsed(api_kind::completion, with(tier + R"("confidential": false})")).tier,
            (tier_demand{{attestor}, {}}));
  for (const std::string& wrong :
       {std::string{R"("tier": {})"}, std::string{R"("tier": 1)"},
        std::string{R"("tier": {"attestor": "aa"})"}, "\"tier\": {\"attestor\": \"" + other + "\"}",
        tier + R"("country": "x"})", tier + R"("region": 7})", tier + R"("region": "e,u"})",
        tier + "\"region\": \"" + std::string(33, 'r') + "\"}"}) {
    const api_error why = refused(api_kind::completion, with(wrong));
    EXPECT_EQ(why.param.substr(0, 4), "tier") << wrong << ": " << why.message;
  }
}

TEST(completion_request, reads_texts_to_be_made_vectors) {
  const auto r = parsed(api_kind::embedding, R"({"model": "m", "input": ["a", "b"],
      "encoding_format": "base64", "pooling": "last", "user": "u", "deadline_ms": 5})");
  EXPECT_EQ(r.prompts, (std::vector<prompt_input>{std::string{"a"}, std::string{"b"}}));
  EXPECT_TRUE(r.base64);
  EXPECT_EQ(r.asked.embedding, pooling::last);
  EXPECT_EQ(r.deadline.count(), 5);
  const auto plain = parsed(api_kind::embedding, R"({"model": "m", "input": "a"})");
  EXPECT_EQ(plain.asked.embedding, pooling::mean);
  EXPECT_FALSE(plain.base64);
  EXPECT_EQ(parsed(api_kind::embedding, R"({"model": "m", "input": [1, 2]})").prompts.size(), 1U);
  EXPECT_EQ(parsed(api_kind::embedding, R"({"model": "m", "input": [[1, 2], [3]]})").prompts.size(),
            2U);
  for (const auto& [rest, name] : std::vector<std::pair<std::string, std::string>>{
           {R"("user": "u")", "input"},
           {R"("input": [])", "input"},
           {R"("input": [[]])", "input"},
           {R"("input": {})", "input"},
           {R"("input": "a", "encoding_format": "int8")", "encoding_format"},
           {R"("input": "a", "pooling": "max")", "pooling"},
           {R"("input": "a", "dimensions": 0)", "dimensions"},
           {R"("input": "a", "dimensions": 1.5)", "dimensions"},
           {R"("input": "a", "stream": true)", "stream"},
           {R"("input": "a", "deadline_ms": 0)", "deadline_ms"}}) {
    EXPECT_EQ(refused(api_kind::embedding, R"({"model": "m", )" + rest + "}").param, name);
  }
  std::string many = R"({"model": "m", "input": ["a")";
  for (std::size_t i = 0; i < limits::api_embeddings_max; ++i) {
    many += R"(, "a")";
  }
  EXPECT_EQ(refused(api_kind::embedding, many + "]}").param, "input");
}

TEST(completion_request, lets_through_what_changes_nothing) {
  parsed(api_kind::completion,
         with(R"("logprobs": null, "echo": false, "best_of": 1, "frequency_penalty": 0,
              "logit_bias": {}, "suffix": null, "response_format": {"type": "text"})"));
  parsed(api_kind::chat, chat_with(R"("logprobs": false, "tools": [], "tool_choice": "none",
              "modalities": ["text"], "store": false, "top_logprobs": null)"));
  const completion_request plain = parsed(api_kind::chat, chat_with(R"("n": 1)"));
  const completion_request noted =
      parsed(api_kind::chat, chat_with(R"("metadata": {"run": "7"}, "service_tier": "default",
              "tool_choice": "auto", "function_call": "auto", "safety_identifier": "x",
              "prompt_cache_key": "y", "user": "z", "parallel_tool_calls": true)"));
  EXPECT_EQ(noted.asked, plain.asked);
}

/// What programs send as their defaults, or because an answer that they send back has it.
TEST(completion_request, lets_through_the_defaults_of_other_servers_and_later_versions) {
  const completion_request plain = parsed(api_kind::chat, chat_with(R"("n": 1)"));
  const completion_request noted =
      parsed(api_kind::chat, chat_with(R"("reasoning_effort": "none", "verbosity": "medium",
          "prediction": null, "web_search_options": {}, "audio": null, "min_tokens": 0,
          "ignore_eos": false, "repetition_penalty": 1.0, "length_penalty": 1, "cache_prompt": true,
          "use_beam_search": false, "skip_special_tokens": true, "prompt_cache_retention": "24h",
          "presence_penalty": 0.0, "frequency_penalty": 0, "seed": null, "stop": null)"));
  EXPECT_EQ(noted.asked, plain.asked);
  EXPECT_EQ(noted.messages, plain.messages);
  const completion_request back = parsed(api_kind::chat, R"({"model": "m", "messages": [
    {"role": "user", "content": "a", "name": null},
    {"role": "assistant", "content": "b", "annotations": [], "refusal": null, "audio": null,
     "reasoning": null, "reasoning_content": "", "tool_calls": null, "function_call": null},
    {"role": "user", "content": "c"}]})");
  EXPECT_EQ(back.messages,
            (std::vector<chat_message>{{"user", "a"}, {"assistant", "b"}, {"user", "c"}}));
  parsed(api_kind::completion, with(R"("n": 3, "best_of": 3, "stream": true)"));
  for (const std::string parameter :
       {R"("reasoning_effort": "high")", R"("verbosity": "low")", R"("repetition_penalty": 1.1)",
        R"("prediction": {"type": "content", "content": "x"})", R"("ignore_eos": true)",
        R"("web_search_options": {"a": 1})"}) {
    EXPECT_EQ(refused(api_kind::chat, chat_with(parameter)).code, "unsupported_parameter")
        << parameter;
  }
}

TEST(completion_request, bounds_notes) {
  std::string many;
  for (std::size_t i = 0; i <= limits::api_metadata_max; ++i) {
    many += fmt::format(R"({}"k{}": "v")", i == 0 ? "" : ",", i);
  }
  EXPECT_EQ(refused(api_kind::chat, chat_with(R"("metadata": {)" + many + "}")).param, "metadata");
  const std::string long_text(limits::api_metadata_bytes_max + 1, 'v');
  EXPECT_EQ(refused(api_kind::chat, chat_with(R"("metadata": {"k": ")" + long_text + "\"}")).param,
            "metadata");
}

TEST(completion_request, names_the_message_that_is_wrong) {
  const auto message = [](const std::string& text) {
    return refused(api_kind::chat, R"({"model": "m", "messages": [)" + text + "]}").param;
  };
  EXPECT_EQ(message(""), "messages");
  EXPECT_EQ(message("5"), "messages[0]");
  EXPECT_EQ(message(R"({"role": "robot", "content": "x"})"), "messages[0].role");
  EXPECT_EQ(message(R"({"role": "tool", "content": "x"})"), "messages[0].tool_call_id");
  EXPECT_EQ(message(R"({"role": "assistant", "tool_calls": [{"id": "a"}]})"),
            "messages[0].tool_calls");
  EXPECT_EQ(message(R"({"role": "user", "content": "x", "tool_calls": [{"id": "a"}]})"),
            "messages[0].tool_calls");
  EXPECT_EQ(message(R"({"role": "user"})"), "messages[0].content");
  EXPECT_EQ(message(R"({"role": "user", "content": [{"type": "image_url", "image_url": {}}]})"),
            "messages[0].content");
  EXPECT_EQ(message(R"({"role": "user", "content": "x", "name": "Ann"})"), "messages[0].name");
  EXPECT_EQ(message(R"({"role": "user", "content": "x", "mood": 1})"), "messages[0].mood");
}

TEST(completion_request, two_names_of_one_length_must_agree) {
  EXPECT_EQ(parsed(api_kind::chat, chat_with(R"("max_completion_tokens": 5)")).max_tokens, 5U);
  parsed(api_kind::chat, chat_with(R"("max_completion_tokens": 5, "max_tokens": 5)"));
  EXPECT_EQ(
      refused(api_kind::chat, chat_with(R"("max_completion_tokens": 5, "max_tokens": 6)")).param,
      "max_tokens");
}

TEST(completion_request, prompts_times_n_are_bounded_together) {
  EXPECT_EQ(
      refused(api_kind::completion, R"({"model": "m", "prompt": ["a", "b", "c"], "n": 6})").param,
      "n");
}

TEST(completion_request, what_is_no_json_object_is_refused_before_it_is_kept) {
  for (const std::string body :
       {"", "[]", "{", "5", R"({"model": "m", "model": "m", "prompt": "x"})",
        "{\"model\": \"\xff\"}", R"({"model": 1e999})"}) {
    EXPECT_EQ(refused(api_kind::completion, body).code, "invalid_json") << body;
  }
  std::string deep = R"({"model": "m", "prompt": )";
  deep +=
      std::string(limits::api_json_depth_max, '[') + std::string(limits::api_json_depth_max, ']');
  EXPECT_EQ(refused(api_kind::completion, deep + "}").code, "invalid_json");
  std::string many = R"({"model": "m", "prompt": [1)";
  for (std::size_t i = 0; i < limits::api_json_values_max; ++i) {
    many += ",1";
  }
  EXPECT_EQ(refused(api_kind::completion, many + "]}").code, "invalid_json");
}

TEST(completion_request, an_object_has_only_so_many_members) {
  const auto with = [](std::size_t members) {
    std::string schema = R"("k": 1)";
    for (std::size_t i = 1; i < members; ++i) {
      schema += fmt::format(R"(, "k{}": 1)", i);
    }
    return parse_completion(api_kind::chat,
                            chat_with(R"("tools": [{"type": "function", "function": {"name": "f",
                                     "parameters": {)" +
                                      schema + "}}}]"));
  };
  EXPECT_TRUE(std::holds_alternative<completion_request>(with(limits::api_json_members_max)));
  const auto over = with(limits::api_json_members_max + 1);
  ASSERT_TRUE(std::holds_alternative<api_error>(over));
  EXPECT_EQ(std::get<api_error>(over).code, "invalid_json");
  EXPECT_NE(std::get<api_error>(over).message.find("more than 1024 members"), std::string::npos);
}

} // namespace
} // namespace ovir::gateway
