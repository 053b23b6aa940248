#pragma once

#include "compute/gguf/gguf.hpp"
#include "compute/text/token_table.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <bitset>
#include <optional>
#include <string_view>
#include <vector>

namespace ovir::compute {

/// The tokens that begin the text before a gap, the text behind it, and what fills it.
struct infill_tokens {
  token_id prefix{0};
  token_id suffix{0};
  token_id middle{0};
  friend bool operator==(const infill_tokens&, const infill_tokens&) = default;
};

/// The tokens with a meaning of their own: which begin and end a text, and how their names are cut
/// out of it. A value; does not own the texts, so the table is handed in again where it is needed.
class special_tokens {
public:
  /// What holds where the metadata is silent.
  struct defaults {
    bool add_bos{false};
    /// `llama` vocabularies have had unknown, BOS and EOS at 0, 1 and 2 since before the metadata
    /// said so; taken only where those tokens are of the right kind.
    bool llama_ids{false};
  };

  /// Reads the ids and flags of `tokenizer.ggml.*`: `malformed` when an id is outside the
  /// vocabulary or BOS/EOS is asked for without one; `over_limit` when a special token is longer
  /// than limits::special_token_bytes_max.
  [[nodiscard]] static result<special_tokens> read(const gguf& file, const token_table& table,
                                                   defaults silent);

  [[nodiscard]] std::optional<token_id> bos() const noexcept { return bos_; }
  [[nodiscard]] std::optional<token_id> eos() const noexcept { return eos_; }
  [[nodiscard]] std::optional<token_id> unknown() const noexcept { return unknown_; }
  [[nodiscard]] bool adds_bos() const noexcept { return adds_bos_; }
  [[nodiscard]] bool adds_eos() const noexcept { return adds_eos_; }
  /// EOS, EOT, EOM, and control tokens whose names are known to end a turn.
  [[nodiscard]] bool ends_generation(token_id id) const noexcept;

  /// `fim_pre_token_id`, `fim_suf_token_id` and `fim_mid_token_id`, or `prefix_token_id` and so on,
  /// as older files call them; nothing where one of the three is absent.
  [[nodiscard]] const std::optional<infill_tokens>& infill() const noexcept { return infill_; }

  /// A stretch of plain text, or one special token.
  struct fragment {
    std::size_t bytes{0}; ///< how much of the text it takes, at least 1
    std::optional<token_id> token;
  };

  /// What `text`, which must not be empty, starts with. User-defined tokens are always cut out,
  /// control and unknown ones only with `parse_special`. Of several names at one place the longest
  /// is taken, and names do not overlap: the leftmost goes first.
  [[nodiscard]] fragment first_fragment(const token_table& table, std::string_view text,
                                        bool parse_special) const;

private:
  /// Special tokens in the order of their names, and which bytes their names start with.
  struct name_set {
    std::vector<token_id> ids;
    std::bitset<256> starts;
    void finish(const token_table& table);
    [[nodiscard]] std::optional<token_id> longest_at(const token_table& table,
                                                     std::string_view text) const;
  };

  [[nodiscard]] result<void> read_ids(const gguf& file, const token_table& table, defaults silent);
  [[nodiscard]] result<void> read_infill(const gguf& file, const token_table& table);
  [[nodiscard]] result<void> read_flags(const gguf& file, defaults silent);
  [[nodiscard]] result<void> collect_names(const token_table& table);

  std::optional<token_id> bos_;
  std::optional<token_id> eos_;
  std::optional<token_id> unknown_;
  std::optional<infill_tokens> infill_;
  bool adds_bos_{false};
  bool adds_eos_{false};
  std::vector<token_id> ends_; ///< sorted
  name_set always_;
  name_set parsed_; ///< with those of `always_`
};

} // namespace ovir::compute
