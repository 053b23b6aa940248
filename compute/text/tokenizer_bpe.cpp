#include "compute/text/tokenizer_bpe.hpp"

#include "compute/base/printable.hpp"
#include "compute/base/utf8.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

namespace ovir::compute {

namespace {

constexpr bool stands_for_itself(std::uint32_t byte) noexcept {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<char32_t, 256> make_alphabet() noexcept {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    alphabet[byte] = stands_for_itself(byte) ? static_cast<char32_t>(byte) : next++;
  }
  return alphabet;
}

constexpr std::array<char32_t, 256> alphabet = make_alphabet();
/// One more than the largest character of the alphabet.
constexpr char32_t alphabet_end = 0x100 + 256 - (94 + 12 + 82);

constexpr std::array<std::int16_t, alphabet_end> make_bytes() noexcept {
  std::array<std::int16_t, alphabet_end> bytes{};
  for (auto& byte : bytes) {
    byte = -1;
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    bytes[alphabet[byte]] = static_cast<std::int16_t>(byte);
  }
  return bytes;
}

constexpr std::array<std::int16_t, alphabet_end> byte_of_character = make_bytes();

void append_byte_level(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) {
    append_utf8(out, byte_level_character(static_cast<std::uint8_t>(byte)));
  }
}

} // namespace

char32_t byte_level_character(std::uint8_t byte) noexcept { return alphabet[byte]; }

std::string byte_level_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const utf8_step step = read_utf8(text);
    if (step.status == utf8_status::character && step.value < alphabet_end &&
        byte_of_character[step.value] >= 0) {
      out.push_back(static_cast<char>(byte_of_character[step.value]));
    } else {
      out += text.substr(0, step.bytes);
    }
    text.remove_prefix(step.bytes);
  }
  return out;
}

tokenizer_bpe::tokenizer_bpe(token_table table, special_tokens special, pretokenizer words)
    : table_(std::move(table)), special_(std::move(special)), words_(std::move(words)) {}

result<std::unique_ptr<tokenizer>> tokenizer_bpe::make(const gguf& file) {
  constexpr std::string_view pre_key = "tokenizer.ggml.pre";
  std::string_view pre = "default";
  if (file.find(pre_key) != nullptr) {
    OVIR_ASSIGN(pre, file.text_at(pre_key));
  }
  OVIR_ASSIGN(pretokenizer words, pretokenizer::make(pre));
  OVIR_ASSIGN(token_table table, token_table::read(file));
  OVIR_ASSIGN(special_tokens special,
              special_tokens::read(file, table, {words.adds_bos(), /*llama_ids=*/false}));
  std::unique_ptr<tokenizer_bpe> made{
      new tokenizer_bpe{std::move(table), std::move(special), std::move(words)}};
  OVIR_TRY(made->read_bytes());
  OVIR_TRY(made->read_merges(file));
  return std::unique_ptr<tokenizer>{std::move(made)};
}

result<void> tokenizer_bpe::read_bytes() {
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::string name;
    append_utf8(name, alphabet[byte]);
    const auto id = table_.find_ordinary(name);
    const auto token = id ? id : special_.unknown();
    if (!token) {
      return fail(errc::malformed,
                  "{} lacks '{}', the token of byte 0x{:02X}, and names no unknown token; a "
                  "byte-level vocabulary needs all 256 bytes",
                  tokens_key, name, byte);
    }
    byte_tokens_[byte] = *token;
  }
  return {};
}

result<void> tokenizer_bpe::read_merges(const gguf& file) {
  OVIR_ASSIGN(const gguf_array array, required_array(file, merges_key, limits::merges_max));
  OVIR_ASSIGN(const std::vector<std::string_view> texts, strings_of(array));
  merges_.reserve(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    OVIR_TRY(add_merge(texts[i], i));
  }
  index_merges();
  return {};
}

result<void> tokenizer_bpe::add_merge(std::string_view text, std::size_t index) {
  const std::size_t space = text.find(' ', 1);
  if (space == std::string_view::npos || space + 1 == text.size()) {
    return fail(errc::malformed, "{}[{}] is '{}'; a merge is two tokens with a space between",
                merges_key, index, printable(text));
  }
  std::string joined{text.substr(0, space)};
  joined += text.substr(space + 1);
  const auto left_id = table_.find(text.substr(0, space));
  const auto right_id = table_.find(text.substr(space + 1));
  const auto joined_id = table_.find(joined);
  if (!left_id || !right_id || !joined_id) {
    return fail(errc::malformed,
                "{}[{}] joins '{}' to '{}', but the vocabulary does not have all three tokens",
                merges_key, index, printable(text), printable(joined));
  }
  // Text never turns into a control token by being merged, and what is user-defined was cut out
  // before; such merges can have no effect.
  if (table_.is_ordinary(*left_id) && table_.is_ordinary(*right_id) &&
      table_.is_ordinary(*joined_id)) {
    merges_.push_back({*left_id, *right_id, *joined_id});
  }
  return {};
}

void tokenizer_bpe::index_merges() {
  ranks_by_pair_.resize(merges_.size());
  std::iota(ranks_by_pair_.begin(), ranks_by_pair_.end(), 0U);
  std::sort(ranks_by_pair_.begin(), ranks_by_pair_.end(), [this](std::uint32_t a, std::uint32_t b) {
    const merge& x = merges_[a];
    const merge& y = merges_[b];
    return std::tie(x.left, x.right, a) < std::tie(y.left, y.right, b);
  });
  first_.assign(std::size_t{table_.size()} + 1, 0);
  for (const merge& m : merges_) {
    ++first_[m.left + 1];
  }
  std::partial_sum(first_.begin(), first_.end(), first_.begin());
}

std::optional<std::uint32_t> tokenizer_bpe::rank_of(token_id left, token_id right) const noexcept {
  const auto begin = ranks_by_pair_.begin() + first_[left];
  const auto end = ranks_by_pair_.begin() + first_[left + 1];
  const auto found = std::partition_point(
      begin, end, [&](std::uint32_t rank) { return merges_[rank].right < right; });
  if (found == end || merges_[*found].right != right) {
    return std::nullopt;
  }
  return *found;
}

/// Encodes words one after another, keeping its memory between them.
class tokenizer_bpe::word_encoder {
public:
  word_encoder(const tokenizer_bpe& owner, std::vector<token_id>& out) : owner_(owner), out_(out) {}

  void encode(std::string_view word) {
    if (owner_.words_.takes_whole_words() && take_whole(word)) {
      return;
    }
    start(word);
    while (!candidates_.empty()) {
      std::pop_heap(candidates_.begin(), candidates_.end(), later);
      const candidate best = candidates_.back();
      candidates_.pop_back();
      join(best);
    }
    for (std::uint32_t i = 0; i != none; i = symbols_[i].next) {
      out_.push_back(symbols_[i].token);
    }
  }

private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  /// A token of the word so far, linked to its neighbours. One that was joined to its left
  /// neighbour has the token `none`.
  struct symbol {
    token_id token;
    std::uint32_t previous;
    std::uint32_t next;
  };
  struct candidate {
    std::uint32_t rank;
    std::uint32_t left;
  };
  static bool later(const candidate& a, const candidate& b) noexcept {
    return std::tie(a.rank, a.left) > std::tie(b.rank, b.left);
  }

  bool take_whole(std::string_view word) {
    if (word.size() > owner_.table_.longest()) {
      return false;
    }
    spelled_.clear();
    append_byte_level(spelled_, word);
    const auto id = owner_.table_.find_ordinary(spelled_);
    if (id) {
      out_.push_back(*id);
    }
    return id.has_value();
  }

  void start(std::string_view word) {
    symbols_.clear();
    candidates_.clear();
    const auto count = static_cast<std::uint32_t>(word.size());
    for (std::uint32_t i = 0; i < count; ++i) {
      symbols_.push_back({owner_.byte_tokens_[static_cast<std::uint8_t>(word[i])],
                          i == 0 ? none : i - 1, i + 1 == count ? none : i + 1});
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      propose(i);
    }
  }

  /// Queues the merge of `left` with its right neighbour, if there is one.
  void propose(std::uint32_t left) {
    if (left == none || symbols_[left].next == none) {
      return;
    }
    const auto rank = owner_.rank_of(symbols_[left].token, symbols_[symbols_[left].next].token);
    if (rank) {
      candidates_.push_back({*rank, left});
      std::push_heap(candidates_.begin(), candidates_.end(), later);
    }
  }

  /// Performs a merge unless its tokens have changed since it was queued.
  void join(const candidate& best) {
    const merge& rule = owner_.merges_[best.rank];
    symbol& left = symbols_[best.left];
    if (left.token != rule.left || left.next == none || symbols_[left.next].token != rule.right) {
      return;
    }
    symbol& right = symbols_[left.next];
    left.token = rule.joined;
    left.next = right.next;
    right.token = none;
    if (left.next != none) {
      symbols_[left.next].previous = best.left;
    }
    propose(left.previous);
    propose(best.left);
  }

  const tokenizer_bpe& owner_;
  std::vector<token_id>& out_;
  std::vector<symbol> symbols_;
  std::vector<candidate> candidates_; ///< a heap, the next merge on top
  std::string spelled_;
};

result<std::vector<token_id>> tokenizer_bpe::encode(std::string_view text, options opts) const {
  if (text.size() > limits::prompt_bytes_max) {
    return fail(errc::over_limit, "the text has {} bytes, at most {} are encoded at once",
                text.size(), limits::prompt_bytes_max);
  }
  std::vector<token_id> out;
  if (opts.add_bos && special_.adds_bos()) {
    out.push_back(*special_.bos());
  }
  word_encoder encoder{*this, out};
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const auto fragment = special_.first_fragment(table_, text, opts.parse_special);
    if (fragment.token) {
      out.push_back(*fragment.token);
    } else {
      words.clear();
      OVIR_TRY(words_.split(text.substr(0, fragment.bytes), words));
      for (const std::string_view word : words) {
        encoder.encode(word);
      }
    }
    text.remove_prefix(fragment.bytes);
  }
  if (opts.add_bos && special_.adds_eos()) {
    out.push_back(*special_.eos());
  }
  return out;
}

std::string tokenizer_bpe::piece(token_id id, bool special) const {
  if (id >= table_.size()) {
    return {};
  }
  switch (table_.kind(id)) {
  case token_kind::control:
  case token_kind::unknown: return special ? std::string{table_.text(id)} : std::string{};
  case token_kind::user_defined: return std::string{table_.text(id)};
  case token_kind::byte:
    if (const auto byte = byte_named(table_.text(id))) {
      return std::string(1, static_cast<char>(*byte));
    }
    break;
  case token_kind::undefined:
  case token_kind::normal:
  case token_kind::unused: break;
  }
  return byte_level_decode(table_.text(id));
}

} // namespace ovir::compute
