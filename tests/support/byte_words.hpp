#pragma once

#include "compute/text/tokenizer.hpp"

#include <string>
#include <vector>

namespace ovir::test {

/// A vocabulary of words as they are: ids by place, then an end and a token without text.
class byte_words final : public compute::tokenizer {
public:
  explicit byte_words(std::vector<std::string> words) : words_(std::move(words)) {}
  /// Every byte, and `more`.
  [[nodiscard]] static std::vector<std::string> bytes_and(std::vector<std::string> more) {
    std::vector<std::string> all;
    all.reserve(256 + more.size());
    for (int byte = 0; byte < 256; ++byte) {
      all.emplace_back(1, static_cast<char>(byte));
    }
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  /// Longest words first.
  result<std::vector<token_id>> encode(std::string_view text, options) const override {
    std::vector<token_id> ids;
    while (!text.empty()) {
      std::size_t best = 0;
      for (std::size_t i = 1; i < words_.size(); ++i) {
        const bool fits = text.starts_with(words_[i]);
        if (fits && (!text.starts_with(words_[best]) || words_[i].size() > words_[best].size())) {
          best = i;
        }
      }
      ids.push_back(static_cast<token_id>(best));
      text.remove_prefix(words_[best].size());
    }
    return ids;
  }
  std::string piece(token_id id, bool special) const override {
    if (id < words_.size()) {
      return words_[id];
    }
    return special ? (id == end() ? "<end>" : "<pad>") : "";
  }
  [[nodiscard]] token_id end() const noexcept { return static_cast<token_id>(words_.size()); }
  std::uint32_t vocabulary() const noexcept override { return end() + 2; }
  std::optional<token_id> bos() const noexcept override { return std::nullopt; }
  std::optional<token_id> eos() const noexcept override { return end(); }
  bool adds_bos() const noexcept override { return false; }
  bool ends_generation(token_id id) const noexcept override { return id == end(); }
  bool has_space_prefix() const noexcept override { return false; }

private:
  std::vector<std::string> words_;
};

} // namespace ovir::test
