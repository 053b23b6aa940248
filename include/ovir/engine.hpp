#pragma once

#include <ovir/error.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Models in this process, with the bits of `ovir run`.
namespace ovir::OVIR_INLINE v0 {

using token_id = std::uint32_t;

/// How tokens are chosen. Ranges and defaults are those of `ovir run`; the default is greedy.
struct sampling_options {
  float temperature{0};    ///< 0, or 1e-3 to 1e3
  std::uint32_t top_k{0};  ///< 0: all
  double top_p{1};         ///< above 0, at most 1
  double min_p{0};         ///< from 0, below 1
  float repeat_penalty{1}; ///< 0.01 to 100; 1: none
  float presence_penalty{0};
  float frequency_penalty{0};
  std::uint32_t min_tokens{0};
  std::uint64_t seed{0}; ///< equal seeds draw equal tokens
};

/// What is asked of a run. Only `stages` and `prefill_chunk` change no bit of it.
struct generate_options {
  std::uint32_t max_tokens{128};
  sampling_options sampling{};
  std::vector<std::string> stop{}; ///< texts before which the answer ends
  std::uint32_t stages{1};
  std::uint32_t prefill_chunk{64}; ///< positions of the prompt that are computed at once
};

/// A token, and the text that became complete with it. Without an id: text that was held back
/// because a stop text might have begun with it.
struct token {
  std::optional<token_id> id;
  std::string text;
};

/// Called with each token, on the thread that asked. False ends the run with what there is. What
/// it throws ends the run, too, and comes out of the call that it was handed to.
using token_callback = std::function<bool(const token&)>;

/// A run that is over.
struct run {
  std::string text;
  std::vector<token_id> prompt;
  std::vector<token_id> tokens; ///< of the answer
  std::string finish_reason;    ///< "stop", "length" or "cancelled"
  /// Digest of all that was computed, 64 hexadecimal digits: that of `ovir run` with the same
  /// options, wherever it runs.
  std::string transcript;
  std::uint32_t positions{0}; ///< computed: all but the last token drawn
};

/// A run, token by token. One thread takes the tokens; any may cancel. It keeps its model alive.
/// What was moved from may only be assigned to or destroyed.
class OVIR_API token_stream {
public:
  ~token_stream();
  token_stream(token_stream&&) noexcept;
  token_stream& operator=(token_stream&&) noexcept;

  /// Computes the next token; nothing once the run is over.
  [[nodiscard]] std::optional<token> next();
  /// The next step ends the run with what there is.
  void cancel() noexcept;
  /// Computes what is missing. Once, and not after an error in `next`.
  [[nodiscard]] run finish();

private:
  friend class model;
  struct OVIR_HIDDEN impl;
  OVIR_HIDDEN explicit token_stream(std::unique_ptr<impl> parts);
  std::unique_ptr<impl> impl_;
};

struct model_options {
  std::uint32_t threads{0}; ///< of each run; 0: as many as the machine has processors
  std::string isa{};        ///< "reference", "avx2", ...; empty: the best of this machine
};

struct model_info {
  std::string path;
  std::string architecture;
  std::string name;
  std::string isa; ///< kernels in use
  std::uint32_t layers{0};
  std::uint32_t vocabulary{0};
  std::uint32_t context{0}; ///< positions that the model remembers
  std::uint32_t threads{0};
};

struct message {
  std::string role; ///< "system", "user", "assistant"
  std::string content;
};

/// A model with its tokenizer. Copies share it. Any thread may use it; runs do not disturb each
/// other, and each computes on threads of its own. All functions throw `error`.
class OVIR_API model {
public:
  /// The small model inside the library.
  explicit model(const model_options& options = {});
  /// A GGUF file; of a split model the first one. It is mapped, and must not become shorter.
  explicit model(const std::filesystem::path& file, const model_options& options = {});
  ~model();
  model(const model&);
  model& operator=(const model&);

  [[nodiscard]] model_info info() const;

  /// `add_bos`: the first token where the model asks for it. `parse_special`: names of control
  /// tokens are these.
  [[nodiscard]] std::vector<token_id> encode(std::string_view text, bool add_bos = true,
                                             bool parse_special = false) const;
  /// Bytes, which need not be whole characters. `special` shows control tokens.
  [[nodiscard]] std::string decode(std::span<const token_id> tokens, bool special = false) const;
  /// Tokens of a conversation by the model's chat template, and of the beginning of an answer.
  [[nodiscard]] std::vector<token_id> chat_prompt(std::span<const message> messages) const;

  /// A whole run. `on_token` is called with each token.
  run generate(std::string_view prompt, const generate_options& options = {},
               const token_callback& on_token = {}) const;
  run generate(std::span<const token_id> prompt, const generate_options& options = {},
               const token_callback& on_token = {}) const;
  /// Begins a run; nothing but the check of the weights is computed yet.
  [[nodiscard]] token_stream start(std::span<const token_id> prompt,
                                   const generate_options& options = {}) const;

private:
  friend struct model_access;
  struct OVIR_HIDDEN impl;
  std::shared_ptr<impl> impl_;
};

} // namespace ovir::OVIR_INLINEv0
