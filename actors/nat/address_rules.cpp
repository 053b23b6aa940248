#include "actors/nat/address_rules.hpp"

#include "actors/link/link_format.hpp"
#include "messages/digest.hpp"
#include "messages/limits/nat.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace ovir::actors {

namespace {

struct network_range {
  std::uint64_t bits;
  unsigned length;
};

constexpr std::array private_four{
    network_range{10ULL << 24U, 8},                   // 10/8
    network_range{172ULL << 24U | 16ULL << 16U, 12},  // 172.16/12
    network_range{192ULL << 24U | 168ULL << 16U, 16}, // 192.168/16
    network_range{100ULL << 24U | 64ULL << 16U, 10},  // 100.64/10, of providers
    network_range{169ULL << 24U | 254ULL << 16U, 16}, // 169.254/16
};
constexpr std::array private_six{
    network_range{0xfcULL << 56U, 7},    // fc00::/7
    network_range{0xfe80ULL << 48U, 10}, // fe80::/10
};

template <std::size_t N>
bool within_any(const std::array<network_range, N>& ranges, std::uint64_t bits, unsigned width) {
  return std::any_of(ranges.begin(), ranges.end(), [bits, width](const network_range& r) {
    return bits >> (width - r.length) == r.bits >> (width - r.length);
  });
}

} // namespace

std::string host_of(const std::string& address) {
  const auto parts = parse_host_and_port(address);
  return parts ? parts->host : std::string{};
}

std::optional<address_prefix> prefix_of_address(const std::string& address) {
  boost::system::error_code is_name;
  const auto host = boost::asio::ip::make_address(host_of(address), is_name);
  if (is_name) {
    return std::nullopt;
  }
  return host.is_v4() ? ovir::prefix_of(static_cast<std::uint32_t>(host.to_v4().to_uint()))
                      : ovir::prefix_of(host.to_v6().to_bytes());
}

bool is_private(const address_prefix& prefix) {
  return prefix.four ? within_any(private_four, prefix.bits, 32)
                     : within_any(private_six, prefix.bits, 64);
}

bool is_public(const address_prefix& prefix) {
  return !is_private(prefix) && !is_this_machine(prefix);
}

namespace {

std::vector<std::string> usable_of(const std::vector<std::string>& told,
                                   const std::string& seen_host, const std::string& own_seen) {
  std::vector<std::string> usable;
  const auto own = prefix_of_address(own_seen);
  if (seen_host.empty() || !own) {
    return usable;
  }
  const bool same_router = seen_host == host_of(own_seen);
  for (const std::string& one : told) {
    const auto prefix = prefix_of_address(one);
    if (!prefix || (is_this_machine(*prefix) && !is_this_machine(*own)) ||
        std::find(usable.begin(), usable.end(), one) != usable.end() ||
        usable.size() >= limits::nat_addresses_max) {
      continue;
    }
    if (host_of(one) == seen_host || (same_router && is_private(*prefix))) {
      usable.push_back(one);
    }
  }
  return usable;
}

} // namespace

std::vector<std::string> usable_addresses(const std::vector<std::string>& told,
                                          const std::string& own_seen) {
  return usable_of(told, told.empty() ? std::string{} : host_of(told.front()), own_seen);
}

std::vector<std::string> usable_udp_addresses(const std::vector<std::string>& told,
                                              const std::vector<std::string>& udp,
                                              const std::string& own_seen) {
  return usable_of(udp, told.empty() ? std::string{} : host_of(told.front()), own_seen);
}

std::uint64_t helper_rank(const node_id& helper, const node_id& node) {
  hasher h{"ovir/helper-rank/v1"};
  h.update(std::as_bytes(std::span{helper.key})).update(std::as_bytes(std::span{node.key}));
  const digest d = h.finish();
  std::uint64_t rank = 0;
  std::memcpy(&rank, d.bytes.data(), sizeof(rank));
  return rank;
}

} // namespace ovir::actors
