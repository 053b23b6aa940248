// The tokenizers against llama.cpp's: real vocabularies, its own test strings, and the token ids in
// the reference vectors of real models.
#include "compute/text/tokenizer.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::compute {

namespace {

namespace fs = std::filesystem;

std::string text_of_file(const fs::path& path) {
  std::ifstream file{path, std::ios::binary};
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>{file}, {}};
}

std::unique_ptr<tokenizer> tokenizer_of(const fs::path& path) {
  const std::vector<std::byte> bytes = test::bytes_of_file(path);
  const auto file = gguf::parse(bytes);
  if (!file) {
    ADD_FAILURE() << file.error().message;
    return nullptr;
  }
  auto made = tokenizer::make(*file);
  if (!made) {
    ADD_FAILURE() << made.error().message;
    return nullptr;
  }
  return std::move(made).value();
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(at + separator.size());
  }
}

std::vector<token_id> numbers(std::string_view line) {
  std::vector<token_id> ids;
  for (const std::string_view word : split(line, " ")) {
    token_id id = 0;
    if (!word.empty() &&
        std::from_chars(word.data(), word.data() + word.size(), id).ec == std::errc{}) {
      ids.push_back(id);
    }
  }
  return ids;
}

void expect_reproduced(const fs::path& model) {
  const auto words = tokenizer_of(model);
  ASSERT_NE(words, nullptr);
  const std::string input = text_of_file(model.string() + ".inp");
  const std::string output = text_of_file(model.string() + ".out");
  const auto texts = split(input, "\n__ggml_vocab_test__\n");
  auto lines = split(output, "\n");
  ASSERT_TRUE(lines.back().empty());
  lines.pop_back();
  // The last separator has nothing behind it.
  ASSERT_EQ(texts.size(), lines.size() + 1);
  ASSERT_TRUE(texts.back().empty());
  ASSERT_GE(lines.size(), 46U);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto ids = words->encode(texts[i], {.add_bos = false, .parse_special = false});
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(*ids, numbers(lines[i])) << "line " << i + 1 << ": \"" << texts[i] << '"';
    EXPECT_EQ(words->decode(*ids, true), texts[i]) << "line " << i + 1;
  }
}

void expect_prompt(const fs::path& model, const fs::path& vector) {
  const auto words = tokenizer_of(model);
  ASSERT_NE(words, nullptr);
  const auto json = nlohmann::json::parse(text_of_file(vector));
  const bool special = json.at("parse_special").get<int>() != 0;
  const auto prompt = json.at("prompt").get<std::string>();
  const auto ids = words->encode(prompt, {.add_bos = true, .parse_special = special});
  ASSERT_TRUE(ids) << ids.error().message;
  EXPECT_EQ(*ids, json.at("prompt_ids").get<std::vector<token_id>>());
  if (special) {
    EXPECT_EQ(words->decode(*ids, true), prompt);
  } else {
    EXPECT_EQ(words->decode(*ids, false), prompt);
  }
  // The vectors join the pieces, EOS with its name; a stream gives the end of a text no name.
  text_stream stream{*words};
  std::string text;
  std::string streamed;
  for (const auto id : json.at("greedy_ids").get<std::vector<token_id>>()) {
    streamed += stream.add(id);
    text += words->piece(id, true);
  }
  streamed += stream.finish();
  EXPECT_EQ(text, json.at("text").get<std::string>());
  EXPECT_EQ(streamed, text.substr(0, text.find("<|im_end|>")));
}

void expect_text(const fs::path& model, const fs::path& vector, const fs::path& text) {
  const auto words = tokenizer_of(model);
  ASSERT_NE(words, nullptr);
  const auto expected =
      nlohmann::json::parse(text_of_file(vector)).at("ids").get<std::vector<token_id>>();
  const auto ids = words->encode(text_of_file(text), {});
  ASSERT_TRUE(ids) << ids.error().message;
  // The vectors stop at a length of their own.
  ASSERT_GE(expected.size(), 160U);
  ASSERT_GE(ids->size(), expected.size());
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), ids->begin()));
  EXPECT_EQ(words->decode(*ids, false), text_of_file(text));
}

} // namespace

TEST(vocab, gpt2_reproduces_every_line_and_decodes_it_back) {
  OVIR_SHARED_FILE(model, "vocab/ggml-vocab-gpt-2.gguf");
  expect_reproduced(model);
}

TEST(vocab, llama_bpe_reproduces_every_line_and_decodes_it_back) {
  OVIR_SHARED_FILE(model, "vocab/ggml-vocab-llama-bpe.gguf");
  expect_reproduced(model);
}

TEST(vocab, llama_spm_reproduces_every_line_and_decodes_it_back) {
  OVIR_SHARED_FILE(model, "vocab/ggml-vocab-llama-spm.gguf");
  expect_reproduced(model);
}

struct vector_case {
  const char* model;
  const char* name; ///< of the vector files, without ".greedy.json" or ".nll.json"
};

class prompt_vector : public ::testing::TestWithParam<vector_case> {};

TEST_P(prompt_vector, encodes_the_prompt_and_decodes_the_answer) {
  OVIR_SHARED_FILE(model, std::string{"models/"} + GetParam().model);
  OVIR_SHARED_FILE(vector, std::string{"vectors/"} + GetParam().name + ".greedy.json");
  expect_prompt(model, vector);
}

INSTANTIATE_TEST_SUITE_P(
    vocab, prompt_vector,
    ::testing::Values(vector_case{"stories260K-f32.gguf", "stories260K-f32"},
                      vector_case{"stories260K-q8_0.gguf", "stories260K-q8_0"},
                      vector_case{"stories15M-q8_0.gguf", "stories15M-q8_0"},
                      vector_case{"minimind2-small-q8_0.gguf", "minimind2-small-q8_0"},
                      vector_case{"tales/tales-f16.gguf", "tales-f16"},
                      vector_case{"tales/tales-f16.gguf", "tales-f16.chat"},
                      vector_case{"tales/tales-f16.gguf", "tales-f16.fox"},
                      vector_case{"tales/tales-q8_0.gguf", "tales-q8_0.chat"},
                      vector_case{"tales/tales-q4_k_m.gguf", "tales-q4_k_m.fox"}),
    [](const auto& which) { return "case_" + std::to_string(which.index); });

class text_vector : public ::testing::TestWithParam<vector_case> {};

TEST_P(text_vector, encodes_the_whole_text) {
  const std::string name = GetParam().name;
  OVIR_SHARED_FILE(model, std::string{"models/"} + GetParam().model);
  OVIR_SHARED_FILE(vector, "vectors/" + name + ".nll.json");
  OVIR_SHARED_FILE(text, name.starts_with("tales") ? "vectors/tales.txt" : "vectors/story.txt");
  expect_text(model, vector, text);
}

INSTANTIATE_TEST_SUITE_P(vocab, text_vector,
                         ::testing::Values(vector_case{"stories260K-f32.gguf", "stories260K-f32"},
                                           vector_case{"stories15M-q8_0.gguf", "stories15M-q8_0"},
                                           vector_case{"minimind2-small-q8_0.gguf",
                                                       "minimind2-small-q8_0"},
                                           vector_case{"tales/tales-f16.gguf", "tales-f16"}),
                         [](const auto& which) { return "case_" + std::to_string(which.index); });

} // namespace ovir::compute
