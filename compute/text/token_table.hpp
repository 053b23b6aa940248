#pragma once

#include "compute/gguf/gguf.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::compute {

/// GGUF's own numbers for `tokenizer.ggml.token_type`.
enum class token_kind : std::uint8_t {
  undefined = 0,
  normal = 1,
  unknown = 2,      ///< stands for text the vocabulary cannot express
  control = 3,      ///< has no text of its own: begin, end, turn of a dialogue
  user_defined = 4, ///< literal text that is always cut out as one token
  unused = 5,
  byte = 6, ///< "<0x0A>": one byte of a `llama` vocabulary
};

/// The tokens of a model: a value that owns its texts. Cheap to look up in both directions; the
/// index costs eight to sixteen bytes per token.
class token_table {
public:
  /// Reads `tokenizer.ggml.tokens` and `tokenizer.ggml.token_type` (all normal when absent).
  /// `malformed` or `over_limit`, naming the field.
  [[nodiscard]] static result<token_table> read(const gguf& file);

  [[nodiscard]] std::uint32_t size() const noexcept {
    return static_cast<std::uint32_t>(kinds_.size());
  }
  /// The text as stored in the file. Precondition of both: `id < size()`.
  [[nodiscard]] std::string_view text(token_id id) const noexcept {
    return std::string_view{texts_}.substr(ends_[id], ends_[id + 1] - ends_[id]);
  }
  [[nodiscard]] token_kind kind(token_id id) const noexcept { return kinds_[id]; }
  /// Bytes of the longest text.
  [[nodiscard]] std::size_t longest() const noexcept { return longest_; }

  /// The token with this text. Where several have it, ordinary ones go first, then the lowest id.
  /// Empty texts are never found.
  [[nodiscard]] std::optional<token_id> find(std::string_view text) const noexcept;

  /// Like `find`, but only tokens that plain text may turn into. Control, unknown and byte tokens
  /// are not among them, so that a prompt cannot spell a control token; user-defined ones are cut
  /// out of the text before it gets here.
  [[nodiscard]] std::optional<token_id> find_ordinary(std::string_view text) const noexcept;
  [[nodiscard]] bool is_ordinary(token_id id) const noexcept;

private:
  [[nodiscard]] result<void> read_kinds(const gguf& file);
  void build_index();
  void add_to_index(token_id id);
  [[nodiscard]] std::size_t slot_of(std::string_view text) const noexcept;

  std::string texts_;
  std::vector<std::size_t> ends_; ///< one more than tokens: text i is [ends_[i], ends_[i + 1])
  std::vector<token_kind> kinds_;
  std::vector<std::uint32_t> index_; ///< open addressing, id + 1, 0 for empty
  std::size_t longest_{0};
};

/// Key names, shared by the readers.
inline constexpr std::string_view tokens_key = "tokenizer.ggml.tokens";
inline constexpr std::string_view token_type_key = "tokenizer.ggml.token_type";
inline constexpr std::string_view scores_key = "tokenizer.ggml.scores";
inline constexpr std::string_view merges_key = "tokenizer.ggml.merges";

/// The byte that a token named "<0x0A>" stands for.
[[nodiscard]] std::optional<std::uint8_t> byte_named(std::string_view text) noexcept;

/// The array under `key`, at most `count_max` long: `malformed` when absent or no array.
[[nodiscard]] result<gguf_array> required_array(const gguf& file, std::string_view key,
                                                std::uint64_t count_max);

} // namespace ovir::compute
