#include "actors/reach/found_table.hpp"

#include "compute/base/printable.hpp"
#include "messages/limits/lan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace ovir::actors {

namespace {

constexpr std::size_t key_digits_told = 16; ///< of a cluster, in tables
constexpr std::size_t key_digits_min = 4;   ///< of an answer

} // namespace

void found_table::note(oddity what, std::string_view first) {
  count& known = odd_[static_cast<std::size_t>(what)];
  if (known.times++ == 0) {
    known.first = compute::printable(first);
  }
}

void found_table::leave_out(std::size_t announcements) {
  odd_[static_cast<std::size_t>(oddity::left_out)].times += announcements;
}

void found_table::add(const sighting& seen) {
  const auto told = announcement_from(seen.txt);
  if (!told) {
    // A service is seen once for each interface and protocol, and counts once.
    if (!refused_.contains(seen.service) && refused_.size() < limits::lan_services_max) {
      refused_.insert(seen.service);
      note(oddity::unreadable, seen.service + "': " + told.error().message);
    }
    return;
  }
  if (!own_.empty() && seen.address == own_) {
    note(oddity::own, seen.address);
    return;
  }
  const auto known = entries_.find(told->key);
  if (known == entries_.end() || !known->second.services.contains(seen.service)) {
    if (services_ >= limits::lan_services_max) {
      leave_out(1);
      return;
    }
    ++services_;
  }
  entry& its = entries_[told->key];
  if (its.services.empty()) {
    its.told = *told;
  } else if (its.told != *told) {
    note(oddity::contradicting, to_hex(told->key).substr(0, key_digits_told));
    its.told.asks = its.told.asks || told->asks;
  }
  its.services.insert(seen.service);
  if (std::find(its.addresses.begin(), its.addresses.end(), seen.address) == its.addresses.end() &&
      its.addresses.size() < limits::lan_addresses_max) {
    its.addresses.push_back(seen.address);
  }
}

std::vector<found_cluster> found_table::clusters() const {
  std::vector<found_cluster> found;
  for (const auto& [key, its] : entries_) {
    found.push_back({its.told.cluster, key, its.told.asks, its.addresses, its.services.size()});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const found_cluster& a, const found_cluster& b) { return a.name < b.name; });
  return found;
}

std::size_t found_table::nodes() const { return services_; }

std::vector<std::string> found_table::warnings() const {
  const auto of = [this](oddity what) -> const count& {
    return odd_[static_cast<std::size_t>(what)];
  };
  std::vector<std::string> out;
  if (const count& c = of(oddity::unreadable); c.times > 0) {
    out.push_back(fmt::format("{} announcements are not as OVIR makes them and do not count, such "
                              "as '{}",
                              c.times, c.first));
  }
  if (const count& c = of(oddity::left_out); c.times > 0) {
    out.push_back(fmt::format("{} announcements beyond the first {} were not looked at; where the "
                              "one you want is missing, join by its line",
                              c.times, limits::lan_services_max));
  }
  if (const count& c = of(oddity::contradicting); c.times > 0) {
    out.push_back(fmt::format("announcements with the key {}... differ in their cluster's name or "
                              "in whether it asks for an invitation",
                              c.first));
  }
  if (const count& c = of(oddity::own); c.times > 0) {
    out.push_back(fmt::format("{} is announced, where this node itself is to listen; that does "
                              "not count",
                              c.first));
  }
  std::optional<std::string> before;
  std::set<std::string> told;
  for (const found_cluster& one : clusters()) {
    if (before == one.name && told.insert(one.name).second && told.size() == 1) {
      out.push_back(fmt::format("several clusters call themselves '{}': compare the key with that "
                                "of the one you want",
                                one.name));
    }
    before = one.name;
  }
  return out;
}

std::string table_text(const std::vector<found_cluster>& found) {
  std::size_t width = std::string_view{"cluster"}.size();
  for (const found_cluster& one : found) {
    width = std::max(width, one.name.size());
  }
  std::string out = fmt::format("{:<4}{:<{}}  {:<{}}  {:<12}{:<7}{}\n", "", "cluster", width, "key",
                                key_digits_told, "invitation", "nodes", "address");
  for (std::size_t i = 0; i < std::min(found.size(), limits::lan_rows_max); ++i) {
    const found_cluster& one = found[i];
    out += fmt::format("{:<4}{:<{}}  {}  {:<12}{:<7}{}\n", i + 1, one.name, width,
                       to_hex(one.key).substr(0, key_digits_told), one.asks ? "needed" : "none",
                       one.nodes, one.addresses.empty() ? "" : one.addresses.front());
  }
  if (found.size() > limits::lan_rows_max) {
    out += fmt::format("    and {} more, which are chosen by their keys\n",
                       found.size() - limits::lan_rows_max);
  }
  return out;
}

result<std::size_t> chosen_from(const std::vector<found_cluster>& found, std::string_view answer) {
  const auto refused = [&](std::string_view why) {
    return fail(errc::invalid_argument,
                "'{}' {}; give a number from 1 to {}, or the beginning of a key",
                compute::printable(answer, 2 * node_id::size), why, found.size());
  };
  std::size_t number = 0;
  const char* const end = answer.data() + answer.size();
  const auto [rest, wrong] = std::from_chars(answer.data(), end, number);
  if (wrong == std::errc{} && rest == end && number >= 1 && number <= found.size()) {
    return number - 1;
  }
  if (answer.size() < key_digits_min) {
    return refused("is no number of the table");
  }
  std::optional<std::size_t> meant;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (to_hex(found[i].key).starts_with(answer)) {
      if (meant) {
        return refused("begins several keys");
      }
      meant = i;
    }
  }
  return meant ? result<std::size_t>{*meant} : refused("begins no key of the table");
}

} // namespace ovir::actors
