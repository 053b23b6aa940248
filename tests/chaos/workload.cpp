#include "tests/chaos/workload.hpp"

#include "tests/support/cluster/child_process.hpp"

#include <fmt/format.h>

#include <array>
#include <random>
#include <stdexcept>

namespace ovir::chaos {

namespace {

constexpr std::array words{"once", "upon", "a",    "time",  "there", "was",  "fox", "who", "could",
                           "not",  "find", "home", "until", "the",   "moon", "and", "its", "light"};

std::string random_prompt(std::mt19937_64& random, std::size_t length) {
  std::string prompt;
  for (std::size_t i = 0; i < length; ++i) {
    prompt += (i == 0 ? "" : " ") + std::string{words[random() % words.size()]};
  }
  return prompt;
}

expected_answer answer_alone(const std::string& model, const apps::json& arguments) {
  std::vector<std::string> command{"run", "-p", arguments.at("prompt").get<std::string>()};
  if (model != "embedded") {
    command.insert(command.end(), {"-m", model});
  }
  const auto add = [&](const char* option, const char* key) {
    if (arguments.contains(key)) {
      command.insert(command.end(), {option, arguments.at(key).dump()});
    }
  };
  add("-n", "max_tokens");
  add("--temp", "temperature");
  add("--top-k", "top_k");
  add("--repeat-penalty", "repeat_penalty");
  add("--seed", "seed");
  command.insert(command.end(), {"--threads", "1", "--json"});
  const test::child_result ended = test::run_ovir(command);
  if (ended.exit_code != 0) {
    throw std::runtime_error("ovir run failed: " + ended.err);
  }
  const apps::json document = apps::json::parse(ended.out);
  return {arguments, arguments.at("max_tokens").get<std::uint32_t>(),
          document.at("tokens").get<std::vector<std::uint32_t>>(),
          document.at("text").get<std::string>(), document.at("transcript").get<std::string>()};
}

} // namespace

std::string difference(const expected_answer& expected, const apps::json& data) {
  const auto tokens = data.value("tokens", std::vector<std::uint32_t>{});
  for (std::size_t i = 0; i < std::max(tokens.size(), expected.tokens.size()); ++i) {
    if (i >= tokens.size() || i >= expected.tokens.size() || tokens[i] != expected.tokens[i]) {
      return fmt::format("token {} of {} differs ({} came, \"{}\")", i, expected.tokens.size(),
                         tokens.size(), data.value("finish_reason", ""));
    }
  }
  if (data.value("text", "") != expected.text) {
    return "the text differs";
  }
  const std::string transcript = data.value("transcript", "");
  return transcript == expected.transcript
             ? std::string{}
             : fmt::format("transcript {} instead of {}", transcript, expected.transcript);
}

std::vector<expected_answer> make_workload(const std::string& model, std::uint32_t count,
                                           std::uint32_t tokens_max, std::uint64_t seed) {
  constexpr std::array<std::size_t, 4> prompt_words{4, 24, 60, 110};
  std::mt19937_64 random{seed};
  std::vector<expected_answer> all;
  for (std::uint32_t i = 0; i < count; ++i) {
    apps::json arguments{{"prompt", random_prompt(random, prompt_words[i % prompt_words.size()])},
                         {"max_tokens", tokens_max / 4 + random() % (tokens_max * 3 / 4)}};
    if (i % 2 == 1) {
      arguments["temperature"] = 0.9;
      arguments["top_k"] = 40;
      arguments["repeat_penalty"] = 1.1;
      arguments["seed"] = random() >> 11U;
    }
    all.push_back(answer_alone(model, arguments));
  }
  return all;
}

} // namespace ovir::chaos
