#pragma once

#include "actors/reach/announcement.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::actors {

/// One announcement, as a search of the local network found it. Every byte is a stranger's.
struct sighting {
  std::string service;          ///< the announced name, which need not be text
  std::string address;          ///< HOST:PORT, HOST numeric
  std::vector<std::string> txt; ///< strings of the TXT record
};

struct found_cluster {
  std::string name; ///< printable
  node_id key;
  bool asks{true};
  std::vector<std::string> addresses; ///< in the order found, at most limits::lan_addresses_max
  std::size_t nodes{0};               ///< different announced names
};

/// What is announced on a local network, by the key of the cluster: a pure table of bounded size.
class found_table {
public:
  void add(const sighting& seen);
  /// Announcements that were not looked at, because there were too many.
  void leave_out(std::size_t announcements);
  /// A node is not to be told its own address as another's: announcements of it are left out.
  void set_own_address(std::string address) { own_ = std::move(address); }

  /// By name, then key.
  [[nodiscard]] std::vector<found_cluster> clusters() const;
  /// Different announced names in all clusters.
  [[nodiscard]] std::size_t nodes() const;
  /// One sentence for each kind of announcement that cannot be right, however many there were.
  [[nodiscard]] std::vector<std::string> warnings() const;

private:
  enum class oddity : std::uint8_t { unreadable, left_out, contradicting, own };
  static constexpr std::size_t oddities = 4;

  struct entry {
    announcement told;
    std::vector<std::string> addresses;
    std::set<std::string> services;
  };
  struct count {
    std::size_t times{0};
    std::string first; ///< about the first one, printable
  };

  void note(oddity what, std::string_view first);

  std::map<node_id, entry> entries_;
  std::set<std::string> refused_; ///< announced names, at most limits::lan_services_max
  std::size_t services_{0};       ///< in all entries, at most likewise
  std::string own_;
  std::array<count, oddities> odd_{};
};

/// For people: cluster, key, an address, whether it asks for an invitation; a line for each, and at
/// most limits::lan_rows_max.
[[nodiscard]] std::string table_text(const std::vector<found_cluster>& found);

/// The cluster that a person's answer means: its number in the table from 1 on, or the beginning of
/// its key, at least 4 digits. `invalid_argument` where it means none or several.
[[nodiscard]] result<std::size_t> chosen_from(const std::vector<found_cluster>& found,
                                              std::string_view answer);

} // namespace ovir::actors
