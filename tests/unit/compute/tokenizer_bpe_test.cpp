#include "compute/text/tokenizer_bpe.hpp"
#include "tests/support/model/small_vocabularies.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::compute {

namespace {

using ::testing::HasSubstr;

constexpr tokenizer::options plain{.add_bos = false, .parse_special = false};
constexpr tokenizer::options parsed{.add_bos = false, .parse_special = true};

std::vector<token_id> encode(const tokenizer& words, std::string_view text,
                             tokenizer::options opts = plain) {
  const auto ids = words.encode(text, opts);
  EXPECT_TRUE(ids);
  return *ids;
}

std::string pieces(const tokenizer& words, std::string_view text, tokenizer::options opts = plain) {
  std::string out;
  for (const token_id id : encode(words, text, opts)) {
    out += out.empty() ? "" : "|";
    out += words.piece(id, true);
  }
  return out;
}

test::gguf_builder with_merges(const std::vector<std::string>& merges) {
  auto b = test::small_bpe();
  b.remove_entry("tokenizer.ggml.merges").texts("tokenizer.ggml.merges", merges);
  return b;
}

} // namespace

TEST(tokenizer_bpe, writes_each_byte_as_a_character_of_its_own) {
  std::set<char32_t> characters;
  for (int byte = 0; byte < 256; ++byte) {
    characters.insert(byte_level_character(static_cast<std::uint8_t>(byte)));
  }
  EXPECT_EQ(characters.size(), 256U);
  EXPECT_EQ(byte_level_character('A'), U'A');
  EXPECT_EQ(byte_level_character(' '), U'\u0120');
  EXPECT_EQ(byte_level_character('\n'), U'\u010A');
  EXPECT_EQ(byte_level_character(0xAD), U'\u0143');
  EXPECT_EQ(byte_level_decode("\u0120t\u00C3\u00A9"), " t\u00E9");
  // No byte is written like that, so it stands for itself.
  EXPECT_EQ(byte_level_decode("\u20AC\xFF"), "\u20AC\xFF");
}

TEST(tokenizer_bpe, applies_merges_in_the_order_of_the_file) {
  const auto words = test::tokenizer_of(test::small_bpe());
  EXPECT_EQ(pieces(*words, " the hell"), " the| |hell");
  EXPECT_EQ(pieces(*words, "aaaaaaa"), "aaaa|aa|a");
  EXPECT_EQ(pieces(*words, "12312"), "123|12");
  // "b c" stands before "a b", so "abc" is a + bc first.
  EXPECT_EQ(pieces(*words, "abc"), "abc");
  EXPECT_EQ(pieces(*words, "ab"), "ab");
}

TEST(tokenizer_bpe, takes_the_first_of_two_merges_of_one_pair) {
  auto merges = test::small_bpe_merges();
  merges.push_back(merges.front());
  const auto words = test::tokenizer_of(with_merges(merges));
  EXPECT_EQ(pieces(*words, " the"), " the");
}

TEST(tokenizer_bpe, takes_a_whole_word_of_the_vocabulary_where_the_model_does) {
  // "h|e|ll" merges to "hell" only over "he"; without that merge the parts stay apart.
  auto merges = test::small_bpe_merges();
  merges.erase(std::find(merges.begin(), merges.end(), "h e"));
  auto b = with_merges(merges);
  EXPECT_EQ(pieces(*test::tokenizer_of(b), "hell"), "h|e|ll");
  b.remove_entry("tokenizer.ggml.pre").text("tokenizer.ggml.pre", "llama-bpe");
  EXPECT_EQ(pieces(*test::tokenizer_of(b), "hell"), "hell");
}

TEST(tokenizer_bpe, llama_bpe_starts_with_bos_unless_told_otherwise) {
  auto b = test::small_bpe();
  EXPECT_FALSE(test::tokenizer_of(b)->adds_bos());
  b.remove_entry("tokenizer.ggml.pre").text("tokenizer.ggml.pre", "llama-bpe");
  EXPECT_TRUE(test::tokenizer_of(b)->adds_bos());
  b.boolean("tokenizer.ggml.add_bos_token", false);
  EXPECT_FALSE(test::tokenizer_of(b)->adds_bos());
}

TEST(tokenizer_bpe, reads_control_tokens_only_when_asked_and_user_defined_ones_always) {
  const auto words = test::tokenizer_of(test::small_bpe());
  EXPECT_EQ(pieces(*words, "<|end|>", parsed), "<|end|>");
  EXPECT_EQ(pieces(*words, "<|end|>"), "<|||e|n|d|||>");
  EXPECT_EQ(pieces(*words, "a<user>a"), "a|<user>|a");
  EXPECT_EQ(words->decode(encode(*words, "a<|end|>a", parsed), false), "aa");
  EXPECT_EQ(words->decode(encode(*words, "a<|end|> a", parsed), true), "a<|end|> a");
}

TEST(tokenizer_bpe, has_no_space_prefix) {
  const auto words = test::tokenizer_of(test::small_bpe());
  EXPECT_FALSE(words->has_space_prefix());
  EXPECT_EQ(words->decode(encode(*words, " a"), false), " a");
}

TEST(tokenizer_bpe, encodes_any_bytes) {
  const auto words = test::tokenizer_of(test::small_bpe());
  for (const std::string text : {"\xFF", "\xE2\x82", "a\xC3", "\xF0\x9F\x98\x80"}) {
    EXPECT_EQ(words->decode(encode(*words, text), false), text);
  }
}

TEST(tokenizer_bpe, refuses_merges_that_cannot_be) {
  EXPECT_THAT(test::refusal_of(with_merges({"ab"})).message,
              HasSubstr("tokenizer.ggml.merges[0] is 'ab'"));
  EXPECT_THAT(test::refusal_of(with_merges({"h e", "a zz"})).message,
              HasSubstr("tokenizer.ggml.merges[1] joins 'a zz' to 'azz'"));
  auto b = test::small_bpe();
  b.remove_entry("tokenizer.ggml.merges");
  EXPECT_EQ(test::refusal_of(b).code, errc::malformed);
}

TEST(tokenizer_bpe, ignores_merges_that_would_spell_a_control_token) {
  auto texts = test::small_bpe_texts();
  const std::size_t count = texts.size();
  texts.insert(texts.end(), {"<|", "ctl", "ct"});
  std::vector<std::int32_t> types(texts.size(), 1);
  types[count + 1] = 3;
  auto merges = test::small_bpe_merges();
  merges.insert(merges.end(), {"c t", "ct l"});
  auto b = with_merges(merges);
  b.remove_entry("tokenizer.ggml.tokens").texts("tokenizer.ggml.tokens", texts);
  b.remove_entry("tokenizer.ggml.token_type").integers("tokenizer.ggml.token_type", types);
  EXPECT_EQ(pieces(*test::tokenizer_of(b), "ctl"), "ct|l");
}

TEST(tokenizer_bpe, refuses_a_vocabulary_without_all_bytes_unless_it_has_an_unknown_token) {
  auto texts = test::small_bpe_texts();
  texts[0x80] = "gone";
  auto b = test::small_bpe();
  b.remove_entry("tokenizer.ggml.tokens").texts("tokenizer.ggml.tokens", texts);
  EXPECT_THAT(test::refusal_of(b).message, HasSubstr("byte 0x80"));
  b.u32("tokenizer.ggml.unknown_token_id", 5);
  EXPECT_EQ(encode(*test::tokenizer_of(b), "\x80"), std::vector<token_id>{5});
}

TEST(tokenizer_bpe, refuses_an_unknown_pretokenizer_and_takes_default_where_none_is_named) {
  auto b = test::small_bpe();
  b.remove_entry("tokenizer.ggml.pre");
  EXPECT_EQ(pieces(*test::tokenizer_of(b), "12312"), "123|12");
  b.text("tokenizer.ggml.pre", "qwen9");
  EXPECT_EQ(test::refusal_of(b).code, errc::unsupported);
  EXPECT_THAT(test::refusal_of(b).message, HasSubstr("qwen9"));
}

TEST(tokenizer_bpe, encodes_a_megabyte_of_one_character) {
  const auto words = test::tokenizer_of(test::small_bpe());
  for (const char c : {'a', ' '}) {
    const std::string text(1U << 20U, c);
    EXPECT_EQ(words->decode(encode(*words, text), false), text);
  }
}

} // namespace ovir::compute
