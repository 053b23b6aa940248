#include "compute/text/pretokenizer.hpp"
#include "messages/limits/general.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace ovir::compute {

namespace {

using ::testing::ElementsAre;

std::vector<std::string> words_of(std::string_view name, std::string_view text) {
  const auto cutter = pretokenizer::make(name);
  EXPECT_TRUE(cutter) << name;
  std::vector<std::string_view> words;
  const auto done = cutter->split(text, words);
  EXPECT_TRUE(done);
  return {words.begin(), words.end()};
}

} // namespace

TEST(pretokenizer, gpt2_cuts_words_with_the_space_in_front) {
  EXPECT_THAT(words_of("gpt-2", "Hello world, it's 2024!"),
              ElementsAre("Hello", " world", ",", " it", "'s", " 2024", "!"));
  EXPECT_THAT(words_of("gpt-2", "we'Ve we've 'tis"),
              ElementsAre("we", "'", "Ve", " we", "'ve", " '", "tis"));
}

TEST(pretokenizer, gpt2_leaves_the_last_space_to_the_next_word) {
  EXPECT_THAT(words_of("gpt-2", "a   b"), ElementsAre("a", "  ", " b"));
  EXPECT_THAT(words_of("gpt-2", "a \n\nb  "), ElementsAre("a", " \n", "\n", "b", "  "));
  EXPECT_THAT(words_of("gpt-2", "a\tb"), ElementsAre("a", "\t", "b"));
  // An ideographic space has three bytes; the cut must not fall between them.
  EXPECT_THAT(words_of("gpt-2", "a\u3000\u3000b"), ElementsAre("a", "\u3000", "\u3000", "b"));
}

TEST(pretokenizer, gpt2_knows_letters_and_numbers_of_all_scripts) {
  EXPECT_THAT(words_of("gpt-2", "\u043D\u0435 \u6211\u60F3\u0663\u00BD!"),
              ElementsAre("\u043D\u0435", " \u6211\u60F3", "\u0663\u00BD", "!"));
}

// U+180E was a space until Unicode 6.3, and PCRE2's \s still says so.
TEST(pretokenizer, takes_the_mongolian_vowel_separator_for_no_space) {
  EXPECT_THAT(words_of("gpt-2", "a \u180E b"), ElementsAre("a", " \u180E", " b"));
}

TEST(pretokenizer, llama_cuts_numbers_in_threes_and_ends_spaces_at_line_breaks) {
  EXPECT_THAT(words_of("llama-bpe", "1234567"), ElementsAre("123", "456", "7"));
  EXPECT_THAT(words_of("llama-bpe", "a \n \r\n  b"), ElementsAre("a", " \n \r\n", " ", " b"));
  EXPECT_THAT(words_of("llama-bpe", "a!\n\nb"), ElementsAre("a", "!\n\n", "b"));
  EXPECT_THAT(words_of("llama-bpe", "We'Ve (been) 'LL"),
              ElementsAre("We", "'Ve", " (", "been", ")", " '", "LL"));
  EXPECT_THAT(words_of("llama-bpe", "\tx   "), ElementsAre("\tx", "   "));
}

TEST(pretokenizer, default_cuts_off_punctuation_first_and_digits_in_threes) {
  EXPECT_THAT(words_of("default", "Hello, world!? 12345"),
              ElementsAre("Hello", ",", " world", "!?", " ", "123", "45"));
  EXPECT_THAT(words_of("default", "a <= b"), ElementsAre("a", " ", "<=", " b"));
}

TEST(pretokenizer, keeps_bytes_that_are_not_text_together_and_apart) {
  EXPECT_THAT(words_of("gpt-2", "ab\xFF\xFE cd\xE2\x82"),
              ElementsAre("ab", "\xFF\xFE", " cd", "\xE2\x82"));
  EXPECT_THAT(words_of("gpt-2", "\x80"), ElementsAre("\x80"));
}

TEST(pretokenizer, makes_no_words_of_nothing) {
  EXPECT_TRUE(words_of("gpt-2", "").empty());
  EXPECT_TRUE(words_of("default", "").empty());
}

TEST(pretokenizer, refuses_an_unknown_name_and_repeats_it) {
  const auto refused = pretokenizer::make("gpt-5\n");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::unsupported);
  EXPECT_NE(refused.error().message.find("'gpt-5\\n'"), std::string::npos)
      << refused.error().message;
}

TEST(pretokenizer, stays_within_the_match_limit_on_endless_runs) {
  const std::size_t size = std::size_t{limits::pcre_match_limit} + 1000;
  for (const char* name : {"gpt-2", "llama-bpe", "default"}) {
    for (const std::string unit : {" ", "\n", "a", "1", "!", " \n", "'", "\u3000", "\xFF", " a"}) {
      std::string text;
      while (text.size() < size) {
        text += unit;
      }
      text += "x";
      std::string joined;
      for (const std::string& word : words_of(name, text)) {
        joined += word;
      }
      ASSERT_EQ(joined, text) << name << " '" << unit << "'";
    }
  }
}

} // namespace ovir::compute
