// Any text decodes to itself, and streaming it in any pieces shows the same characters.
#include "compute/base/utf8.hpp"
#include "compute/text/tokenizer.hpp"
#include "tests/support/model/small_vocabularies.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::compute {

namespace {

constexpr tokenizer::options plain{.add_bos = false, .parse_special = false};
constexpr tokenizer::options parsed{.add_bos = false, .parse_special = true};

std::uint64_t seed_of_run() {
  const char* text = std::getenv("OVIR_SEED");
  return text == nullptr ? 20240607 : std::strtoull(text, nullptr, 10);
}

class generator {
public:
  explicit generator(std::uint64_t seed) : bits_(seed) {}

  std::uint32_t below(std::uint32_t end) { return static_cast<std::uint32_t>(bits_() % end); }

  std::string bytes() {
    std::string text;
    for (std::uint32_t n = below(40); n > 0; --n) {
      text.push_back(static_cast<char>(below(256)));
    }
    return text;
  }

  /// Valid UTF-8 from all planes, with many spaces, marks, digits, and names of special tokens.
  std::string unicode() {
    static constexpr std::string_view likely[] = {
        " ",      "  ",     "\n", "\u2581", "hello", "the", "he",     "a",       "aa",     "12",
        "\u00E9", "\u3000", "'s", "!",      "</s>",  "<s>", "<user>", "<|end|>", "<0x41>", "\r\n"};
    std::string text;
    for (std::uint32_t n = below(30); n > 0; --n) {
      if (below(3) > 0) {
        text += likely[below(std::size(likely))];
        continue;
      }
      char32_t value = below(0x110000 - 0x800);
      value += value >= 0xD800 ? 0x800 : 0;
      append_utf8(text, below(2) == 0 ? value : value & 0x7FFU);
    }
    return text;
  }

private:
  std::mt19937_64 bits_;
};

std::vector<std::unique_ptr<tokenizer>> small_tokenizers() {
  std::vector<std::unique_ptr<tokenizer>> all;
  for (const char* pre : {"gpt-2", "llama-bpe", "default"}) {
    auto b = test::small_bpe();
    b.remove_entry("tokenizer.ggml.pre").text("tokenizer.ggml.pre", pre);
    all.push_back(test::tokenizer_of(b));
  }
  auto spm = test::small_spm();
  all.push_back(test::tokenizer_of(spm));
  spm.boolean("tokenizer.ggml.add_space_prefix", false);
  all.push_back(test::tokenizer_of(spm));
  return all;
}

void expect_round_trip(const tokenizer& words, const std::string& text) {
  const auto ids = words.encode(text, plain);
  ASSERT_TRUE(ids);
  ASSERT_EQ(words.decode(*ids, false), text);
  const auto special_ids = words.encode(text, parsed);
  ASSERT_TRUE(special_ids);
  ASSERT_EQ(words.decode(*special_ids, true), text);

  std::string joined;
  std::string streamed;
  text_stream stream{words};
  for (const token_id id : *ids) {
    joined += words.piece(id, false);
    const std::string part = stream.add(id);
    ASSERT_EQ(replace_invalid_utf8(part), part);
    streamed += part;
  }
  streamed += stream.finish();
  ASSERT_EQ(streamed, replace_invalid_utf8(joined));
  if (!words.has_space_prefix()) {
    ASSERT_EQ(joined, text);
  }
}

} // namespace

TEST(tokenizer_property, any_text_decodes_to_itself) {
  const std::uint64_t seed = seed_of_run();
  SCOPED_TRACE("OVIR_SEED=" + std::to_string(seed));
  generator random{seed};
  const auto all = small_tokenizers();
  for (int round = 0; round < 3000; ++round) {
    const std::string text = round % 3 == 0 ? random.bytes() : random.unicode();
    for (const auto& words : all) {
      ASSERT_NO_FATAL_FAILURE(expect_round_trip(*words, text)) << ::testing::PrintToString(text);
    }
  }
}

TEST(tokenizer_property, any_text_decodes_to_itself_in_real_vocabularies) {
  const std::uint64_t seed = seed_of_run();
  SCOPED_TRACE("OVIR_SEED=" + std::to_string(seed));
  for (const char* name : {"gpt-2", "llama-bpe", "llama-spm"}) {
    OVIR_SHARED_FILE(model, std::string{"vocab/ggml-vocab-"} + name + ".gguf");
    const auto bytes = test::bytes_of_file(model);
    const auto file = gguf::parse(bytes);
    ASSERT_TRUE(file);
    const auto words = tokenizer::make(*file);
    ASSERT_TRUE(words);
    generator random{seed};
    for (int round = 0; round < 3000; ++round) {
      const std::string text = round % 3 == 0 ? random.bytes() : random.unicode();
      ASSERT_NO_FATAL_FAILURE(expect_round_trip(**words, text))
          << name << ": " << ::testing::PrintToString(text);
    }
  }
}

TEST(tokenizer_property, streaming_any_tokens_gives_what_joining_them_does) {
  const std::uint64_t seed = seed_of_run();
  SCOPED_TRACE("OVIR_SEED=" + std::to_string(seed));
  generator random{seed};
  const auto all = small_tokenizers();
  for (int round = 0; round < 3000; ++round) {
    for (const auto& words : all) {
      std::string joined;
      std::string streamed;
      text_stream stream{*words};
      for (std::uint32_t n = random.below(20); n > 0; --n) {
        const token_id id = random.below(words->vocabulary() + 3);
        joined += words->piece(id, false);
        streamed += stream.add(id);
      }
      streamed += stream.finish();
      ASSERT_EQ(streamed, replace_invalid_utf8(joined));
    }
  }
}

} // namespace ovir::compute
