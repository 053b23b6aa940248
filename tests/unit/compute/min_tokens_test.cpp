// What `min_tokens` leaves of a vocabulary.
#include "compute/text/token_matcher.hpp"
#include "tests/support/byte_words.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ovir::compute {
namespace {

TEST(min_tokens, take_the_ends_away_until_the_answer_is_so_long) {
  const test::byte_words words{std::vector<std::string>(70, "x")}; // the 71st ends it
  sampling_params how;
  how.min_tokens = 2;
  auto matcher = token_matcher::make(how, words.words()).value();
  const std::vector<token_id> output{4, 5, 6};
  for (std::size_t n = 0; n <= output.size(); ++n) {
    const auto allowed = matcher->allowed(std::span{output}.first(n));
    ASSERT_TRUE(allowed);
    if (n >= 2) {
      EXPECT_TRUE(allowed->empty()) << "all may come";
      continue;
    }
    for (token_id id = 0; id < words.vocabulary(); ++id) {
      const bool may = ((*allowed)[id / 64] >> (id % 64) & 1U) != 0;
      EXPECT_EQ(may, id != words.end()) << id;
    }
  }
  EXPECT_TRUE(matcher->allowed({})) << "an answer that begins again";
}

TEST(min_tokens, of_none_need_no_matcher) {
  const test::byte_words words{{"a"}};
  EXPECT_EQ(token_matcher::make(sampling_params{}, words.words()).value(), nullptr);
  EXPECT_FALSE(restricts_tokens({}));
}

} // namespace
} // namespace ovir::compute
