#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ovir::compute {

/// Contents of a byte-level BPE tokenizer (`gpt2`), as GGUF stores them.
struct synth_vocabulary {
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types; ///< 1 normal, 3 control
  std::vector<std::string> merges; ///< "left right", best first
  std::uint32_t bos{0};
  std::uint32_t eos{0};
};

/// `size` tokens (at least synth_vocabulary_min): the 256 bytes by value, begin and end of text,
/// then made-up words, each the merge of two earlier tokens, so that letters and spaces in a text
/// really do merge. A function of its arguments alone.
[[nodiscard]] synth_vocabulary make_synth_vocabulary(std::uint32_t size, std::uint64_t seed);

} // namespace ovir::compute
