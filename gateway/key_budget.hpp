#pragma once

#include "gateway/api_error.hpp"
#include "gateway/api_keys.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace ovir::gateway {

/// What each key has used of its limits. A core: time is a parameter and must not go back. Counts
/// begin anew with the process and are this gateway's own.
class key_budget {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// Another request of this key begins, or why not (429, with the time after which it may). Every
  /// success is followed by one `end`.
  [[nodiscard]] std::optional<api_error> begin(const api_key& key, time_point now);
  void end(const std::string& id);

  /// Sets aside what a request may cost at most, so that requests side by side cannot spend the
  /// same tokens. Every success is followed by one `settle` of the same day and number.
  [[nodiscard]] std::optional<api_error> reserve(const api_key& key, std::uint64_t tokens,
                                                 std::uint64_t unix_seconds);
  /// What it really cost; never counts more than was reserved.
  void settle(const std::string& id, std::uint64_t day, std::uint64_t reserved, std::uint64_t used);

  [[nodiscard]] static std::uint64_t day_of(std::uint64_t unix_seconds) noexcept;

  /// Tokens used or set aside by a key on a day.
  [[nodiscard]] std::uint64_t spent(const std::string& id, std::uint64_t day) const;

private:
  struct account {
    std::uint64_t under_way{0};
    double allowance{0}; ///< requests that may begin at once
    std::optional<time_point> seen;
    std::uint64_t day{0};
    std::uint64_t spent{0};
  };

  std::map<std::string, account> accounts_; ///< by id of a key, so as many as there are keys
};

} // namespace ovir::gateway
