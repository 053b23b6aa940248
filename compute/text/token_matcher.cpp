#include "compute/text/token_matcher.hpp"

#include "messages/limits/constraint.hpp"

#include <algorithm>
#include <limits>

namespace ovir::compute {

namespace {

constexpr std::uint32_t word_bits = 64;

void set(std::vector<std::uint64_t>& bits, token_id id) {
  bits[id / word_bits] |= std::uint64_t{1} << (id % word_bits);
}

} // namespace

token_matcher::token_matcher(std::shared_ptr<const constraint> what, const token_trie& words)
    : what_(std::move(what)), words_(words), reader_(what_->automaton(), words.single()),
      at_(reader_.start()), path_(words.depth() + 1) {}

result<std::unique_ptr<token_matcher>> token_matcher::make(std::string_view text,
                                                           const token_trie& words) {
  OVIR_ASSIGN(auto what, constraint::make(text));
  if (words.ends().empty()) {
    return fail(errc::unsupported, "this model has no token that ends an answer, so none can be "
                                   "constrained");
  }
  std::unique_ptr<token_matcher> made{new token_matcher{std::move(what), words}};
  if (made->at_ == byte_reader::nowhere) {
    return fail(errc::unsupported, "no text of this vocabulary fits the constraint");
  }
  if (made->shortest() > made->what_->tokens()) {
    return fail(errc::over_limit,
                "an answer that fits may take {} tokens, {} are allowed; allow more",
                made->shortest(), made->what_->tokens());
  }
  return made;
}

void token_matcher::follow(token_id id) {
  output_.push_back(id);
  if (at_ == byte_reader::nowhere) {
    return;
  }
  const std::span<const std::uint8_t> bytes = words_.bytes(id);
  if (bytes.empty()) { // an end, or none of the text's
    at_ = byte_reader::nowhere;
    return;
  }
  for (const std::uint8_t byte : bytes) {
    at_ = reader_.step(at_, byte);
    if (at_ == byte_reader::nowhere) {
      return;
    }
  }
}

token_matcher::mask token_matcher::find(byte_reader::place at, std::uint32_t distance_max) {
  mask found;
  found.bits.resize((words_.vocabulary() + word_bits - 1) / word_bits);
  if (reader_.is_complete(at)) {
    for (const token_id id : words_.ends()) {
      set(found.bits, id);
    }
  }
  const auto nodes = words_.nodes();
  const auto tokens = words_.tokens();
  path_[0] = at;
  for (std::uint32_t i = 0; i < nodes.size();) {
    const token_trie::node& n = nodes[i];
    const byte_reader::place here = reader_.step(path_[n.depth - 1], n.byte);
    if (here == byte_reader::nowhere) {
      i = n.skip;
      continue;
    }
    path_[n.depth] = here;
    const std::uint32_t distance = reader_.distance(here);
    if (n.first < n.last && distance <= distance_max) {
      found.farthest = std::max(found.farthest, distance);
      for (std::uint32_t t = n.first; t < n.last; ++t) {
        set(found.bits, tokens[t]);
      }
    }
    ++i;
  }
  return found;
}

std::optional<token_mask> token_matcher::allowed(std::span<const token_id> output) {
  const bool goes_on =
      output.size() >= output_.size() && std::equal(output_.begin(), output_.end(), output.begin());
  if (!goes_on) {
    output_.clear();
    at_ = reader_.start();
  }
  for (const token_id id : output.subspan(output_.size())) {
    follow(id);
  }
  if (at_ == byte_reader::nowhere) {
    return std::nullopt;
  }
  if (reader_.is_full()) {
    masks_.clear();
    at_ = reader_.forget(at_);
  }
  if (output.size() >= what_->tokens()) {
    if (!reader_.is_complete(at_)) {
      return std::nullopt;
    }
    narrow_.bits.assign((words_.vocabulary() + word_bits - 1) / word_bits, 0);
    for (const token_id id : words_.ends()) {
      set(narrow_.bits, id);
    }
    return token_mask{narrow_.bits};
  }
  const auto left = what_->tokens() - static_cast<std::uint32_t>(output.size()) - 1;
  auto known = masks_.find(at_);
  if (known == masks_.end()) {
    if (masks_.size() >= limits::constraint_masks_max) {
      masks_.clear();
    }
    known = masks_.emplace(at_, find(at_, std::numeric_limits<std::uint32_t>::max())).first;
  }
  if (known->second.farthest <= left) {
    return token_mask{known->second.bits};
  }
  narrow_ = find(at_, left);
  const bool some = std::any_of(narrow_.bits.begin(), narrow_.bits.end(),
                                [](std::uint64_t word) { return word != 0; });
  return some ? std::optional{token_mask{narrow_.bits}} : std::nullopt;
}

} // namespace ovir::compute
