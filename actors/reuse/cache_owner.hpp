#pragma once

#include "actors/protocol/protocol.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

/// Whose cache a request uses. What it leaves is found by whoever knows the owner's salt, and by
/// nobody else: keys, single flight and what nodes claim to have are all made with it.
namespace ovir::actors {

/// What a scheduler's configuration says.
struct cache_policy {
  bool enabled{false};
  bool share{false}; ///< everybody's, unless a request says otherwise
  digest secret;     ///< of this node, or of all schedulers that share what owners left
};

/// What a request says.
enum class cache_choice : std::uint8_t { as_configured, off, owned, shared };
/// "default", "off", "private", "public"; `invalid_argument` for others.
[[nodiscard]] result<cache_choice> cache_choice_from(std::string_view text);

/// The secret of a policy from what a node alone knows.
[[nodiscard]] digest cache_secret(std::span<const std::byte> known_here_only);

/// The salt of who is called `owner` (a key's bytes, an API key): a different one for every secret
/// and every owner. Never all zero.
[[nodiscard]] digest owner_salt(const digest& secret, std::string_view owner);

/// `repeatable`: greedy, or with a seed that was given.
[[nodiscard]] cache_use cache_use_of(const cache_policy& policy, cache_choice choice,
                                     std::string_view owner, bool repeatable);

} // namespace ovir::actors
