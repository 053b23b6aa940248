#pragma once

#include "messages/ids.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace ovir::compute {

class tokenizer;

/// The vocabulary by the bytes of its tokens, for whoever wants to know of all of them which may
/// come next. Immutable.
class token_trie {
public:
  explicit token_trie(const tokenizer& vocabulary);

  /// In order: a node's children follow it, up to `skip`.
  struct node {
    std::uint8_t byte{0};
    std::uint32_t depth{0}; ///< bytes from the root, from 1
    std::uint32_t skip{0};  ///< the first node that is not below this one
    std::uint32_t first{0}; ///< its tokens: `tokens()` [first, last)
    std::uint32_t last{0};
  };
  [[nodiscard]] std::span<const node> nodes() const noexcept { return nodes_; }
  [[nodiscard]] std::span<const token_id> tokens() const noexcept { return tokens_; }
  /// Tokens that end a generation.
  [[nodiscard]] std::span<const token_id> ends() const noexcept { return ends_; }
  /// Of a token; none of one that ends a generation, has none in a text, or is not there.
  [[nodiscard]] std::span<const std::uint8_t> bytes(token_id id) const noexcept;
  /// Bytes that are a token by themselves.
  [[nodiscard]] const std::array<bool, 256>& single() const noexcept { return single_; }
  [[nodiscard]] std::uint32_t vocabulary() const noexcept { return vocabulary_; }
  [[nodiscard]] std::uint32_t depth() const noexcept { return depth_; } ///< of the longest token

private:
  std::vector<node> nodes_;
  std::vector<token_id> tokens_;
  std::vector<token_id> ends_;
  std::vector<std::uint8_t> text_;        ///< of all tokens
  std::vector<std::uint32_t> text_begin_; ///< by id, and one more
  std::array<bool, 256> single_{};
  std::uint32_t vocabulary_{0};
  std::uint32_t depth_{0};
};

} // namespace ovir::compute
