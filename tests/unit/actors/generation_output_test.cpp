#include "actors/request/generation_output.hpp"
#include "tests/support/model/letters_tokenizer.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace ovir::actors {
namespace {

const test::letters letters_out;

/// What is told of `tokens` until the output ends, and how many of them were taken.
std::string told_of(std::string_view tokens, std::uint32_t least, std::string stop,
                    std::size_t& taken) {
  generation_request request;
  request.prompt = {65};
  request.max_tokens = 20;
  request.stop = {std::move(stop)};
  request.sampling.min_tokens = least;
  generation_output output{request, 100, letters_out};
  std::string text;
  for (taken = 0; taken < tokens.size() && !output.ended; ++taken) {
    text += output.take(static_cast<token_id>(tokens[taken]));
  }
  return text + output.finish_text();
}

TEST(generation_output, looks_for_no_stop_string_in_the_text_of_the_least_tokens) {
  std::size_t taken = 0;
  EXPECT_EQ(told_of("abcabcx", 0, "c", taken), "ab");
  EXPECT_EQ(taken, 3U);
  EXPECT_EQ(told_of("abcabcx", 3, "c", taken), "abcab");
  EXPECT_EQ(taken, 6U);
  EXPECT_EQ(told_of("abcabcx", 5, "c", taken), "abcab") << "the sixth may end it";
  EXPECT_EQ(told_of("abcabcx", 6, "c", taken), "abcabcx");
}

TEST(generation_output, a_stop_string_counts_only_where_all_of_it_is_behind_the_least_tokens) {
  std::size_t taken = 0;
  EXPECT_EQ(told_of("abcabcx", 1, "ab", taken), "abc");
  EXPECT_EQ(taken, 5U);
  EXPECT_EQ(told_of("abcabcx", 0, "ab", taken), "");
}

} // namespace
} // namespace ovir::actors
