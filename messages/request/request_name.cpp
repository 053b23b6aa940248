#include "messages/request/request_name.hpp"

#include <algorithm>

namespace ovir {

namespace {

std::uint64_t number_of(std::string_view domain, const request_owner& owner, request_id named) {
  const digest d = hasher{domain}.update(owner.who).update_u64(named.value).finish();
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) {
    number |= std::uint64_t{d.bytes[i]} << (8 * i);
  }
  return number;
}

} // namespace

request_owner owner_of_shell(std::span<const std::uint8_t, 32> key) {
  return {hash("ovir/request-owner/v1/shell", std::as_bytes(key))};
}

request_owner owner_of_api_key(std::span<const std::uint8_t, 32> keyed_hash) {
  return {hash("ovir/request-owner/v1/api-key", std::as_bytes(keyed_hash))};
}

request_id name_in_cluster(const request_owner& owner, request_id named) {
  return request_id{std::max<std::uint64_t>(number_of("ovir/request-name/v1", owner, named), 1)};
}

std::uint64_t seed_in_cluster(const request_owner& owner, request_id named) {
  return number_of("ovir/request-seed/v1", owner, named);
}

} // namespace ovir
