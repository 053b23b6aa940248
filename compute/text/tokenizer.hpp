#pragma once

#include "compute/gguf/gguf.hpp"
#include "compute/text/special_tokens.hpp"
#include "compute/text/token_trie.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::compute {

/// Text to token ids and back, as the model's metadata says. Immutable after `make`; `encode` and
/// `decode` may run on any number of threads.
class tokenizer {
public:
  struct options {
    bool add_bos{true};        ///< put BOS first (and EOS last) where the model asks for it
    bool parse_special{false}; ///< read "<|im_end|>" and the like as the control token
  };

  /// Reads `tokenizer.ggml.*`: `unsupported` names an unknown model or pre-tokenizer, `malformed`
  /// the field that is wrong. Owns everything it needs; the file may go away.
  [[nodiscard]] static result<std::unique_ptr<tokenizer>> make(const gguf& file);
  tokenizer() = default;
  virtual ~tokenizer();

  /// `over_limit` beyond limits::prompt_bytes_max. Invalid UTF-8 is encoded, not refused.
  [[nodiscard]] virtual result<std::vector<token_id>> encode(std::string_view text,
                                                             options opts) const = 0;

  /// Bytes of one token in running text. Control tokens have none unless `special`. Ids outside the
  /// vocabulary have none.
  [[nodiscard]] virtual std::string piece(token_id id, bool special) const = 0;

  /// Text of a whole sequence: pieces joined, less the spaces that `encode` put at the start and
  /// behind special tokens. Invalid UTF-8 comes back as it went in.
  [[nodiscard]] std::string decode(const std::vector<token_id>& ids, bool special) const;

  [[nodiscard]] virtual std::uint32_t vocabulary() const noexcept = 0;
  [[nodiscard]] virtual std::optional<token_id> bos() const noexcept = 0;
  [[nodiscard]] virtual std::optional<token_id> eos() const noexcept = 0;
  [[nodiscard]] virtual bool adds_bos() const noexcept = 0;
  /// True for EOS, EOT and the other tokens that end a generation.
  [[nodiscard]] virtual bool ends_generation(token_id id) const noexcept = 0;
  /// Of a model that its metadata says fills gaps.
  [[nodiscard]] virtual std::optional<infill_tokens> infill() const noexcept {
    return std::nullopt;
  }
  /// True when decoding drops one leading space (`llama` models with a space prefix).
  [[nodiscard]] virtual bool has_space_prefix() const noexcept = 0;

  /// All tokens by their bytes; made when it is asked for first. Any thread.
  [[nodiscard]] const token_trie& words() const;

protected:
  /// True for tokens that `encode` cuts out of the text, behind which it starts anew with a space.
  [[nodiscard]] virtual bool cuts_text(token_id) const noexcept { return false; }

private:
  mutable std::atomic<const token_trie*> words_{nullptr}; ///< owned
};

/// Turns a stream of tokens into text that is always whole UTF-8: bytes of a character split over
/// tokens are held back until it is complete. Invalid bytes come out as U+FFFD, one per maximal
/// subpart. The tokens continue a text, so no leading space is dropped. One per stream.
class text_stream {
public:
  explicit text_stream(const tokenizer& vocabulary) : vocabulary_(vocabulary) {}
  /// Text that became complete with `id`.
  [[nodiscard]] std::string add(token_id id);
  /// What was held back at the end.
  [[nodiscard]] std::string finish();

private:
  const tokenizer& vocabulary_;
  std::string held_;
};

} // namespace ovir::compute
