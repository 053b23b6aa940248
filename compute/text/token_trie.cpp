#include "compute/text/token_trie.hpp"

#include "compute/text/tokenizer.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace ovir::compute {

token_trie::token_trie(const tokenizer& vocabulary) : vocabulary_(vocabulary.vocabulary()) {
  std::vector<std::pair<std::string, token_id>> words;
  for (token_id id = 0; id < vocabulary_; ++id) {
    text_begin_.push_back(static_cast<std::uint32_t>(text_.size()));
    if (vocabulary.ends_generation(id)) {
      ends_.push_back(id);
      continue;
    }
    std::string bytes = vocabulary.piece(id, /*special=*/false);
    text_.insert(text_.end(), bytes.begin(), bytes.end());
    if (!bytes.empty()) {
      words.emplace_back(std::move(bytes), id);
    }
  }
  text_begin_.push_back(static_cast<std::uint32_t>(text_.size()));
  std::sort(words.begin(), words.end());
  std::vector<std::uint32_t> path; // the nodes from the root to the last one
  std::string_view before;
  for (const auto& [bytes, id] : words) {
    const std::size_t common = static_cast<std::size_t>(
        std::mismatch(bytes.begin(), bytes.end(), before.begin(), before.end()).first -
        bytes.begin());
    while (path.size() > common) {
      nodes_[path.back()].skip = static_cast<std::uint32_t>(nodes_.size());
      path.pop_back();
    }
    while (path.size() < bytes.size()) {
      node fresh;
      fresh.byte = static_cast<std::uint8_t>(bytes[path.size()]);
      fresh.depth = static_cast<std::uint32_t>(path.size() + 1);
      fresh.first = fresh.last = static_cast<std::uint32_t>(tokens_.size());
      path.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back(fresh);
    }
    tokens_.push_back(id);
    nodes_[path.back()].last = static_cast<std::uint32_t>(tokens_.size());
    depth_ = std::max(depth_, nodes_[path.back()].depth);
    if (bytes.size() == 1) {
      single_[static_cast<std::uint8_t>(bytes.front())] = true;
    }
    before = bytes;
  }
  for (const std::uint32_t open : path) {
    nodes_[open].skip = static_cast<std::uint32_t>(nodes_.size());
  }
}

std::span<const std::uint8_t> token_trie::bytes(token_id id) const noexcept {
  return id < vocabulary_
             ? std::span{text_}.subspan(text_begin_[id], text_begin_[id + 1] - text_begin_[id])
             : std::span<const std::uint8_t>{};
}

} // namespace ovir::compute
