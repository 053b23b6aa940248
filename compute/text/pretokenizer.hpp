#pragma once

#include "messages/result.hpp"

#include <memory>
#include <string_view>
#include <vector>

namespace ovir::compute {

struct pretokenizer_rules;

/// Cuts text into the words that byte-level BPE works on, one by one: merges never cross a cut.
/// Immutable; `split` may run on any number of threads.
class pretokenizer {
public:
  /// `name` is `tokenizer.ggml.pre`; `unsupported` names an unknown one and all that are known.
  [[nodiscard]] static result<pretokenizer> make(std::string_view name);
  pretokenizer(pretokenizer&&) noexcept;
  pretokenizer& operator=(pretokenizer&&) noexcept;
  ~pretokenizer();

  /// Appends the words of `text`, which joined are `text` again; they point into it. Bytes that are
  /// not UTF-8 form words of their own, and the text on either side is cut as if it ended there.
  /// Time is linear in the text. `over_limit` when the pattern engine gives up.
  [[nodiscard]] result<void> split(std::string_view text,
                                   std::vector<std::string_view>& words) const;

  /// A word that is in the vocabulary as it stands is one token, whatever the merges would make.
  [[nodiscard]] bool takes_whole_words() const noexcept;
  /// Models with this pre-tokenizer start with BOS unless they say otherwise.
  [[nodiscard]] bool adds_bos() const noexcept;

private:
  explicit pretokenizer(std::unique_ptr<pretokenizer_rules> rules);
  std::unique_ptr<pretokenizer_rules> rules_;
};

} // namespace ovir::compute
