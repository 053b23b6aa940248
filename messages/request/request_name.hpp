#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <compare>
#include <cstdint>
#include <span>

/// What a cluster calls a client's request. Clients choose ids, so an id alone says nothing of who
/// may read or cancel what it names. The cluster's own id is made of the client and of the id it
/// chose: a client can name its own requests and no other, at every door and at every node, also
/// after restarts. Nothing has to be kept for it.
namespace ovir {

/// A client, by the door that proved it. Equal at every node of a cluster for the same client.
struct request_owner {
  digest who; ///< all zero: every client of a gateway without keys
  friend bool operator==(const request_owner&, const request_owner&) = default;
  friend auto operator<=>(const request_owner&, const request_owner&) = default;
};

/// The owner behind a shell's key, and behind the keyed hash of an API key.
[[nodiscard]] request_owner owner_of_shell(std::span<const std::uint8_t, 32> key);
[[nodiscard]] request_owner owner_of_api_key(std::span<const std::uint8_t, 32> keyed_hash);

/// The cluster's id of what `owner` calls `named`; never 0. Another owner has to try some 2^64 ids
/// to meet it.
[[nodiscard]] request_id name_in_cluster(const request_owner& owner, request_id named);

/// A number that only `owner` and the id it chose decide: the seed of a request without one.
[[nodiscard]] std::uint64_t seed_in_cluster(const request_owner& owner, request_id named);

} // namespace ovir
