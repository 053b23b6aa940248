#include "messages/limits/general.hpp"
#include "messages/limits/logprobs.hpp"
#include "messages/request/request.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <set>
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

} // namespace
} // namespace ovir
