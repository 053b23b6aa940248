// Constrained answers of an HTTP endpoint: whether all of them parse and fit, and what the
// constraint costs. bench/constraint_cost runs it; bench/README.md has the method.
#include "bench/gateway/stream_client.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/model/random_schema.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <charconv>
#include <iostream>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace ovir::bench {
namespace {

using json = nlohmann::json;
using test::ordered_json;

struct options {
  std::uint16_t port{0};
  std::string model;
  std::uint32_t requests{1'000};
  std::uint32_t at_once{8};
  std::uint64_t seed{1};
  std::uint32_t rounds{9};
  std::uint32_t tokens{128};
};

constexpr std::size_t errors_shown = 5;
constexpr std::uint32_t tokens_tried_max = 1'024;

std::string random_prompt(std::mt19937_64& random) {
  static constexpr std::array<std::string_view, 12> words{
      "call", "the",    "tool", "{\"",     "</tool_call>", "日本",
      "null", "answer", "\n",   "weather", "\\u0000",      "ünd"};
  std::string text;
  for (std::uint64_t i = 1 + random() % 12; i > 0; --i) {
    text += std::string{words[random() % words.size()]} + ' ';
  }
  return text;
}

/// A request of a random kind, and what its answer must be.
struct task {
  ordered_json body;
  ordered_json schema; ///< of the answer, or of the only tool's arguments
  bool calls{false};
};

task random_task(const options& o, std::uint64_t which) {
  std::mt19937_64 random{o.seed * 1'000'003 + which};
  task t;
  t.calls = which % 2 == 0;
  t.schema = test::random_schema(random, 2);
  t.body = {{"model", o.model},
            {"messages", {{{"role", "user"}, {"content", random_prompt(random)}}}},
            {"seed", which},
            {"temperature", static_cast<double>(random() % 3)}};
  if (t.calls) {
    const ordered_json tool{{"type", "function"},
                            {"function", {{"name", "only"}, {"parameters", t.schema}}}};
    t.body["tools"] = ordered_json::array({tool});
    t.body["tool_choice"] = "required";
  } else {
    t.body["response_format"] = {{"type", "json_schema"},
                                 {"json_schema", {{"name", "one"}, {"schema", t.schema}}}};
  }
  return t;
}

/// What is wrong with an answer; empty: nothing.
std::string fault_of(const task& t, const json& message) {
  std::vector<std::string> texts;
  if (t.calls) {
    for (const json& call : message.value("tool_calls", json::array())) {
      if (call["function"]["name"] != "only") {
        return "it calls a tool that is not there";
      }
      texts.push_back(call["function"]["arguments"]);
    }
    if (texts.empty()) {
      return "it calls nothing";
    }
  } else {
    texts.push_back(message["content"]);
  }
  for (const std::string& text : texts) {
    const json value = json::parse(text, nullptr, false);
    if (value.is_discarded()) {
      return "it does not parse: " + text;
    }
    if (!test::fits(t.schema, t.schema, value)) {
      return fmt::format("it does not fit: {} is not {}", text, t.schema.dump());
    }
  }
  return {};
}

/// Asks with as few tokens as are taken, so that answers end where they must, and with more.
std::string try_task(const options& o, std::uint64_t which) {
  task t = random_task(o, which);
  for (std::uint32_t tokens = which % 4 == 3 ? 96 : 12; tokens <= tokens_tried_max; tokens *= 2) {
    t.body["max_tokens"] = tokens;
    const test::http_answer answer =
        test::http_ask(o.port, "POST", "/v1/chat/completions", t.body.dump());
    const json body = json::parse(answer.body, nullptr, false);
    if (answer.status == 200 && body.is_object()) {
      return fault_of(t, body["choices"][0]["message"]);
    }
    if (answer.status != 400 || answer.body.find("tokens") == std::string::npos) {
      return fmt::format("status {}: {}", answer.status, answer.body);
    }
  } // a shortest answer that does not fit is refused before anything is computed
  return "its shortest answer is longer than any that was asked for";
}

json parse_all(const options& o) {
  std::atomic<std::uint64_t> next{0};
  std::mutex guard;
  std::uint64_t wrong = 0;
  json shown = json::array();
  std::vector<std::jthread> threads;
  for (std::uint32_t i = 0; i < o.at_once; ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t which = next++; which < o.requests; which = next++) {
        std::string fault;
        try {
          fault = try_task(o, which);
        } catch (const std::exception& problem) {
          fault = problem.what();
        }
        const std::lock_guard lock{guard};
        wrong += fault.empty() ? 0 : 1;
        if (!fault.empty() && shown.size() < errors_shown) {
          shown.push_back(fmt::format("request {}: {}", which, fault));
        }
      }
    });
  }
  threads.clear();
  return {{"requests", o.requests}, {"errors", wrong}, {"first_errors", shown}};
}

/// Three kinds of request that draw about as many tokens each.
json body_of(const options& o, std::string_view kind, std::uint32_t round) {
  json prompt = json::array();
  for (std::uint32_t i = 0; i < 32; ++i) {
    prompt.push_back((round * 31 + i * 7) % 250);
  }
  json body{{"model", o.model},
            {"prompt", prompt},
            {"max_tokens", o.tokens},
            {"temperature", 0},
            {"stream", true},
            {"speculate", false},
            {"stream_options", {{"include_usage", true}}}};
  json schema;
  if (kind == "string") {
    schema = {{"type", "object"},
              {"properties", {{"text", {{"type", "string"}, {"minLength", o.tokens - 24}}}}},
              {"required", {"text"}},
              {"additionalProperties", false}};
  } else if (kind == "items") {
    schema = {{"type", "array"}, {"items", {{"type", "boolean"}}}, {"minItems", o.tokens / 6 - 2}};
  }
  if (!schema.is_null()) {
    body["response_format"] = {{"type", "json_schema"},
                               {"json_schema", {{"name", "one"}, {"schema", schema}}}};
  }
  return body;
}

/// Tokens per second behind the first one, of each kind in turn.
json costs(const options& o) {
  static constexpr std::array<const char*, 3> kinds{"free", "string", "items"};
  boost::asio::io_context context{1};
  const place where{{boost::asio::ip::make_address("127.0.0.1"), o.port},
                    fmt::format("127.0.0.1:{}", o.port),
                    {}};
  const auto client = make_stream_client(context, where, true);
  json rounds = json::array();
  for (std::uint32_t round = 0; round < o.rounds; ++round) {
    json speeds;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      const char* const kind = kinds[round % 2 == 0 ? i : kinds.size() - 1 - i];
      stream_outcome got;
      // One prompt for all rounds: equal work. It is not kept, so it is computed each time.
      client->ask(body_of(o, kind, 1).dump(), {}, [&](const stream_outcome& is) { got = is; });
      context.restart();
      context.run();
      if (!got.whole || got.tokens < o.tokens / 2) {
        throw std::runtime_error(fmt::format(
            "an answer of kind {} has {} tokens and the error '{}'", kind, got.tokens, got.error));
      }
      speeds[kind] = (got.tokens - 1) / (got.end - got.first_token).count();
    }
    rounds.push_back(fmt::format("{:.4f} {:.4f} {:.4f}", speeds["free"].get<double>(),
                                 speeds["string"].get<double>(), speeds["items"].get<double>()));
  }
  return {{"rounds", rounds}};
}

} // namespace
} // namespace ovir::bench

int main(int argc, char** argv) {
  using namespace ovir::bench;
  options given;
  CLI::App app{"Constrained answers of an HTTP endpoint of this machine that needs no key"};
  app.add_option("--port", given.port, "Of the endpoint")->required();
  app.add_option("--model", given.model, "Its name there")->required();
  app.require_subcommand(1);
  CLI::App* const parse = app.add_subcommand("parse", "Random prompts, schemas and tools");
  parse->add_option("--requests", given.requests, "How many")->check(CLI::Range(1, 1'000'000));
  parse->add_option("--at-once", given.at_once, "Under way together")->check(CLI::Range(1, 64));
  parse->add_option("--seed", given.seed, "Of what is random");
  CLI::App* const cost = app.add_subcommand("cost", "With a constraint and without, in turn");
  cost->add_option("--rounds", given.rounds, "How many")->check(CLI::Range(1, 1'000));
  cost->add_option("--tokens", given.tokens, "Of an answer")->check(CLI::Range(48, 4'096));
  CLI11_PARSE(app, argc, argv);
  try {
    std::cout << (parse->parsed() ? parse_all(given) : costs(given)).dump(1) << std::endl;
    return 0;
  } catch (const std::exception& problem) {
    std::cerr << "ovir_constraint_bench: " << problem.what() << '\n';
    return 1;
  }
}
