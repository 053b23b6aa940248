#pragma once

#include "compute/text/token_trie.hpp"
#include "messages/ids.hpp"
#include "messages/request/params.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace ovir::compute {

/// Which tokens may be drawn: bit `id % 64` of word `id / 64`.
using token_mask = std::span<const std::uint64_t>;

/// Says of every prefix of an answer which tokens may come next so that the answer becomes one that
/// its constraint allows, and complete within its tokens (docs/formats/constraint.md), or does not
/// end too early. A function of the request, the vocabulary and the tokens so far: a node that goes
/// on with a request, or checks it, finds the same.
class token_matcher {
public:
  /// `text`: a constraint as it is written. Errors of `constraint::make`; `unsupported` where the
  /// vocabulary cannot end or spell such an answer, `over_limit` where it cannot be done within
  /// the constraint's tokens. `words` outlives the matcher.
  [[nodiscard]] static result<std::unique_ptr<token_matcher>> make(std::string_view text,
                                                                   const token_trie& words);
  /// Of the constraint of `params`, or else of its `min_tokens`; null where it has neither.
  /// `unsupported` where the vocabulary has nothing but ends.
  [[nodiscard]] static result<std::unique_ptr<token_matcher>> make(const sampling_params& params,
                                                                   const token_trie& words);
  virtual ~token_matcher() = default;

  /// The tokens that may follow `output`, at least one, or an empty mask: all may; nothing where
  /// `output` is already none the constraint allows, or longer. Valid until the next call. Cheap
  /// where `output` continues that of the call before.
  [[nodiscard]] virtual std::optional<token_mask> allowed(std::span<const token_id> output) = 0;

  /// Bytes of the shortest answer that the constraint allows; 0 without one.
  [[nodiscard]] virtual std::uint32_t shortest() const { return 0; }
};

} // namespace ovir::compute
