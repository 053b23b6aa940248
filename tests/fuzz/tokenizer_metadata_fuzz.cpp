// Feeds any bytes as a model file to the tokenizer's reader and uses what it accepts:
//   scripts/fuzz tokenizer_metadata 300
// Whatever the file says, a short text must encode to tokens of the vocabulary in bounded time, and
// every token must have a piece. Gap: the text need not survive, because a vocabulary may map bytes
// to its unknown token.
#include "compute/gguf/gguf.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace {

constexpr std::string_view sample =
    " Hello  hello, it's 12345 caf\xC3\xA9\n\n</s><|end|><user> \xE2\x96\x81x\xFF\xF0\x9F\x98\x80";

void use(const ovir::compute::tokenizer& words) {
  for (const bool parse_special : {false, true}) {
    const auto ids = words.encode(sample, {.add_bos = true, .parse_special = parse_special});
    OVIR_CHECK(ids.has_value());
    // At most one token per byte of the text, and per space put in front, BOS and EOS.
    OVIR_CHECK(ids->size() <= sample.size() * 2 + 2, ids->size());
    ovir::compute::text_stream stream{words};
    for (const ovir::token_id id : *ids) {
      OVIR_CHECK(id < words.vocabulary(), id);
      static_cast<void>(words.ends_generation(id));
      static_cast<void>(stream.add(id));
    }
    static_cast<void>(stream.finish());
    static_cast<void>(words.decode(*ids, parse_special));
  }
  for (ovir::token_id id = 0; id < std::min(words.vocabulary(), 1024U); ++id) {
    static_cast<void>(words.piece(id, true));
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = ovir::compute::gguf::parse(std::as_bytes(std::span{data, size}));
  if (!file) {
    return 0;
  }
  const auto words = ovir::compute::tokenizer::make(*file);
  if (words) {
    use(**words);
  } else {
    OVIR_CHECK(!words.error().message.empty());
  }
  return 0;
}
