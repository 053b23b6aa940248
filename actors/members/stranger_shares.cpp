#include "actors/members/stranger_shares.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

namespace ovir::actors {

namespace {

/// Takes the number in front of `end`, or of the text's end, off the text.
std::optional<std::uint32_t> take_number(std::string_view& text, char end, int base,
                                         std::uint32_t most) {
  const std::size_t size = std::min(text.find(end), text.size());
  std::uint32_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + size, value, base);
  if (read.ec != std::errc{} || read.ptr != text.data() + size || value > most) {
    return std::nullopt;
  }
  text.remove_prefix(std::min(size + 1, text.size()));
  return value;
}

std::optional<address_prefix> site_of_four(std::string_view host) {
  std::uint32_t address = 0;
  for (int i = 0; i < 4; ++i) {
    const auto byte = take_number(host, '.', 10, 255);
    if (!byte) {
      return std::nullopt;
    }
    address = address << 8U | *byte;
  }
  return host.empty() ? std::optional{site_of(prefix_of(address))} : std::nullopt;
}

/// The first three groups: what is behind them is inside of a /48.
address_prefix site_of_six(std::string_view host) {
  std::array<unsigned char, 16> bytes{};
  for (std::size_t i = 0; i < 6 && !host.empty() && host.front() != ':'; i += 2) {
    const auto group = take_number(host, ':', 16, 0xffff);
    if (!group) {
      break;
    }
    bytes[i] = static_cast<unsigned char>(*group >> 8U);
    bytes[i + 1] = static_cast<unsigned char>(*group & 0xffU);
  }
  return site_of(prefix_of(bytes));
}

template <class Key>
void count_down(std::map<Key, std::size_t>& counts, const Key& key) {
  if (const auto at = counts.find(key); at != counts.end() && --at->second == 0) {
    counts.erase(at);
  }
}

template <class Key>
std::size_t count_of(const std::map<Key, std::size_t>& counts, const Key& key) {
  const auto at = counts.find(key);
  return at == counts.end() ? 0 : at->second;
}

} // namespace

address_prefix claimed_site(std::string_view address) noexcept {
  const std::string_view host = address.substr(0, std::min(address.rfind(':'), address.size()));
  if (host.starts_with('[') && host.ends_with(']') && host.size() > 2) {
    return site_of_six(host.substr(1, host.size() - 2));
  }
  if (const auto four = site_of_four(host)) {
    return *four;
  }
  std::uint64_t name = 0xcbf29ce484222325U; // FNV-1a (Fowler, Noll, Vo)
  for (const char c : host) {
    const bool upper = c >= 'A' && c <= 'Z';
    name = (name ^ static_cast<std::uint8_t>(upper ? c + ('a' - 'A') : c)) * 0x100000001b3U;
  }
  return {false, name};
}

bool stranger_shares::has_room(const stranger_origin& from) const {
  return !is_full() && count_of(sites_, from.site) < limits::stranger_entries_per_site &&
         count_of(told_, account_of(from)) < limits::stranger_entries_per_introducer;
}

bool stranger_shares::is_full() const noexcept {
  return all_.size() >= limits::stranger_entries_max;
}

bool stranger_shares::has_fair_claim(const stranger_origin& from) const {
  return is_full() && count_of(sites_, from.site) < limits::stranger_entries_per_site &&
         count_of(told_, account_of(from)) < limits::stranger_entries_fair;
}

void stranger_shares::enter(const node_id& node, const stranger_origin& from) {
  leave(node);
  all_.emplace(node, from);
  ++sites_[from.site];
  ++told_[account_of(from)];
}

void stranger_shares::seen_at(const node_id& node, const address_prefix& site) {
  if (const auto at = all_.find(node); at != all_.end()) {
    count_down(sites_, at->second.site);
    at->second.site = site;
    at->second.seen = true;
    ++sites_[site];
  }
}

void stranger_shares::leave(const node_id& node) {
  if (const auto at = all_.find(node); at != all_.end()) {
    count_down(sites_, at->second.site);
    count_down(told_, account_of(at->second));
    all_.erase(at);
  }
}

const stranger_origin* stranger_shares::of(const node_id& node) const {
  const auto at = all_.find(node);
  return at == all_.end() ? nullptr : &at->second;
}

std::size_t stranger_shares::of_site(const address_prefix& site) const {
  return count_of(sites_, site);
}

} // namespace ovir::actors
