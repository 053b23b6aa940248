// Feeds any text to a fixed small vocabulary of each kind and compares what comes back:
//   scripts/fuzz text 300
// The first byte chooses the vocabulary and whether special tokens are read; the rest is the text.
// Any difference aborts. Gap: the vocabularies are small, so long merges of real ones are not
// reached; tests/property/tokenizer_test.cpp has those.
#include "compute/base/utf8.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/check.hpp"
#include "tests/support/model/small_vocabularies.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using ovir::token_id;
using ovir::compute::text_stream;
using ovir::compute::tokenizer;

std::array<std::unique_ptr<tokenizer>, 5> make_tokenizers() {
  const auto bpe = [](std::string_view pre) {
    auto b = ovir::test::small_bpe();
    b.remove_entry("tokenizer.ggml.pre").text("tokenizer.ggml.pre", pre);
    return ovir::test::tokenizer_of(b);
  };
  auto without_prefix = ovir::test::small_spm();
  without_prefix.boolean("tokenizer.ggml.add_space_prefix", false);
  return {bpe("gpt-2"), bpe("llama-bpe"), bpe("default"),
          ovir::test::tokenizer_of(ovir::test::small_spm()),
          ovir::test::tokenizer_of(without_prefix)};
}

void check_round_trip(const tokenizer& words, std::string_view text, bool parse_special) {
  const auto ids = words.encode(text, {.add_bos = false, .parse_special = parse_special});
  OVIR_CHECK(ids.has_value());
  OVIR_CHECK(words.decode(*ids, parse_special) == text);
  std::string joined;
  std::string streamed;
  text_stream stream{words};
  for (const token_id id : *ids) {
    OVIR_CHECK(id < words.vocabulary(), id);
    joined += words.piece(id, false);
    streamed += stream.add(id);
  }
  streamed += stream.finish();
  OVIR_CHECK(streamed == ovir::compute::replace_invalid_utf8(joined));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto tokenizers = make_tokenizers();
  if (size == 0) {
    return 0;
  }
  const std::string_view text{reinterpret_cast<const char*>(data + 1), size - 1};
  check_round_trip(*tokenizers[(data[0] & 0x7FU) % tokenizers.size()], text, data[0] >= 0x80);
  return 0;
}
