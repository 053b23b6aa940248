#include "compute/text/tokenizer_spm.hpp"

#include "compute/base/utf8.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ovir::compute {

namespace {

/// U+2581, SentencePiece's spelling of a space.
constexpr std::string_view space_mark = "\xE2\x96\x81";

std::string with_spaces(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t mark = text.find(space_mark);
    out += text.substr(0, mark);
    if (mark == std::string_view::npos) {
      break;
    }
    out.push_back(' ');
    text.remove_prefix(mark + space_mark.size());
  }
  return out;
}

/// True when a space mark follows something else than a space mark.
bool has_inner_space(std::string_view text) {
  while (text.substr(0, space_mark.size()) == space_mark) {
    text.remove_prefix(space_mark.size());
  }
  return text.find(space_mark) != std::string_view::npos;
}

} // namespace

tokenizer_spm::tokenizer_spm(token_table table, special_tokens special)
    : table_(std::move(table)), special_(std::move(special)) {}

result<std::unique_ptr<tokenizer>> tokenizer_spm::make(const gguf& file) {
  constexpr std::string_view space_key = "tokenizer.ggml.add_space_prefix";
  OVIR_ASSIGN(token_table table, token_table::read(file));
  OVIR_ASSIGN(special_tokens special,
              special_tokens::read(file, table, {/*add_bos=*/true, /*llama_ids=*/true}));
  std::unique_ptr<tokenizer_spm> made{new tokenizer_spm{std::move(table), std::move(special)}};
  OVIR_TRY(made->read_scores(file));
  OVIR_TRY(made->read_bytes(file.find(token_type_key) != nullptr));
  if (file.find(space_key) != nullptr) {
    OVIR_ASSIGN(made->adds_space_, file.bool_at(space_key));
  }
  made->learn_word_starts();
  return std::unique_ptr<tokenizer>{std::move(made)};
}

result<void> tokenizer_spm::read_scores(const gguf& file) {
  OVIR_ASSIGN(const gguf_array array, required_array(file, scores_key, limits::vocabulary_max));
  OVIR_ASSIGN(scores_, floats_of(array));
  if (scores_.size() != table_.size()) {
    return fail(errc::malformed, "{} has {} elements for {} tokens; the lengths must be equal",
                scores_key, scores_.size(), table_.size());
  }
  // A score that cannot be compared would leave the order of merges undefined.
  const auto nan =
      std::find_if(scores_.begin(), scores_.end(), [](float score) { return std::isnan(score); });
  if (nan != scores_.end()) {
    return fail(errc::malformed, "{}[{}] is not a number", scores_key, nan - scores_.begin());
  }
  return {};
}

result<void> tokenizer_spm::read_bytes(bool types_are_given) {
  bytes_by_name_ = !types_are_given;
  std::array<std::optional<token_id>, 256> named;
  for (token_id id = 0; id < table_.size(); ++id) {
    const bool may_be_byte = bytes_by_name_ || table_.kind(id) == token_kind::byte;
    const auto byte = may_be_byte ? byte_named(table_.text(id)) : std::nullopt;
    if (byte && !named[*byte]) {
      named[*byte] = id;
    }
  }
  for (std::size_t byte = 0; byte < named.size(); ++byte) {
    auto token = named[byte];
    if (!token && byte < 0x80) {
      // Small vocabularies of plain characters have no byte tokens.
      token = byte == ' ' ? table_.find_ordinary(space_mark)
                          : table_.find_ordinary(std::string(1, static_cast<char>(byte)));
    }
    if (!token) {
      token = special_.unknown();
    }
    if (!token) {
      return fail(errc::malformed,
                  "{} lacks '<0x{:02X}>', the token of that byte, and names no unknown token",
                  tokens_key, byte);
    }
    byte_tokens_[byte] = *token;
  }
  return {};
}

void tokenizer_spm::learn_word_starts() {
  words_are_apart_ = true;
  for (token_id id = 0; id < table_.size() && words_are_apart_; ++id) {
    words_are_apart_ = !table_.is_ordinary(id) || !has_inner_space(table_.text(id));
  }
}

/// Encodes stretches of plain text, keeping its memory between them.
class tokenizer_spm::stretch_encoder {
public:
  stretch_encoder(const tokenizer_spm& owner, std::vector<token_id>& out)
      : owner_(owner), out_(out) {}

  void encode(std::string_view text, bool space_first) {
    last_was_space_ = false;
    if (space_first) {
      add_space();
    }
    while (!text.empty()) {
      const utf8_step step = read_utf8(text);
      const std::string_view character = text.substr(0, step.bytes);
      if (character == " ") {
        add_space();
      } else if (step.status != utf8_status::character || character == space_mark) {
        for (const char& byte : character) {
          add(std::string_view{&byte, 1});
        }
      } else {
        add(character);
      }
      text.remove_prefix(step.bytes);
    }
    finish_word();
  }

private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  /// Part of the word, linked to its neighbours. One that was joined to its left neighbour has no
  /// bytes.
  struct symbol {
    std::uint32_t begin;
    std::uint32_t bytes;
    std::uint32_t previous;
    std::uint32_t next;
  };
  struct candidate {
    float score;
    std::uint32_t left;
    std::uint32_t bytes; ///< of both symbols when it was queued
  };
  static bool worse(const candidate& a, const candidate& b) noexcept {
    return a.score < b.score || (a.score == b.score && a.left > b.left);
  }

  void add_space() {
    if (owner_.words_are_apart_ && !last_was_space_) {
      finish_word();
    }
    add(space_mark);
    last_was_space_ = true;
  }

  void add(std::string_view bytes) {
    last_was_space_ = false;
    const auto at = static_cast<std::uint32_t>(symbols_.size());
    symbols_.push_back({static_cast<std::uint32_t>(word_.size()),
                        static_cast<std::uint32_t>(bytes.size()), at == 0 ? none : at - 1, none});
    if (at > 0) {
      symbols_[at - 1].next = at;
    }
    word_ += bytes;
  }

  [[nodiscard]] std::string_view text_of(std::uint32_t begin, std::uint32_t bytes) const noexcept {
    return std::string_view{word_}.substr(begin, bytes);
  }

  void finish_word() {
    for (std::uint32_t i = 0; i + 1 < symbols_.size(); ++i) {
      propose(i);
    }
    while (!candidates_.empty()) {
      std::pop_heap(candidates_.begin(), candidates_.end(), worse);
      const candidate best = candidates_.back();
      candidates_.pop_back();
      join(best);
    }
    for (std::uint32_t i = symbols_.empty() ? none : 0; i != none; i = symbols_[i].next) {
      emit(text_of(symbols_[i].begin, symbols_[i].bytes));
    }
    symbols_.clear();
    word_.clear();
  }

  /// Queues the union of `left` with its right neighbour, if that is a token.
  void propose(std::uint32_t left) {
    if (left == none || symbols_[left].next == none) {
      return;
    }
    const std::uint32_t bytes = symbols_[left].bytes + symbols_[symbols_[left].next].bytes;
    const auto id = owner_.table_.find_ordinary(text_of(symbols_[left].begin, bytes));
    if (id) {
      candidates_.push_back({owner_.scores_[*id], left, bytes});
      std::push_heap(candidates_.begin(), candidates_.end(), worse);
    }
  }

  /// Joins two symbols unless either has changed since that was queued. Symbols only grow, so one
  /// of the same total length is the same pair.
  void join(const candidate& best) {
    symbol& left = symbols_[best.left];
    if (left.bytes == 0 || left.next == none ||
        left.bytes + symbols_[left.next].bytes != best.bytes) {
      return;
    }
    symbol& right = symbols_[left.next];
    left.bytes = best.bytes;
    left.next = right.next;
    right.bytes = 0;
    if (left.next != none) {
      symbols_[left.next].previous = best.left;
    }
    propose(left.previous);
    propose(best.left);
  }

  void emit(std::string_view text) {
    if (const auto id = owner_.table_.find_ordinary(text)) {
      out_.push_back(*id);
      return;
    }
    if (text == space_mark) {
      text = " ";
    }
    for (const char byte : text) {
      out_.push_back(owner_.byte_tokens_[static_cast<std::uint8_t>(byte)]);
    }
  }

  const tokenizer_spm& owner_;
  std::vector<token_id>& out_;
  std::string word_; ///< spaces written as marks
  std::vector<symbol> symbols_;
  std::vector<candidate> candidates_; ///< a heap, the next union on top
  bool last_was_space_{false};
};

result<std::vector<token_id>> tokenizer_spm::encode(std::string_view text, options opts) const {
  if (text.size() > limits::prompt_bytes_max) {
    return fail(errc::over_limit, "the text has {} bytes, at most {} are encoded at once",
                text.size(), limits::prompt_bytes_max);
  }
  std::vector<token_id> out;
  if (opts.add_bos && special_.adds_bos()) {
    out.push_back(*special_.bos());
  }
  stretch_encoder encoder{*this, out};
  bool space_first = adds_space_;
  while (!text.empty()) {
    const auto fragment = special_.first_fragment(table_, text, opts.parse_special);
    if (fragment.token) {
      out.push_back(*fragment.token);
      space_first = adds_space_;
    } else {
      encoder.encode(text.substr(0, fragment.bytes), space_first);
      space_first = false;
    }
    text.remove_prefix(fragment.bytes);
  }
  if (opts.add_bos && special_.adds_eos()) {
    out.push_back(*special_.eos());
  }
  return out;
}

bool tokenizer_spm::cuts_text(token_id id) const noexcept {
  if (id >= table_.size()) {
    return false;
  }
  const token_kind kind = table_.kind(id);
  return kind == token_kind::control || kind == token_kind::unknown ||
         kind == token_kind::user_defined;
}

std::string tokenizer_spm::piece(token_id id, bool special) const {
  if (id >= table_.size()) {
    return {};
  }
  const std::string_view text = table_.text(id);
  const token_kind kind = table_.kind(id);
  if (kind == token_kind::control || kind == token_kind::unknown) {
    return special ? std::string{text} : std::string{};
  }
  if (kind == token_kind::user_defined) {
    return std::string{text};
  }
  if (kind == token_kind::byte || bytes_by_name_) {
    if (const auto byte = byte_named(text)) {
      return std::string(1, static_cast<char>(*byte));
    }
  }
  return with_spaces(text);
}

} // namespace ovir::compute
