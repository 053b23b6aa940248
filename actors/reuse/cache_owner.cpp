#include "actors/reuse/cache_owner.hpp"

#include <span>

namespace ovir::actors {

result<cache_choice> cache_choice_from(std::string_view text) {
  if (text == "default") {
    return cache_choice::as_configured;
  }
  if (text == "off") {
    return cache_choice::off;
  }
  if (text == "private") {
    return cache_choice::owned;
  }
  if (text == "public") {
    return cache_choice::shared;
  }
  return fail(errc::invalid_argument,
              "'{}' is no use of the cache; say default, off, private or public",
              text.substr(0, 32));
}

digest cache_secret(std::span<const std::byte> known_here_only) {
  hasher state{"ovir/cache-secret/v1"};
  state.update(known_here_only);
  return state.finish();
}

digest owner_salt(const digest& secret, std::string_view owner) {
  hasher state{"ovir/cache-owner/v1"};
  state.update(secret);
  state.update(std::as_bytes(std::span{owner}));
  return state.finish();
}

cache_use cache_use_of(const cache_policy& policy, cache_choice choice, std::string_view owner,
                       bool repeatable) {
  if (!policy.enabled || choice == cache_choice::off) {
    return {};
  }
  const bool shared =
      choice == cache_choice::shared || (choice == cache_choice::as_configured && policy.share);
  return {true, repeatable, shared ? digest{} : owner_salt(policy.secret, owner)};
}

} // namespace ovir::actors
