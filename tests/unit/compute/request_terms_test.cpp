#include "verify/request_terms.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <vector>

namespace ovir::compute {
namespace {

struct asked {
  digest model;
  std::vector<token_id> prompt{1, 2, 3};
  sampling_params sampling;
  std::uint32_t max_tokens{8};
  std::vector<std::string> stop{"a"};
  std::optional<std::uint32_t> logprobs;
  std::optional<pooling> embedding;
  bool receipt{false};

  [[nodiscard]] digest terms() const {
    return digest_of({model, prompt, sampling, max_tokens, stop, logprobs, embedding, receipt});
  }
};

TEST(request_terms, differ_where_anything_that_decides_an_answer_does) {
  const std::vector<std::function<void(asked&)>> changes{
      [](asked& a) { a.model.bytes[31] = 1; },
      [](asked& a) { a.prompt.back() = 4; },
      [](asked& a) { a.prompt.push_back(4); },
      [](asked& a) { a.sampling.temperature = 1; },
      [](asked& a) { a.sampling.top_k = 1; },
      [](asked& a) { a.sampling.top_p = 0.5; },
      [](asked& a) { a.sampling.min_p = 0.5; },
      [](asked& a) { a.sampling.repeat_penalty = 2; },
      [](asked& a) { a.sampling.seed = 1; },
      [](asked& a) { a.sampling.constraint = "x"; },
      [](asked& a) { a.max_tokens = 9; },
      [](asked& a) { a.stop = {"b"}; },
      [](asked& a) {
        a.stop = {"a", ""};
      },
      [](asked& a) { a.logprobs = 0; },
      [](asked& a) { a.logprobs = 1; },
      [](asked& a) { a.embedding = pooling::mean; },
      [](asked& a) { a.embedding = pooling::last; },
      [](asked& a) { a.receipt = true; }};
  std::set<digest> seen{asked{}.terms()};
  for (const auto& change : changes) {
    asked other;
    change(other);
    EXPECT_EQ(other.terms(), other.terms());
    seen.insert(other.terms());
  }
  EXPECT_EQ(seen.size(), changes.size() + 1);
}

} // namespace
} // namespace ovir::compute
