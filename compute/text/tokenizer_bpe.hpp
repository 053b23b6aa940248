#pragma once

#include "compute/text/pretokenizer.hpp"
#include "compute/text/special_tokens.hpp"
#include "compute/text/token_table.hpp"
#include "compute/text/tokenizer.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::compute {

/// The byte-level alphabet of GPT-2: each byte is written as a printable character, so that a
/// vocabulary can be a list of texts. U+0021 to U+007E, U+00A1 to U+00AC and U+00AE to U+00FF stand
/// for themselves; the other bytes, in order, are U+0100 onwards.
[[nodiscard]] char32_t byte_level_character(std::uint8_t byte) noexcept;
/// The bytes that a text in that alphabet stands for. Characters outside it stand for their UTF-8.
[[nodiscard]] std::string byte_level_decode(std::string_view text);

/// `tokenizer.ggml.model` "gpt2": byte-level byte-pair encoding. Within each word of the
/// pre-tokenizer, the neighbours whose merge stands first in the file are joined, leftmost first,
/// until no merge applies. Every byte string is encoded and decodes to itself, provided that all
/// 256 bytes are in the vocabulary.
class tokenizer_bpe final : public tokenizer {
public:
  /// `malformed` when a merge names a token that is absent, or bytes are missing from a vocabulary
  /// without an unknown token (which otherwise stands for them, and the text is lost).
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
  [[nodiscard]] bool has_space_prefix() const noexcept override { return false; }

private:
  struct merge {
    token_id left;
    token_id right;
    token_id joined;
  };
  class word_encoder;

  tokenizer_bpe(token_table table, special_tokens special, pretokenizer words);
  [[nodiscard]] result<void> read_bytes();
  [[nodiscard]] result<void> read_merges(const gguf& file);
  [[nodiscard]] result<void> add_merge(std::string_view text, std::size_t index);
  void index_merges();
  [[nodiscard]] std::optional<std::uint32_t> rank_of(token_id left, token_id right) const noexcept;

  token_table table_;
  special_tokens special_;
  pretokenizer words_;
  std::array<token_id, 256> byte_tokens_{};
  std::vector<merge> merges_; ///< by rank
  /// Ranks ordered by (left, right, rank); those of `left` are [first_[left], first_[left + 1]). A
  /// sorted index, because a hostile file cannot make its look-ups slow as it could a hash table's.
  std::vector<std::uint32_t> ranks_by_pair_;
  std::vector<std::uint32_t> first_;
};

} // namespace ovir::compute
