#include "messages/limits/general.hpp"
#include "messages/limits/logprobs.hpp"
#include "messages/request/params_words.hpp"
#include "messages/request/request.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <span>
#include <vector>

namespace ovir {
namespace {

request_terms some_terms() {
  request_terms terms;
  terms.prompt = {1, 2, 3};
  terms.max_tokens = 8;
  terms.stop = {"a"};
  return terms;
}

TEST(request_terms, differ_where_anything_that_decides_an_answer_does) {
  const std::vector<std::function<void(request_terms&)>> changes{
      [](request_terms& a) { a.model.bytes[31] = 1; },
      [](request_terms& a) { a.prompt.back() = 4; },
      [](request_terms& a) { a.prompt.push_back(4); },
      [](request_terms& a) { a.sampling.temperature = 1; },
      [](request_terms& a) { a.sampling.top_k = 1; },
      [](request_terms& a) { a.sampling.top_p = 0.5; },
      [](request_terms& a) { a.sampling.min_p = 0.5; },
      [](request_terms& a) { a.sampling.repeat_penalty = 2; },
      [](request_terms& a) { a.sampling.seed = 1; },
      [](request_terms& a) { a.sampling.constraint = "x"; },
      [](request_terms& a) { a.sampling.presence_penalty = 1; },
      [](request_terms& a) { a.sampling.frequency_penalty = 1; },
      [](request_terms& a) { a.sampling.min_tokens = 1; },
      [](request_terms& a) {
        a.sampling.logit_bias = {{1, 1.0F}};
      },
      [](request_terms& a) {
        a.sampling.logit_bias = {{2, 1.0F}};
      },
      [](request_terms& a) {
        a.sampling.logit_bias = {{1, 1.5F}};
      },
      [](request_terms& a) {
        a.sampling.logit_bias = {{1, 1.0F}, {2, 1.0F}};
      },
      [](request_terms& a) { a.max_tokens = 9; },
      [](request_terms& a) { a.stop = {"b"}; },
      [](request_terms& a) {
        a.stop = {"a", ""};
      },
      [](request_terms& a) { a.logprobs = 0; },
      [](request_terms& a) { a.logprobs = 1; },
      [](request_terms& a) { a.embedding = pooling::mean; },
      [](request_terms& a) { a.embedding = pooling::last; },
      [](request_terms& a) { a.receipt = true; }};
  std::set<digest> seen{digest_of(some_terms())};
  for (const auto& change : changes) {
    request_terms other = some_terms();
    change(other);
    EXPECT_EQ(digest_of(other), digest_of(other));
    EXPECT_NE(other, some_terms());
    seen.insert(digest_of(other));
  }
  EXPECT_EQ(seen.size(), changes.size() + 1);
}

TEST(request_terms, are_checked_in_one_place) {
  EXPECT_TRUE(check(some_terms()));
  const std::vector<std::function<void(request_terms&)>> faults{
      [](request_terms& a) { a.prompt.clear(); },
      [](request_terms& a) { a.sampling.temperature = -1; },
      [](request_terms& a) { a.sampling.top_p = 0; },
      [](request_terms& a) { a.sampling.min_p = 1; },
      [](request_terms& a) { a.sampling.repeat_penalty = 0; },
      [](request_terms& a) { a.sampling.presence_penalty = 3; },
      [](request_terms& a) { a.sampling.frequency_penalty = -3; },
      [](request_terms& a) { a.sampling.min_tokens = a.max_tokens + 1; },
      [](request_terms& a) {
        a.sampling.logit_bias = {{2, 1.0F}, {1, 1.0F}};
      },
      [](request_terms& a) { a.stop = {""}; },
      [](request_terms& a) { a.stop.assign(limits::stop_strings_max + 1, "a"); },
      [](request_terms& a) { a.stop = {std::string(limits::stop_string_bytes_max + 1, 'a')}; },
      [](request_terms& a) { a.logprobs = limits::logprobs_top_max + 1; },
      [](request_terms& a) { a.embedding = pooling::mean; }, // and tokens are asked for
      [](request_terms& a) {
        a.max_tokens = 0;
        a.embedding = static_cast<pooling>(3);
      }};
  for (std::size_t i = 0; i < faults.size(); ++i) {
    request_terms wrong = some_terms();
    faults[i](wrong);
    EXPECT_FALSE(check(wrong)) << i;
  }
}

TEST(request_terms, travel_as_words_and_the_plain_ones_as_before) {
  sampling_params plain{.temperature = 0.5F, .top_k = 3, .seed = 9};
  const std::vector<std::uint64_t> six = words_of_numbers(plain);
  EXPECT_EQ(six.size(), 6U);
  EXPECT_TRUE(words_of_further(plain).empty());
  sampling_params all = plain;
  all.presence_penalty = -1.5F;
  all.frequency_penalty = 0.25F;
  all.min_tokens = 7;
  all.logit_bias = {{5, -100.0F}, {limits::vocabulary_max - 1, 0.5F}};
  const std::vector<std::uint64_t> words = words_of_numbers(all);
  ASSERT_EQ(words.size(), 11U);
  EXPECT_TRUE(std::equal(six.begin(), six.end(), words.begin()));
  EXPECT_EQ(words[9], 0xc2c8000000000005U); // -100 and token 5
  sampling_params back;
  ASSERT_TRUE(read_numbers(words, back));
  EXPECT_EQ(back, all);
  sampling_params again;
  ASSERT_TRUE(read_numbers(six, again));
  EXPECT_EQ(again, plain);
}

TEST(request_terms, of_words_that_are_too_few_too_many_or_for_nothing_are_refused) {
  std::vector<std::uint64_t> words = words_of_numbers({});
  sampling_params read;
  EXPECT_FALSE(read_numbers(std::span{words}.first(5), read));
  words.resize(words.size() + 2);
  EXPECT_EQ(read_numbers(words, read).error().code, errc::malformed);
  words.push_back(0); // all three, and none is set: the same request in other words
  EXPECT_EQ(read_numbers(words, read).error().code, errc::malformed);
  words.back() = 1;
  EXPECT_TRUE(read_numbers(words, read));
  words.resize(words.size() + limits::token_biases_max + 1);
  EXPECT_EQ(read_numbers(words, read).error().code, errc::over_limit);
}

} // namespace
} // namespace ovir
