#include "tests/support/model/small_vocabularies.hpp"

#include "compute/base/utf8.hpp"
#include "compute/text/tokenizer_bpe.hpp"

#include <fmt/format.h>

#include <stdexcept>
#include <string_view>

namespace ovir::test {

namespace {

/// Words of the `llama` vocabulary with their scores; "_" stands for the space mark.
struct scored_word {
  std::string_view text;
  float score;
};

constexpr scored_word spm_words[] = {
    {"_", -1.0F},    {"a", -2.0F},    {"b", -2.0F},   {"c", -2.0F},     {"h", -2.0F},
    {"e", -2.0F},    {"l", -2.0F},    {"o", -2.0F},   {"\n", -2.0F},    {"\xC3\xA9", -2.0F},
    {"he", -3.0F},   {"ll", -4.0F},   {"llo", -5.0F}, {"hello", -6.0F}, {"_hello", -7.0F},
    {"__", -8.0F},   {"____", -9.0F}, {"ab", -10.0F}, {"bc", -10.0F},   {"aa", -11.0F},
    {"aaaa", -12.0F}};

std::string with_marks(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c == '_' ? std::string{"\xE2\x96\x81"} : std::string(1, c);
  }
  return out;
}

std::string byte_level(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) {
    compute::append_utf8(out, compute::byte_level_character(static_cast<std::uint8_t>(byte)));
  }
  return out;
}

struct merge {
  std::string_view left;
  std::string_view right;
};

constexpr merge bpe_merges[] = {{" ", "t"},       {"h", "e"},   {"a", "a"},  {"aa", "aa"},
                                {" t", "he"},     {"1", "2"},   {"12", "3"}, {"\n", "\n"},
                                {" ", " "},       {"  ", "  "}, {"l", "l"},  {"he", "ll"},
                                {"\xC3", "\xA9"}, {"b", "c"},   {"a", "bc"}, {"a", "b"}};

} // namespace

std::vector<std::string> small_spm_texts() {
  std::vector<std::string> texts{"<unk>", "<s>", "</s>"};
  for (int byte = 0; byte < 256; ++byte) {
    texts.push_back(fmt::format("<0x{:02X}>", byte));
  }
  for (const scored_word& word : spm_words) {
    texts.push_back(with_marks(word.text));
  }
  return texts;
}

gguf_builder small_spm() {
  const auto texts = small_spm_texts();
  std::vector<std::int32_t> types(texts.size(), 1);
  std::vector<float> scores(texts.size(), 0.0F);
  types[0] = 2;
  types[1] = 3;
  types[2] = 3;
  for (std::size_t i = 3; i < 259; ++i) {
    types[i] = 6;
  }
  for (std::size_t i = 0; i < std::size(spm_words); ++i) {
    scores[small_spm_words + i] = spm_words[i].score;
  }
  gguf_builder b;
  b.text("tokenizer.ggml.model", "llama");
  b.texts("tokenizer.ggml.tokens", texts);
  b.floats("tokenizer.ggml.scores", scores);
  b.integers("tokenizer.ggml.token_type", types);
  b.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
  b.u32("tokenizer.ggml.unknown_token_id", 0);
  return b;
}

std::vector<std::string> small_bpe_texts() {
  std::vector<std::string> texts;
  texts.reserve(256 + std::size(bpe_merges));
  for (int byte = 0; byte < 256; ++byte) {
    texts.push_back(byte_level(std::string(1, static_cast<char>(byte))));
  }
  for (const merge& m : bpe_merges) {
    texts.push_back(byte_level(m.left) + byte_level(m.right));
  }
  texts.insert(texts.end(), {"<|begin|>", "<|end|>", "<user>"});
  return texts;
}

std::vector<std::string> small_bpe_merges() {
  std::vector<std::string> merges;
  for (const merge& m : bpe_merges) {
    merges.push_back(byte_level(m.left) + " " + byte_level(m.right));
  }
  return merges;
}

gguf_builder small_bpe() {
  const auto texts = small_bpe_texts();
  std::vector<std::int32_t> types(texts.size(), 1);
  types[texts.size() - 3] = 3;
  types[texts.size() - 2] = 3;
  types[texts.size() - 1] = 4;
  const auto begin = static_cast<std::uint32_t>(texts.size() - 3);
  gguf_builder b;
  b.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "gpt-2");
  b.texts("tokenizer.ggml.tokens", texts);
  b.integers("tokenizer.ggml.token_type", types);
  b.texts("tokenizer.ggml.merges", small_bpe_merges());
  b.u32("tokenizer.ggml.bos_token_id", begin).u32("tokenizer.ggml.eos_token_id", begin + 1);
  return b;
}

std::unique_ptr<compute::tokenizer> tokenizer_of(const gguf_builder& metadata) {
  const auto bytes = metadata.build();
  const auto file = compute::gguf::parse(bytes);
  if (!file) {
    throw std::runtime_error(file.error().message);
  }
  auto made = compute::tokenizer::make(*file);
  if (!made) {
    throw std::runtime_error(made.error().message);
  }
  return std::move(made).value();
}

error refusal_of(const gguf_builder& metadata) {
  const auto bytes = metadata.build();
  const auto file = compute::gguf::parse(bytes);
  if (!file) {
    throw std::runtime_error(file.error().message);
  }
  const auto made = compute::tokenizer::make(*file);
  if (made) {
    throw std::runtime_error("the tokenizer was accepted");
  }
  return made.error();
}

} // namespace ovir::test
