#include "compute/text/token_matcher.hpp"

#include "compute/text/byte_reader.hpp"
#include "compute/text/constraint.hpp"
#include "messages/limits/constraint.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ovir::compute {

namespace {

constexpr std::uint32_t word_bits = 64;

void set(std::vector<std::uint64_t>& bits, token_id id) {
  bits[id / word_bits] |= std::uint64_t{1} << (id % word_bits);
}

std::size_t mask_words(const token_trie& words) {
  return (words.vocabulary() + word_bits - 1) / word_bits;
}

class constrained_tokens final : public token_matcher {
public:
  constrained_tokens(std::shared_ptr<const constraint> what, const token_trie& words)
      : what_(std::move(what)), words_(words), reader_(what_->automaton(), words.single()),
        at_(reader_.start()), path_(words.depth() + 1) {}

  /// As of `token_matcher::make`.
  [[nodiscard]] result<void> check() const;
  [[nodiscard]] std::optional<token_mask> allowed(std::span<const token_id> output) override;
  [[nodiscard]] std::uint32_t shortest() const override {
    return reader_.distance(reader_.start());
  }

private:
  struct mask {
    std::vector<std::uint64_t> bits;
    std::uint32_t farthest{0}; ///< the most bytes that are left behind one of them
  };

  void follow(token_id id);
  [[nodiscard]] mask find(byte_reader::place at, std::uint32_t distance_max);

  std::shared_ptr<const constraint> what_;
  const token_trie& words_;
  byte_reader reader_;
  std::vector<token_id> output_;
  byte_reader::place at_;
  std::unordered_map<byte_reader::place, mask> masks_;
  mask narrow_; ///< near the end, where not all that fits can be completed
  std::vector<byte_reader::place> path_;
};

/// Until there are `least` tokens, all but those that end a generation.
class endless_tokens final : public token_matcher {
public:
  endless_tokens(std::size_t least, const token_trie& words)
      : least_(least), bits_(mask_words(words)) {
    for (token_id id = 0; id < words.vocabulary(); ++id) {
      set(bits_, id);
    }
    for (const token_id id : words.ends()) {
      bits_[id / word_bits] &= ~(std::uint64_t{1} << (id % word_bits));
    }
  }

  [[nodiscard]] std::optional<token_mask> allowed(std::span<const token_id> output) override {
    return output.size() < least_ ? token_mask{bits_} : token_mask{};
  }

private:
  std::size_t least_;
  std::vector<std::uint64_t> bits_;
};

result<void> constrained_tokens::check() const {
  if (words_.ends().empty()) {
    return fail(errc::unsupported, "this model has no token that ends an answer, so none can be "
                                   "constrained");
  }
  if (at_ == byte_reader::nowhere) {
    return fail(errc::unsupported, "no text of this vocabulary fits the constraint");
  }
  if (shortest() > what_->tokens()) {
    return fail(errc::over_limit,
                "an answer that fits may take {} tokens, {} are allowed; allow more", shortest(),
                what_->tokens());
  }
  return {};
}

void constrained_tokens::follow(token_id id) {
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

constrained_tokens::mask constrained_tokens::find(byte_reader::place at,
                                                  std::uint32_t distance_max) {
  mask found;
  found.bits.resize(mask_words(words_));
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

std::optional<token_mask> constrained_tokens::allowed(std::span<const token_id> output) {
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
    narrow_.bits.assign(mask_words(words_), 0);
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

} // namespace

result<std::unique_ptr<token_matcher>> token_matcher::make(std::string_view text,
                                                           const token_trie& words) {
  OVIR_ASSIGN(auto what, constraint::make(text));
  auto made = std::make_unique<constrained_tokens>(std::move(what), words);
  OVIR_TRY(made->check());
  return std::unique_ptr<token_matcher>{std::move(made)};
}

result<std::unique_ptr<token_matcher>> token_matcher::make(const sampling_params& params,
                                                           const token_trie& words) {
  if (!params.constraint.empty()) {
    return make(params.constraint, words);
  }
  if (params.min_tokens == 0) {
    return std::unique_ptr<token_matcher>{};
  }
  if (words.ends().size() >= words.vocabulary()) {
    return fail(errc::unsupported, "this model has no token but those that end an answer");
  }
  return std::unique_ptr<token_matcher>{std::make_unique<endless_tokens>(params.min_tokens, words)};
}

} // namespace ovir::compute
