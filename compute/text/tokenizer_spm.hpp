#pragma once

#include "compute/text/special_tokens.hpp"
#include "compute/text/token_table.hpp"
#include "compute/text/tokenizer.hpp"

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::compute {

/// `tokenizer.ggml.model` "llama": SentencePiece's byte-pair encoding by scores. Spaces are written
/// U+2581; the neighbouring symbols whose concatenation is the token with the highest score are
/// joined, leftmost first, until none is a token; characters outside the vocabulary become byte
/// tokens. A space is put in front of every stretch of plain text at the start or behind a special
/// token, unless `tokenizer.ggml.add_space_prefix` is false.
///
/// Every byte string decodes to itself, provided that the vocabulary has all byte tokens. To that
/// end a U+2581 in the text, which SentencePiece confuses with a space, is encoded by its bytes,
/// and a space without a token by the byte 0x20.
class tokenizer_spm final : public tokenizer {
public:
  /// `malformed` when scores are missing or no numbers, or a byte has neither a token nor an
  /// unknown token to stand for it.
  [[nodiscard]] static result<std::unique_ptr<tokenizer>> make(const gguf& file);

  [[nodiscard]] result<std::vector<token_id>> encode(std::string_view text,
                                                     options opts) const override;
  [[nodiscard]] std::string piece(token_id id, bool special) const override;
  [[nodiscard]] std::uint32_t vocabulary() const noexcept override { return table_.size(); }
  [[nodiscard]] std::optional<token_id> bos() const noexcept override { return special_.bos(); }
  [[nodiscard]] std::optional<token_id> eos() const noexcept override { return special_.eos(); }
  [[nodiscard]] bool adds_bos() const noexcept override { return special_.adds_bos(); }
  [[nodiscard]] std::optional<infill_tokens> infill() const noexcept override {
    return special_.infill();
  }
  [[nodiscard]] bool ends_generation(token_id id) const noexcept override {
    return special_.ends_generation(id);
  }
  [[nodiscard]] bool has_space_prefix() const noexcept override { return adds_space_; }

protected:
  [[nodiscard]] bool cuts_text(token_id id) const noexcept override;

private:
  class stretch_encoder;

  tokenizer_spm(token_table table, special_tokens special);
  [[nodiscard]] result<void> read_scores(const gguf& file);
  [[nodiscard]] result<void> read_bytes(bool types_are_given);
  void learn_word_starts();

  token_table table_;
  special_tokens special_;
  std::vector<float> scores_;
  std::array<token_id, 256> byte_tokens_{};
  bool bytes_by_name_{false}; ///< without token types, "<0x0A>" is known by its name alone
  bool adds_space_{true};
  /// No token goes on behind a space that follows other text, so merges cannot cross such a place
  /// and each word can be encoded by itself: same tokens, much smaller heaps.
  bool words_are_apart_{false};
};

} // namespace ovir::compute
