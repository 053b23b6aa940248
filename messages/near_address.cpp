#include "messages/near_address.hpp"

namespace ovir {

bool is_near(const address_prefix& prefix) noexcept {
  const auto begins = [&prefix](std::uint64_t net, unsigned host_bits) {
    return prefix.bits >> host_bits == net >> host_bits;
  };
  if (is_this_machine(prefix)) {
    return true;
  }
  if (prefix.four) { // 10/8, 172.16/12, 192.168/16, 169.254/16
    return begins(0x0a000000U, 24) || begins(0xac100000U, 20) || begins(0xc0a80000U, 16) ||
           begins(0xa9fe0000U, 16);
  }
  return begins(0xfc00'0000'0000'0000U, 57) || begins(0xfe80'0000'0000'0000U, 54);
}

} // namespace ovir
