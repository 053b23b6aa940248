// Every pre-tokenizer beside llama.cpp's: a vocabulary in which any two neighbours of an alphabet
// of troublesome bytes merge, so that the tokens show where words are cut, and random strings of
// it.
#include "compute/gguf/gguf.hpp"
#include "compute/make/synth_vocabulary.hpp"
#include "compute/text/tokenizer.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/llama_cpp.hpp"
#include "tests/support/model/peer_library.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

/// Letters of several scripts, digits, signs, spaces, contractions and control characters.
const std::vector<std::string> alphabet{
    "a",      "s",      "t",          "Z",      "S",      "'",      "'s",     "'re",
    "'LL",    "1",      "2",          "7",      " ",      " ",      "  ",     "\n",
    "\r",     "\r\n",   "\t",         ".",      "!",      "/",      "-",      "_",
    "$",      "<",      "\u00e9",     "\u0430", "\u4f60", "\u00a0", "\u3000", "\u0301",
    "\u0663", "\u00bd", "\U0001F600", "\u200d", "\u0905", "\u05d0", "\x07",   "\u2028"};

std::vector<std::byte> model_with(const std::string& pre) {
  compute::synth_vocabulary v = compute::make_synth_vocabulary(258, 1);
  std::vector<bool> used(256, false);
  for (const std::string& text : alphabet) {
    for (const char c : text) {
      used[static_cast<std::uint8_t>(c)] = true;
    }
  }
  for (std::size_t left = 0; left < 256; ++left) {
    for (std::size_t right = 0; used[left] && right < 256; ++right) {
      if (used[right]) {
        v.merges.push_back(v.tokens[left] + " " + v.tokens[right]);
        v.tokens.push_back(v.tokens[left] + v.tokens[right]);
        v.types.push_back(1);
      }
    }
  }
  constexpr auto f32 = compute::tensor_type::f32;
  constexpr std::uint64_t dim = 32;
  const std::uint64_t size = v.tokens.size();
  gguf_builder b;
  b.text("general.architecture", "llama").u32("llama.block_count", 1);
  b.u32("llama.embedding_length", dim).u32("llama.feed_forward_length", dim);
  b.u32("llama.attention.head_count", 1).u32("llama.context_length", 64);
  b.f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  b.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", pre);
  b.texts("tokenizer.ggml.tokens", v.tokens).texts("tokenizer.ggml.merges", v.merges);
  b.integers("tokenizer.ggml.token_type", v.types);
  b.u32("tokenizer.ggml.bos_token_id", v.bos).u32("tokenizer.ggml.eos_token_id", v.eos);
  b.boolean("tokenizer.ggml.add_bos_token", false);
  b.tensor("token_embd.weight", f32, {dim, size}).tensor("output_norm.weight", f32, {dim});
  for (const char* part : {"attn_norm", "ffn_norm"}) {
    b.tensor(std::string{"blk.0."} + part + ".weight", f32, {dim});
  }
  for (const char* part :
       {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
    b.tensor(std::string{"blk.0."} + part + ".weight", f32, {dim, dim});
  }
  return b.build();
}

class pretokenizers : public testing::TestWithParam<const char*> {};

TEST_P(pretokenizers, cut_three_hundred_strings_as_llama_cpp_does) {
  OVIR_PEER_FOLDER(folder);
  const std::vector<std::byte> bytes = model_with(GetParam());
  const auto parsed = compute::gguf::parse(bytes);
  ASSERT_TRUE(parsed) << parsed.error().message;
  const auto ours = compute::tokenizer::make(*parsed);
  ASSERT_TRUE(ours) << ours.error().message;
  const temporary_folder place;
  const std::filesystem::path file = place.path() / "model.gguf";
  std::ofstream{file, std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()),
                                              static_cast<std::streamsize>(bytes.size()));
  const llama_cpp theirs{folder, file};
  kernel_random random{9};
  for (int i = 0; i < 300; ++i) {
    std::string text;
    for (std::uint32_t n = 1 + random.below(40); n > 0; --n) {
      text += alphabet[random.below(static_cast<std::uint32_t>(alphabet.size()))];
    }
    const auto ids = (*ours)->encode(text, {.add_bos = false, .parse_special = false});
    ASSERT_TRUE(ids);
    ASSERT_EQ(*ids, theirs.tokenize(text)) << testing::PrintToString(text);
  }
}

INSTANTIATE_TEST_SUITE_P(names, pretokenizers,
                         testing::Values("default", "gpt-2", "phi-2", "mpt", "olmo", "jais",
                                         "llama-bpe", "llama3", "llama-v3", "falcon3", "dbrx",
                                         "smaug-bpe", "qwen2", "deepseek-r1-qwen", "stablelm2",
                                         "starcoder", "refact", "smollm", "codeshell",
                                         "command-r"));

} // namespace
} // namespace ovir::test
