#include "compute/make/synth_vocabulary.hpp"

#include "compute/make/synth.hpp"
#include "compute/make/synth_blocks.hpp"
#include "messages/check.hpp"

#include <unordered_set>

namespace ovir::compute {

namespace {

constexpr std::size_t word_bytes_max = 16;
constexpr std::uint32_t space = 0x20;

/// The character that stands for a byte in a `gpt2` vocabulary: itself where it is printable, else
/// the next unused one from U+0100 on.
std::string text_of_byte(std::uint32_t byte) {
  const auto printable = [](std::uint32_t b) {
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
  };
  std::uint32_t character = byte;
  if (!printable(byte)) {
    character = 0x100;
    for (std::uint32_t b = 0; b < byte; ++b) {
      character += printable(b) ? 0 : 1;
    }
  }
  if (character < 0x80) {
    return std::string(1, static_cast<char>(character));
  }
  return {static_cast<char>(0xC0U | (character >> 6U)),
          static_cast<char>(0x80U | (character & 0x3FU))};
}

} // namespace

synth_vocabulary make_synth_vocabulary(std::uint32_t size, std::uint64_t seed) {
  OVIR_CHECK(size >= synth_vocabulary_min, size);
  synth_vocabulary v;
  v.tokens.reserve(size);
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    v.tokens.push_back(text_of_byte(byte));
  }
  v.types.assign(256, 1);
  v.bos = static_cast<std::uint32_t>(v.tokens.size());
  v.tokens.emplace_back("<|begin|>");
  v.eos = static_cast<std::uint32_t>(v.tokens.size());
  v.tokens.emplace_back("<|end|>");
  v.types.insert(v.types.end(), 2, 3);

  // Words grow to the right from a letter or from a space before a letter. `starts` and `ends` are
  // ids of the tokens that may stand left and right in a merge.
  std::vector<std::uint32_t> starts{space};
  std::vector<std::uint32_t> ends;
  for (std::uint32_t letter = 'a'; letter <= 'z'; ++letter) {
    starts.push_back(letter);
    ends.push_back(letter);
  }
  std::unordered_set<std::string> known(v.tokens.begin(), v.tokens.end());
  known.reserve(size);
  synth_random random{seed, 0};
  while (v.tokens.size() < size) {
    const std::uint32_t left = starts[random.below(static_cast<std::uint32_t>(starts.size()))];
    const std::uint32_t right = ends[random.below(static_cast<std::uint32_t>(ends.size()))];
    std::string word = v.tokens[left] + v.tokens[right];
    if (word.size() > word_bytes_max || !known.insert(word).second) {
      continue;
    }
    const auto id = static_cast<std::uint32_t>(v.tokens.size());
    v.merges.push_back(v.tokens[left] + " " + v.tokens[right]);
    v.tokens.push_back(word);
    v.types.push_back(1);
    if (word.size() < word_bytes_max) {
      starts.push_back(id);
      // Only short words without a space are appended to others, or all would soon be too long.
      if (word.size() <= 2 && word.front() >= 'a' && word.front() <= 'z') {
        ends.push_back(id);
      }
    }
  }
  return v;
}

} // namespace ovir::compute
