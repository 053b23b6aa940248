#include "compute/text/tokenizer.hpp"
#include "messages/limits/general.hpp"
#include "tests/support/model/small_vocabularies.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ovir::compute {

namespace {

using ::testing::HasSubstr;

test::gguf_builder with_types(const std::vector<std::int32_t>& types) {
  auto b = test::small_bpe();
  b.remove_entry("tokenizer.ggml.token_type").integers("tokenizer.ggml.token_type", types);
  return b;
}

} // namespace

TEST(tokenizer, refuses_a_model_it_does_not_know_or_that_names_none) {
  auto b = test::small_bpe();
  b.remove_entry("tokenizer.ggml.model");
  EXPECT_EQ(test::refusal_of(b).code, errc::malformed);
  b.text("tokenizer.ggml.model", "bert");
  EXPECT_EQ(test::refusal_of(b).code, errc::unsupported);
  EXPECT_THAT(test::refusal_of(b).message, HasSubstr("'bert'"));
  b.remove_entry("tokenizer.ggml.model").u32("tokenizer.ggml.model", 1);
  EXPECT_EQ(test::refusal_of(b).code, errc::malformed);
}

TEST(tokenizer, refuses_token_lists_that_do_not_fit_together) {
  EXPECT_THAT(test::refusal_of(with_types({1, 2, 3})).message,
              HasSubstr("tokenizer.ggml.token_type has 3 elements"));
  std::vector<std::int32_t> types(test::small_bpe_texts().size(), 1);
  types[9] = 77;
  EXPECT_THAT(test::refusal_of(with_types(types)).message,
              HasSubstr("tokenizer.ggml.token_type[9] is 77"));
  types[9] = -1;
  EXPECT_EQ(test::refusal_of(with_types(types)).code, errc::malformed);
  auto b = test::small_bpe();
  b.remove_entry("tokenizer.ggml.tokens");
  EXPECT_THAT(test::refusal_of(b).message, HasSubstr("tokenizer.ggml.tokens is absent"));
  b.text("tokenizer.ggml.tokens", "a b c");
  EXPECT_THAT(test::refusal_of(b).message, HasSubstr("is not an array"));
  b.remove_entry("tokenizer.ggml.tokens").texts("tokenizer.ggml.tokens", {});
  EXPECT_EQ(test::refusal_of(b).code, errc::malformed);
}

TEST(tokenizer, refuses_special_ids_outside_the_vocabulary) {
  for (const std::string name : {"bos", "eos", "unknown", "eot", "eom"}) {
    const std::string key = "tokenizer.ggml." + name + "_token_id";
    auto b = test::small_bpe();
    const auto size = static_cast<std::uint32_t>(test::small_bpe_texts().size());
    b.remove_entry(key).u32(key, size);
    EXPECT_THAT(test::refusal_of(b).message, HasSubstr(key));
    b.remove_entry(key).text(key, "one");
    EXPECT_EQ(test::refusal_of(b).code, errc::malformed);
  }
}

TEST(tokenizer, refuses_to_add_a_token_that_the_model_does_not_name) {
  for (const std::string name : {"bos", "eos"}) {
    auto b = test::small_bpe();
    b.remove_entry("tokenizer.ggml." + name + "_token_id");
    b.boolean("tokenizer.ggml.add_" + name + "_token", true);
    EXPECT_THAT(test::refusal_of(b).message, HasSubstr("add_" + name + "_token"));
  }
}

TEST(tokenizer, refuses_an_absurdly_long_special_token) {
  auto texts = test::small_bpe_texts();
  texts.back() = std::string(limits::special_token_bytes_max + 1, 'x');
  auto b = test::small_bpe();
  b.remove_entry("tokenizer.ggml.tokens").texts("tokenizer.ggml.tokens", texts);
  EXPECT_EQ(test::refusal_of(b).code, errc::over_limit);
}

TEST(tokenizer, refuses_a_text_beyond_the_limit) {
  for (const auto& b : {test::small_bpe(), test::small_spm()}) {
    const auto refused =
        test::tokenizer_of(b)->encode(std::string(limits::prompt_bytes_max + 1, 'x'), {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, errc::over_limit);
  }
}

TEST(tokenizer, ends_a_generation_at_eos_eot_eom_and_at_well_known_names) {
  auto texts = test::small_bpe_texts();
  const auto first = static_cast<token_id>(texts.size());
  texts.insert(texts.end(), {"<|im_end|>", "<|eot_id|>", "<end_of_turn>", "stop"});
  std::vector<std::int32_t> types(texts.size(), 1);
  types[first] = 3;
  types[first + 1] = 3;
  auto b = with_types(types);
  b.remove_entry("tokenizer.ggml.tokens").texts("tokenizer.ggml.tokens", texts);
  b.u32("tokenizer.ggml.eot_token_id", first + 3);
  const auto words = test::tokenizer_of(b);
  EXPECT_TRUE(words->ends_generation(*words->eos()));
  EXPECT_TRUE(words->ends_generation(first));
  EXPECT_TRUE(words->ends_generation(first + 1));
  EXPECT_TRUE(words->ends_generation(first + 3));
  // A name alone does not do it: this one is plain text in the vocabulary.
  EXPECT_FALSE(words->ends_generation(first + 2));
  EXPECT_FALSE(words->ends_generation(*words->bos()));
  EXPECT_FALSE(words->ends_generation(words->vocabulary()));
}

TEST(tokenizer, finds_the_first_of_two_tokens_with_one_text) {
  auto texts = test::small_bpe_texts();
  const auto size = static_cast<token_id>(texts.size());
  texts.push_back("a");
  auto b = with_types(std::vector<std::int32_t>(texts.size(), 1));
  b.remove_entry("tokenizer.ggml.tokens").texts("tokenizer.ggml.tokens", texts);
  const auto words = test::tokenizer_of(b);
  EXPECT_EQ(words->encode("a", {.add_bos = false}).value(), std::vector<token_id>{'a'});
  EXPECT_EQ(words->piece(size, false), "a");
}

TEST(tokenizer, has_no_piece_outside_the_vocabulary_nor_for_control_tokens) {
  for (const auto& b : {test::small_bpe(), test::small_spm()}) {
    const auto words = test::tokenizer_of(b);
    EXPECT_EQ(words->piece(words->vocabulary(), true), "");
    EXPECT_EQ(words->piece(~token_id{0}, true), "");
    EXPECT_EQ(words->decode({words->vocabulary(), ~token_id{0}}, true), "");
    EXPECT_EQ(words->piece(*words->bos(), false), "");
    EXPECT_NE(words->piece(*words->bos(), true), "");
  }
}

TEST(tokenizer, outlives_the_file_it_was_made_from) {
  auto bytes = test::small_bpe().build();
  auto file = gguf::parse(bytes);
  ASSERT_TRUE(file);
  const auto words = tokenizer::make(*file).value();
  bytes.assign(bytes.size(), std::byte{0});
  EXPECT_EQ(words->decode(words->encode(" the", {}).value(), false), " the");
}

} // namespace ovir::compute
