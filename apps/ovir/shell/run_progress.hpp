#pragma once

#include "messages/ids.hpp"
#include "messages/limits/general.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::apps {

/// What a client has seen of one answer, by token index, whichever nodes it came from. Tokens are
/// determined by the request, so what comes twice must be equal.
class run_progress {
public:
  /// The token at `index` and what the text grows by. Returns the text to show: nothing when it was
  /// shown before. `digest_mismatch` when it was another the first time, `malformed` when tokens
  /// before it are missing, `over_limit` beyond limits::context_max.
  [[nodiscard]] result<std::string_view> take(std::uint64_t index, token_id token,
                                              std::string_view text);

  /// The whole answer as the node states it at the end; returns the text not shown yet.
  /// `digest_mismatch` when it contradicts what was seen.
  [[nodiscard]] result<std::string> finish(const std::vector<token_id>& tokens,
                                           std::string_view text) const;

  /// The index of the first token not seen.
  [[nodiscard]] std::uint64_t next() const noexcept { return tokens_.size(); }
  [[nodiscard]] const std::vector<token_id>& tokens() const noexcept { return tokens_; }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
  [[nodiscard]] std::string_view text_at(std::size_t index) const;

  std::vector<token_id> tokens_;
  std::vector<std::size_t> ends_; ///< of each token's share of the text
  std::string text_;
};

} // namespace ovir::apps
