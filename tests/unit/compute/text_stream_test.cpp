#include "compute/text/tokenizer.hpp"
#include "tests/support/model/small_vocabularies.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace ovir::compute {

namespace {

/// Streams bytes through the byte tokens of the small BPE vocabulary, whose ids are the bytes.
class text_stream_test : public ::testing::Test {
protected:
  std::string add(std::string_view bytes) {
    std::string text;
    for (const char byte : bytes) {
      text += stream_.add(static_cast<std::uint8_t>(byte));
    }
    return text;
  }

  std::unique_ptr<tokenizer> words_ = test::tokenizer_of(test::small_bpe());
  text_stream stream_{*words_};
};

} // namespace

TEST_F(text_stream_test, passes_whole_characters_on_at_once) {
  EXPECT_EQ(add("a"), "a");
  EXPECT_EQ(add("b c"), "b c");
  EXPECT_EQ(stream_.finish(), "");
}

TEST_F(text_stream_test, holds_a_character_back_until_it_is_complete) {
  EXPECT_EQ(add("\xF0"), "");
  EXPECT_EQ(add("\x9F"), "");
  EXPECT_EQ(add("\x98"), "");
  EXPECT_EQ(add("\x80"), "\U0001F600");
  EXPECT_EQ(stream_.finish(), "");
}

TEST_F(text_stream_test, replaces_what_can_no_longer_become_a_character) {
  EXPECT_EQ(add("\xE2\x82"), "");
  EXPECT_EQ(add("a"), "\uFFFDa");
  EXPECT_EQ(add("\xFF"), "\uFFFD");
  EXPECT_EQ(add("\x80"), "\uFFFD");
  EXPECT_EQ(add("\xC3\xC3"), "\uFFFD");
  EXPECT_EQ(add("\xA9"), "\u00E9");
}

TEST_F(text_stream_test, gives_out_the_rest_at_the_end_once) {
  EXPECT_EQ(add("\xE2\x82"), "");
  EXPECT_EQ(stream_.finish(), "\uFFFD");
  EXPECT_EQ(stream_.finish(), "");
  EXPECT_EQ(add("a"), "a");
}

TEST_F(text_stream_test, leaves_control_tokens_out) {
  EXPECT_EQ(add("\xC3"), "");
  EXPECT_EQ(stream_.add(*words_->eos()), "");
  EXPECT_EQ(add("\xA9"), "\u00E9");
}

TEST(text_stream, keeps_a_leading_space_because_it_continues_a_text) {
  const auto words = test::tokenizer_of(test::small_spm());
  text_stream stream{*words};
  std::string text;
  const auto ids = words->encode("hello", {.add_bos = false});
  for (const token_id id : *ids) {
    text += stream.add(id);
  }
  EXPECT_EQ(text, " hello");
}

} // namespace ovir::compute
