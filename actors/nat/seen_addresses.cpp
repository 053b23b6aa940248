#include "actors/nat/seen_addresses.hpp"

#include "actors/nat/address_rules.hpp"

#include <algorithm>
#include <set>

namespace ovir::actors {

result<void> seen_addresses::told(const node_id& by, const address_prefix& site,
                                  const address_seen& what, time_point now) {
  if (!verify(by, seen_domain, seen_statement(self_, what.address), what.proof)) {
    return fail(errc::digest_mismatch, "{} tells an address of this node and did not sign it",
                short_name(by));
  }
  told_[by] = {site_of(site), what.address, now};
  if (told_.size() > limits::seen_told_max) {
    told_.erase(std::min_element(told_.begin(), told_.end(), [](const auto& a, const auto& b) {
      return a.second.at < b.second.at;
    }));
  }
  return {};
}

std::optional<std::string> seen_addresses::host(time_point now) const {
  std::map<std::string, std::set<address_prefix>> sites;
  for (const auto& [by, w] : told_) {
    if (now < w.at + limits::seen_lifetime) {
      sites[host_of(w.address)].insert(w.site);
    }
  }
  std::size_t most = 0;
  bool alone = false;
  std::string found;
  for (const auto& [host, said] : sites) {
    alone = said.size() == most ? false : said.size() > most || alone;
    if (said.size() > most) {
      most = said.size();
      found = host;
    }
  }
  return most >= limits::seen_sites_least && alone ? std::optional{found} : std::nullopt;
}

std::optional<std::string> seen_addresses::address(time_point now) const {
  const auto outside = host(now);
  std::optional<std::string> one;
  for (const auto& [by, w] : told_) {
    if (!outside || now >= w.at + limits::seen_lifetime || host_of(w.address) != *outside) {
      continue;
    }
    if (one && *one != w.address) {
      return std::nullopt;
    }
    one = w.address;
  }
  return one;
}

nat_mapping seen_addresses::mapping(time_point now) const {
  if (!host(now)) {
    return nat_mapping::unknown;
  }
  return address(now) ? nat_mapping::independent : nat_mapping::dependent;
}

} // namespace ovir::actors
