#pragma once

#include "gateway/access/api_keys.hpp"
#include "gateway/access/key_spend.hpp"
#include "gateway/http/api_error.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace ovir::gateway {

/// What each key has used of its limits. A core: time is a parameter and must not go back. Counts
/// are this gateway's own; who owns it keeps them over restarts by `record` and `restore`.
class key_budget {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// Another request of this key begins, or why not (429, with the time after which it may). Every
  /// success is followed by one `end`.
  [[nodiscard]] std::optional<api_error> begin(const api_key& key, time_point now);
  void end(const std::string& id);

  /// Sets aside what a request may cost at most, so that requests side by side cannot spend the
  /// same tokens. Every success is followed by one `settle` of the same day and number. Of a key
  /// with a voucher nothing is counted.
  [[nodiscard]] std::optional<api_error> reserve(const api_key& key, std::uint64_t tokens,
                                                 std::uint64_t unix_seconds);
  /// What it really cost; never counts more than was reserved.
  void settle(const std::string& id, std::uint64_t day, std::uint64_t reserved, std::uint64_t used);

  [[nodiscard]] static std::uint64_t day_of(std::uint64_t unix_seconds) noexcept;

  /// Tokens used or set aside by a key on a day.
  [[nodiscard]] std::uint64_t spent(const std::string& id, std::uint64_t day) const;

  // Over restarts

  /// Whether more was spent than the latest record says: it has to be kept before the request that
  /// spends it begins.
  [[nodiscard]] bool is_behind() const noexcept { return behind_; }
  /// Whether it says anything else than is so.
  [[nodiscard]] bool has_changed() const noexcept { return changed_; }
  /// To be kept. With `ahead` a 64th of each quota more than was spent, so that not every request
  /// has to wait for the disk; else exactly what was.
  [[nodiscard]] spend_record record(bool ahead, time_point now, std::uint64_t unix_seconds);
  /// What an earlier life kept. Before anything else.
  void restore(const spend_record& kept, std::uint64_t unix_seconds);
  /// What was kept cannot be read: keys with a quota are refused until the day ends, because they
  /// may have spent all of it.
  void close_day(std::uint64_t unix_seconds);

private:
  struct account {
    std::uint64_t under_way{0};
    double allowance{0}; ///< requests that may begin at once
    std::optional<time_point> seen;
    double most{0};    ///< of these, as of the key when it was seen
    double missing{0}; ///< restored: so many fewer than there may be
    std::uint64_t day{0};
    std::uint64_t spent{0};
    std::uint64_t quota{0}; ///< of the key, when it last reserved
    std::uint64_t kept{0};  ///< as the latest record says of that day
  };

  std::map<std::string, account> accounts_; ///< by id of a key, so as many as there are keys
  std::uint64_t closed_day_{0};
  bool behind_{false};
  bool changed_{false};
};

} // namespace ovir::gateway
