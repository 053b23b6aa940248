#pragma once

#include "compute/text/tokenizer.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <memory>
#include <string>
#include <vector>

namespace ovir::test {

/// Metadata of a small `llama` vocabulary: <unk>, <s>, </s>, the 256 byte tokens (byte b is
/// id 3 + b), then a few words by score. A starting point for tests that change one thing.
[[nodiscard]] gguf_builder small_spm();
/// Id of the first token behind the bytes.
inline constexpr token_id small_spm_words = 259;

/// Metadata of a small `gpt2` vocabulary: the 256 byte tokens (in byte order), then one token per
/// merge, then "<|begin|>", "<|end|>" (control) and "<user>" (user-defined).
[[nodiscard]] gguf_builder small_bpe();
/// Id of the first token behind the bytes.
inline constexpr token_id small_bpe_words = 256;

/// The texts of the tokens, in order, and their types: for tests that add some.
[[nodiscard]] std::vector<std::string> small_spm_texts();
[[nodiscard]] std::vector<std::string> small_bpe_texts();
[[nodiscard]] std::vector<std::string> small_bpe_merges();

/// Builds the tokenizer; throws when it is refused.
[[nodiscard]] std::unique_ptr<compute::tokenizer> tokenizer_of(const gguf_builder& metadata);
/// The refusal; throws when there is none.
[[nodiscard]] error refusal_of(const gguf_builder& metadata);

} // namespace ovir::test
