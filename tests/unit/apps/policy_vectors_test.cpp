#include "apps/policy_vectors.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

namespace ovir::apps {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

/// Every value of `expected` is in `actual`, numbers within 1e-9 of their size.
void expect_close(const json& actual, const json& expected, const std::string& where) {
  if (expected.is_object()) {
    for (const auto& [key, value] : expected.items()) {
      ASSERT_TRUE(actual.contains(key)) << where << "." << key;
      expect_close(actual[key], value, where + "." + key);
    }
  } else if (expected.is_array()) {
    ASSERT_EQ(actual.size(), expected.size()) << where;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expect_close(actual[i], expected[i], where + "[" + std::to_string(i) + "]");
    }
  } else if (expected.is_number()) {
    const double a = actual.get<double>();
    const double e = expected.get<double>();
    EXPECT_LE(std::abs(a - e), 1e-9 * std::abs(e)) << where;
  } else {
    EXPECT_EQ(actual, expected) << where;
  }
}

TEST(policy_vectors, agree_with_the_reference_outputs_within_a_billionth) {
  OVIR_SHARED_FILE(path, "vectors/divy.json");
  const json expected = json::parse(read(path));
  const json actual = evaluate_policy_vectors("divy.json", read(path)).value();
  ASSERT_GE(expected["cases"].size(), 100U);
  ASSERT_EQ(actual["cases"].size(), expected["cases"].size());
  for (std::size_t i = 0; i < expected["cases"].size(); ++i) {
    for (const char* part : {"quote", "settle", "delta"}) {
      expect_close(actual["cases"][i][part], expected["cases"][i][part],
                   "case " + std::to_string(i) + " " + part);
    }
  }
}

constexpr const char* one_case = R"({"cases": [{"input": {
  "prompt_tokens": 10, "frontier_completion_tokens": 5, "accounted_completion_tokens": 2,
  "prompt_credits_accounted": false, "total_model_bytes": 1, "total_columns": 4,
  "requested_completion_tokens": 20, "actual_completion_tokens": 15, "assignments": [
    {"worker_id": "a", "execution_time_ms": 5, "assigned_capacity_units": 1,
     "shard_column_start": 0, "shard_column_end": 2, "available_memory_bytes": 0},
    {"worker_id": "b", "execution_time_ms": 5, "assigned_capacity_units": 1,
     "shard_column_start": 2, "shard_column_end": 4, "available_memory_bytes": 0}]}}]})";

TEST(policy_vectors, the_exact_form_counts_micro_credits_that_add_up) {
  const json exact = evaluate_policy_vectors("x", one_case).value()["cases"][0]["exact"];
  EXPECT_EQ(exact["rate"], 1'000'000);
  EXPECT_EQ(exact["quote"], 30'000'000);
  EXPECT_EQ(exact["settle"], 25'000'000);
  EXPECT_EQ(exact["delta"], 13'000'000);
  EXPECT_EQ(exact["shares"][0]["micro_credits"], 6'500'000);
  EXPECT_EQ(exact["shares"][1]["micro_credits"], 6'500'000);
}

TEST(policy_vectors, errors_name_the_case_and_the_key) {
  const auto message = [](std::string text, const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
    return evaluate_policy_vectors("x.json", text).error().message;
  };
  EXPECT_EQ(evaluate_policy_vectors("x.json", "{").error().message, "x.json: is not JSON");
  EXPECT_NE(evaluate_policy_vectors("x.json", "[]").error().message.find("'cases'"),
            std::string::npos);
  EXPECT_NE(message(one_case, "\"prompt_tokens\": 10", "\"prompt_tokens\": -1")
                .find("case 0: 'prompt_tokens' must be a whole number"),
            std::string::npos);
  EXPECT_NE(message(one_case, "\"worker_id\": \"b\"", "\"worker\": 1").find("assignment 1"),
            std::string::npos);
  EXPECT_NE(
      message(one_case, "\"prompt_credits_accounted\": false", "\"prompt_credits_accounted\": 0")
          .find("true or false"),
      std::string::npos);
  EXPECT_NE(
      message(one_case, "\"prompt_tokens\": 10", "\"prompt_tokens\": 9999999999").find("case 0"),
      std::string::npos);
}

} // namespace
} // namespace ovir::apps
