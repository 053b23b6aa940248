// The endpoint with a model of no will, whose tokens are drawn as their constraint says.
#include "compute/text/sampler.hpp"
#include "compute/text/token_matcher.hpp"
#include "gateway/api/application.hpp"
#include "gateway/http/bounded_json.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>

#include <random>

namespace ovir::gateway {
namespace {

constexpr std::uint32_t context = 512;

struct kept_exchange final : http_exchange {
  void reply(http_reply answer) override { head = std::move(answer); }
  void begin_stream(http_reply begun) override { head = std::move(begun); }
  void send(std::string piece) override { head.body += piece; }
  void end_stream() override {}
  void when_gone(std::function<void()>) override {}
  http_reply head{0, "", "", {}};
};

class constrained_answers : public ::testing::Test, public generator {
protected:
  constrained_answers() {
    model_.id.bytes[0] = 1;
    model_.name = "m";
    model_.context = context;
    model_.vocabulary = compute::tokenizer::make(file_.file()).value();
    if (const auto text = file_.file().text_at("tokenizer.chat_template")) {
      model_.chat_template = *text;
    }
    api_surroundings around;
    around.engine = this;
    around.now = [] { return std::chrono::steady_clock::time_point{}; };
    around.unix_seconds = [] { return 1'000'000U; };
    around.random = [this] { return random_(); };
    around.elsewhere = [](const auto& work, const auto& then) {
      work();
      then();
    };
    around.connections = [] { return 3U; };
    around.say = [](auto, const std::string&) {};
    app_.emplace(api_options{}, std::move(around));
  }

  void start(std::uint64_t tag, const generation_order& order, bool) override {
    orders_.emplace_back(tag, order);
  }
  void watch(std::uint64_t, request_id, const digest&) override {}
  void forget(std::uint64_t) override {}
  void cancel(request_id, bool) override {}
  std::vector<served_model> models() override { return {model_}; }
  bool ready() override { return true; }

  http_reply ask(const json& body, const std::string& path = "/v1/chat/completions") {
    http_request request{"POST", path, "", {{"content-type", "application/json"}}, body.dump()};
    const auto exchange = std::make_shared<kept_exchange>();
    app_->serve(std::move(request), exchange);
    const auto orders = std::exchange(orders_, {});
    for (const auto& [tag, order] : orders) {
      draw(tag, order);
    }
    return exchange->head;
  }

  http_reply get(const std::string& path) {
    const auto exchange = std::make_shared<kept_exchange>();
    app_->serve({"GET", path, "", {}, ""}, exchange);
    return exchange->head;
  }

  static json chat(json more) {
    more["model"] = "m";
    more["messages"] = json::array({{{"role", "user"}, {"content", "What does a cow say?"}}});
    return more;
  }

  /// What a stream says of an answer, put together: text, names and arguments of calls, the end.
  struct heard {
    std::string content;
    std::vector<std::pair<std::string, std::string>> calls;
    std::string finish;
  };
  static heard read(const std::string& stream) {
    heard all;
    std::istringstream lines{stream};
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("data: {")) {
        continue;
      }
      const json choice = json::parse(line.substr(6))["choices"][0];
      if (choice["finish_reason"].is_string()) {
        all.finish = choice["finish_reason"];
      }
      all.content += choice["delta"].value("content", "");
      for (const json& call : choice["delta"].value("tool_calls", json::array())) {
        if (call.contains("id")) {
          all.calls.emplace_back(call["function"]["name"], "");
        }
        EXPECT_EQ(call["index"], all.calls.size() - 1);
        all.calls.back().second += call["function"]["arguments"].get<std::string>();
      }
    }
    return all;
  }

  std::mt19937_64 random_{11};
  std::vector<token_id> last_prompt_;
  std::shared_ptr<const result<std::vector<std::byte>>> receipt_;

private:
  void draw(std::uint64_t tag, const generation_order& order) {
    last_prompt_ = order.prompt;
    const compute::tokenizer& vocabulary = *model_.vocabulary;
    auto matcher =
        compute::token_matcher::make(order.sampling.constraint, vocabulary.words()).value();
    compute::text_stream text{vocabulary};
    std::mt19937_64 model{order.sampling.seed};
    std::vector<token_id> output;
    generation_outcome outcome;
    while (output.size() < order.max_tokens) {
      const auto allowed = matcher->allowed(output);
      ASSERT_TRUE(allowed) << outcome.text;
      std::vector<float> logits(vocabulary.vocabulary());
      for (float& x : logits) {
        x = static_cast<float>(model() % 1'000) / 100.F;
      }
      output.push_back(compute::highest_of(logits, *allowed));
      const bool ends = vocabulary.ends_generation(output.back());
      const std::string piece = ends ? "" : text.add(output.back());
      outcome.text += piece;
      app_->calls().on_token(tag,
                             {static_cast<std::uint32_t>(output.size() - 1), output.back(), piece});
      if (ends) {
        outcome.end = finish_reason::stop;
        break;
      }
    }
    outcome.text += text.finish();
    outcome.tokens = static_cast<std::uint32_t>(output.size());
    outcome.receipt = order.receipt ? receipt_ : nullptr;
    app_->calls().on_end(tag, outcome);
  }

  test::loaded_model file_{test::source_file("assets/tales-q4_k_m.gguf")};
  served_model model_;
  std::vector<std::pair<std::uint64_t, generation_order>> orders_;

protected:
  std::optional<application> app_;
};

const json animal = json::parse(R"({"type": "object", "additionalProperties": false,
    "required": ["legs", "mother"], "properties": {"legs": {"type": "integer", "minimum": 0,
    "maximum": 8}, "mother": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}})");
const json format{{"type", "json_schema"},
                  {"json_schema", {{"name", "animal"}, {"schema", animal}}}};
const json tools =
    json::array({{{"type", "function"}, {"function", {{"name", "count"}, {"parameters", animal}}}},
                 {{"type", "function"}, {"function", {{"name", "stop"}}}}});

TEST_F(constrained_answers, parse_and_are_the_same_streamed) {
  for (int seed = 0; seed < 20; ++seed) {
    json body = chat({{"response_format", format}, {"max_tokens", 80}, {"seed", seed}});
    const http_reply whole = ask(body);
    ASSERT_EQ(whole.status, 200) << whole.body;
    const std::string text = json::parse(whole.body)["choices"][0]["message"]["content"];
    const json value = json::parse(text, nullptr, false);
    ASSERT_TRUE(value.is_object() && value.contains("legs") && value.contains("mother")) << text;
    body["stream"] = true;
    EXPECT_EQ(read(ask(body).body).content, text);
  }
}

TEST_F(constrained_answers, call_tools) {
  for (int seed = 0; seed < 20; ++seed) {
    json body = chat({{"tools", tools},
                      {"tool_choice", "required"},
                      {"parallel_tool_calls", seed % 2 == 0},
                      {"max_tokens", 150},
                      {"seed", seed}});
    const http_reply whole = ask(body);
    ASSERT_EQ(whole.status, 200) << whole.body;
    const json choice = json::parse(whole.body)["choices"][0];
    EXPECT_TRUE(choice["message"]["content"].is_null()) << choice;
    const json& calls = choice["message"]["tool_calls"];
    ASSERT_GE(calls.size(), 1U) << choice;
    EXPECT_TRUE(seed % 2 == 0 || calls.size() == 1);
    body["stream"] = true;
    const heard live = read(ask(body).body);
    EXPECT_EQ(live.finish, choice["finish_reason"]);
    EXPECT_EQ(live.content, "");
    ASSERT_EQ(live.calls.size(), calls.size());
    for (std::size_t i = 0; i < calls.size(); ++i) {
      EXPECT_EQ(calls[i]["type"], "function");
      EXPECT_EQ(calls[i]["function"]["name"], live.calls[i].first);
      EXPECT_EQ(calls[i]["function"]["arguments"], live.calls[i].second);
      const json arguments = json::parse(live.calls[i].second, nullptr, false);
      EXPECT_TRUE(live.calls[i].first == "stop" ? arguments == json::object()
                                                : arguments.contains("legs"))
          << live.calls[i].second;
    }
  }
}

TEST_F(constrained_answers, may_be_text_where_tools_may_be_called) {
  const http_reply free = ask(chat({{"tools", tools}, {"max_tokens", 30}}));
  ASSERT_EQ(free.status, 200) << free.body;
  EXPECT_GT(last_prompt_.size(), 100U); // the tools are in it
  const json message = json::parse(free.body)["choices"][0]["message"];
  EXPECT_TRUE(message["content"].is_string() || message.contains("tool_calls"));
}

TEST_F(constrained_answers, that_cannot_be_are_refused_by_name) {
  const http_reply few = ask(chat({{"response_format", format}, {"max_tokens", 5}}));
  EXPECT_EQ(few.status, 400);
  EXPECT_EQ(json::parse(few.body)["error"]["param"], "response_format");
  EXPECT_THAT(few.body, testing::HasSubstr("allow more"));
  json bad = tools;
  bad[0]["function"]["parameters"] = {{"type", "string"}, {"pattern", "a+"}};
  const http_reply unsupported = ask(chat({{"tools", bad}}));
  EXPECT_EQ(unsupported.status, 400);
  EXPECT_EQ(json::parse(unsupported.body)["error"]["param"], "tools");
  EXPECT_EQ(json::parse(unsupported.body)["error"]["code"], "unsupported_parameter");
  EXPECT_THAT(unsupported.body, testing::HasSubstr("'pattern'"));
}

TEST_F(constrained_answers, have_receipts_where_they_were_asked_for) {
  receipt_ = std::make_shared<const result<std::vector<std::byte>>>(
      std::vector<std::byte>{std::byte{1}, std::byte{0}, std::byte{255}});
  const json body = chat({{"response_format", format}, {"max_tokens", 80}});
  EXPECT_FALSE(json::parse(ask(body).body)["choices"][0]["ovir"].contains("receipt"));
  json wanted = body;
  wanted["receipt"] = true;
  const std::string url = json::parse(ask(wanted).body)["choices"][0]["ovir"]["receipt"];
  const http_reply receipt = get(url);
  EXPECT_EQ(receipt.status, 200);
  EXPECT_EQ(receipt.content_type, "application/octet-stream");
  EXPECT_EQ(receipt.body, std::string("\1\0\xFF", 3));
  EXPECT_EQ(get("/v1/receipts/00000000000000ff").status, 404);
  receipt_ = std::make_shared<const result<std::vector<std::byte>>>(
      fail(errc::peer_lost, "nobody signed"));
  const json without = json::parse(ask(wanted).body)["choices"][0]["ovir"];
  EXPECT_EQ(without["receipt_error"], "nobody signed");
}

} // namespace
} // namespace ovir::gateway
