#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/request/params.hpp"
#include "messages/request/privacy.hpp"
#include "messages/request/tier.hpp"
#include "messages/request/token.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir {

/// When a token is told. It changes no bit of the answer, so it is none of the terms.
enum class reveal_when : std::uint8_t {
  at_once = 0,
  after = 1, ///< once it was computed twice, over paths that have no node in common
};

/// The mode that an option names: at_once or after. Else `invalid_argument`.
[[nodiscard]] result<reveal_when> reveal_from(std::string_view name);
[[nodiscard]] std::string_view to_string(reveal_when when) noexcept;
/// The one under which less is told.
[[nodiscard]] constexpr reveal_when stricter(reveal_when a, reveal_when b) noexcept {
  return a == reveal_when::after ? a : b;
}

/// What a client asks for: all that decides what it is told. How fast the answer comes, by when,
/// and what pays for it stand beside it.
struct request_terms {
  digest model{};                 ///< all zero within one process, which has one model
  std::vector<token_id> prompt{}; ///< at least one token of the vocabulary
  sampling_params sampling{};
  std::uint32_t max_tokens{128};
  std::vector<std::string> stop{};
  /// Each token is told with its logprob and those of so many of the likeliest; none: with none.
  std::optional<std::uint32_t> logprobs{};
  /// The prompt becomes a vector and nothing is drawn; then `max_tokens` is 0.
  std::optional<pooling> embedding{};
  bool receipt{false}; ///< the stages sign, and the answer has a receipt

  friend bool operator==(const request_terms&, const request_terms&) = default;
};

/// Bounds that hold for every model. `invalid_argument` or `over_limit` names the parameter.
[[nodiscard]] result<void> check(const request_terms& terms);

/// Two requests are the same when this is equal: of all terms, in their order.
[[nodiscard]] digest digest_of(const request_terms& terms);

/// A request as far as it has come: what another lead needs to go on. Kept by the node of its lead
/// and by that of its first stage, which sees every token.
struct request_log : request_terms {
  request_id id{};
  std::uint32_t generation{0}; ///< how many leads drove it before this one
  reveal_when reveal{reveal_when::at_once};
  bool second{false}; ///< of two runs the one that nobody goes on with: it begins with the first
  std::vector<drawn_token> drawn{};
  std::optional<ends_rule> ends{};   ///< none: any node may be sent it
  std::optional<tier_demand> tier{}; ///< of each node that computes it; none: any

  friend bool operator==(const request_log&, const request_log&) = default;
};

} // namespace ovir
