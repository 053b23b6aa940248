#include "compute/text/tokenizer_spm.hpp"
#include "tests/support/model/small_vocabularies.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
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

/// The pieces between bars, byte tokens in brackets: small to write, easy to read.
std::string pieces(const tokenizer& words, std::string_view text, tokenizer::options opts = plain) {
  std::string out;
  for (const token_id id : encode(words, text, opts)) {
    const bool byte = id >= 3 && id < test::small_spm_words;
    out += out.empty() ? "" : "|";
    out += byte ? "[" : "";
    out += words.piece(id, true);
    out += byte ? "]" : "";
  }
  return out;
}

test::gguf_builder with_types(std::vector<std::string> more, std::int32_t type) {
  auto texts = test::small_spm_texts();
  auto b = test::small_spm();
  std::vector<std::int32_t> types(texts.size(), 1);
  types[0] = 2;
  types[1] = types[2] = 3;
  std::fill(types.begin() + 3, types.begin() + test::small_spm_words, 6);
  types.resize(texts.size() + more.size(), type);
  texts.insert(texts.end(), more.begin(), more.end());
  std::vector<float> scores(texts.size(), -1.0F);
  b.remove_entry("tokenizer.ggml.tokens").texts("tokenizer.ggml.tokens", texts);
  b.remove_entry("tokenizer.ggml.token_type").integers("tokenizer.ggml.token_type", types);
  b.remove_entry("tokenizer.ggml.scores").floats("tokenizer.ggml.scores", scores);
  return b;
}

} // namespace

TEST(tokenizer_spm, joins_the_neighbours_with_the_best_score_first) {
  const auto words = test::tokenizer_of(test::small_spm());
  EXPECT_EQ(pieces(*words, "hello"), " hello");
  EXPECT_EQ(pieces(*words, "hehello"), " |he|hello");
  // "ab" and "bc" have one score: the left one wins.
  EXPECT_EQ(pieces(*words, "abc"), " |ab|c");
  EXPECT_EQ(pieces(*words, "aaaaaaa"), " |aaaa|aa|a");
}

TEST(tokenizer_spm, spells_unknown_characters_by_their_bytes) {
  const auto words = test::tokenizer_of(test::small_spm());
  EXPECT_EQ(pieces(*words, "ax\u00E9\u20AC"), " |a|[x]|\u00E9|[\xE2]|[\x82]|[\xAC]");
  EXPECT_EQ(pieces(*words, "a\xFF"), " |a|[\xFF]");
}

TEST(tokenizer_spm, puts_one_space_in_front_and_takes_it_off_again) {
  const auto words = test::tokenizer_of(test::small_spm());
  EXPECT_TRUE(words->has_space_prefix());
  EXPECT_EQ(pieces(*words, " hello"), " | hello");
  for (const std::string text : {"", " ", "  ", "   a", "hello", " hello ", "\n", "a  b"}) {
    EXPECT_EQ(words->decode(encode(*words, text), false), text);
  }
  EXPECT_TRUE(encode(*words, "").empty());
}

TEST(tokenizer_spm, puts_no_space_in_front_where_the_model_says_so) {
  auto b = test::small_spm();
  b.boolean("tokenizer.ggml.add_space_prefix", false);
  const auto words = test::tokenizer_of(b);
  EXPECT_FALSE(words->has_space_prefix());
  EXPECT_EQ(pieces(*words, "hello"), "hello");
  EXPECT_EQ(words->decode(encode(*words, " hello"), false), " hello");
}

TEST(tokenizer_spm, reads_control_tokens_only_when_asked_to) {
  const auto words = test::tokenizer_of(test::small_spm());
  EXPECT_EQ(encode(*words, "</s>", parsed), std::vector<token_id>{2});
  const auto spelled = encode(*words, "</s>");
  EXPECT_EQ(std::count(spelled.begin(), spelled.end(), token_id{2}), 0);
  EXPECT_EQ(words->decode(spelled, false), "</s>");
}

// A merge must not make a control or byte token out of text that spells its name, however good its
// score: a prompt could end its own turn.
TEST(tokenizer_spm, never_merges_text_into_a_control_or_byte_token) {
  auto b =
      with_types({"<", "/", "s", ">", "</", "s>", "0", "x", "4", "1", "<0", "<0x", "41", "41>"}, 1);
  const auto words = test::tokenizer_of(b);
  for (const std::string text : {"</s>", "<0x41>"}) {
    const auto ids = encode(*words, text);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), token_id{2}), 0);
    EXPECT_EQ(words->decode(ids, false), text);
  }
}

TEST(tokenizer_spm, starts_anew_with_a_space_behind_a_special_token) {
  const auto words = test::tokenizer_of(test::small_spm());
  EXPECT_EQ(pieces(*words, "<s>hello</s>hello", parsed), "<s>| hello|</s>| hello");
  for (const std::string text : {"<s>hello</s> hello", "a<s><s> ", "</s>", "a</s>  b"}) {
    EXPECT_EQ(words->decode(encode(*words, text, parsed), true), text);
  }
}

TEST(tokenizer_spm, cuts_out_user_defined_tokens_always_and_the_longest_first) {
  const auto words = test::tokenizer_of(with_types({"he", "<tool>", "<tool>x"}, 4));
  const auto first = static_cast<token_id>(test::small_spm_texts().size());
  const auto ids = encode(*words, "a<tool>xb<tool>");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), first + 2), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), first + 1), 1);
  EXPECT_EQ(words->decode(ids, false), "a<tool>xb<tool>");
}

TEST(tokenizer_spm, tells_a_space_from_the_mark_that_spells_it) {
  const auto words = test::tokenizer_of(test::small_spm());
  for (const std::string text : {"\u2581", "a\u2581b", " \u2581 ", "\u2581hello"}) {
    EXPECT_EQ(words->decode(encode(*words, text), false), text);
  }
}

// With such a token in the vocabulary words cannot be encoded one by one.
TEST(tokenizer_spm, joins_across_words_where_the_vocabulary_does) {
  const auto words = test::tokenizer_of(with_types({"o\u2581", "o\u2581h"}, 1));
  const auto first = static_cast<token_id>(test::small_spm_texts().size());
  const auto ids = encode(*words, "o h");
  EXPECT_EQ(ids.back(), first + 1);
  EXPECT_EQ(words->decode(ids, false), "o h");
}

TEST(tokenizer_spm, puts_bos_and_eos_where_the_model_asks_for_them) {
  auto b = test::small_spm();
  EXPECT_EQ(encode(*test::tokenizer_of(b), "a", {}).front(), 1U);
  b.boolean("tokenizer.ggml.add_eos_token", true).boolean("tokenizer.ggml.add_bos_token", false);
  const auto words = test::tokenizer_of(b);
  EXPECT_FALSE(words->adds_bos());
  EXPECT_EQ(encode(*words, "", {}), std::vector<token_id>{2});
}

TEST(tokenizer_spm, knows_the_classic_ids_where_the_metadata_is_silent) {
  auto b = test::small_spm();
  b.remove_entry("tokenizer.ggml.bos_token_id").remove_entry("tokenizer.ggml.eos_token_id");
  const auto words = test::tokenizer_of(b);
  EXPECT_EQ(words->bos(), token_id{1});
  EXPECT_EQ(words->eos(), token_id{2});
  EXPECT_TRUE(words->ends_generation(2));
  EXPECT_FALSE(words->ends_generation(1));
}

TEST(tokenizer_spm, knows_bytes_by_name_in_a_vocabulary_without_types) {
  auto b = test::small_spm();
  b.remove_entry("tokenizer.ggml.token_type");
  const auto words = test::tokenizer_of(b);
  EXPECT_EQ(words->decode(encode(*words, "x\xFFy"), false), "x\xFFy");
}

TEST(tokenizer_spm, refuses_scores_that_do_not_fit) {
  const auto refusal = [](const std::vector<float>& scores) {
    auto b = test::small_spm();
    b.remove_entry("tokenizer.ggml.scores").floats("tokenizer.ggml.scores", scores);
    return test::refusal_of(b);
  };
  EXPECT_THAT(refusal({1.0F}).message, HasSubstr("tokenizer.ggml.scores has 1 elements"));
  std::vector<float> scores(test::small_spm_texts().size(), 0.0F);
  scores[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refusal(scores).message, HasSubstr("tokenizer.ggml.scores[7] is not a number"));
  auto b = test::small_spm();
  b.remove_entry("tokenizer.ggml.scores");
  EXPECT_EQ(test::refusal_of(b).code, errc::malformed);
}

TEST(tokenizer_spm, refuses_a_vocabulary_that_lacks_a_byte_and_an_unknown_token) {
  auto b = test::small_spm();
  auto texts = test::small_spm_texts();
  texts[3 + 0x80] = "gone";
  texts[0] = "zero";
  std::vector<std::int32_t> types(texts.size(), 6);
  types[0] = 1;
  b.remove_entry("tokenizer.ggml.tokens").texts("tokenizer.ggml.tokens", texts);
  b.remove_entry("tokenizer.ggml.token_type").integers("tokenizer.ggml.token_type", types);
  b.remove_entry("tokenizer.ggml.unknown_token_id");
  EXPECT_THAT(test::refusal_of(b).message, HasSubstr("<0x80>"));
}

// Joining pairs by scanning for the best would take hours here.
TEST(tokenizer_spm, encodes_a_megabyte_of_one_character) {
  const auto words = test::tokenizer_of(test::small_spm());
  for (const char c : {'a', ' '}) {
    const std::string text(1U << 20U, c);
    EXPECT_EQ(words->decode(encode(*words, text), false), text);
  }
}

} // namespace ovir::compute
