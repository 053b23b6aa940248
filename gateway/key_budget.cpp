#include "gateway/key_budget.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ovir::gateway {

namespace {

constexpr std::uint64_t day_seconds = 86'400;

} // namespace

std::uint64_t key_budget::day_of(std::uint64_t unix_seconds) noexcept {
  return unix_seconds / day_seconds;
}

std::optional<api_error> key_budget::begin(const api_key& key, time_point now) {
  account& a = accounts_[key.id];
  if (key.concurrent > 0 && a.under_way >= key.concurrent) {
    return refusal(
        429, "concurrency_limit_exceeded",
        fmt::format("this key has {} requests under way, as many as it may", a.under_way));
  }
  if (key.requests_per_minute > 0) {
    const auto most = static_cast<double>(key.requests_per_minute);
    const double per_second = most / 60;
    const double passed =
        a.seen ? std::chrono::duration<double>(now - *a.seen).count() * per_second : most;
    a.allowance = std::min(most, a.allowance + passed);
    a.seen = now;
    if (a.allowance < 1) {
      api_error e =
          refusal(429, "rate_limit_exceeded",
                  fmt::format("this key may begin {} requests a minute", key.requests_per_minute));
      e.retry_after = std::chrono::seconds{
          static_cast<std::int64_t>(std::ceil((1 - a.allowance) / per_second))};
      return e;
    }
    a.allowance -= 1;
  }
  ++a.under_way;
  return std::nullopt;
}

void key_budget::end(const std::string& id) {
  account& a = accounts_[id];
  a.under_way -= std::min<std::uint64_t>(a.under_way, 1);
}

std::optional<api_error> key_budget::reserve(const api_key& key, std::uint64_t tokens,
                                             std::uint64_t unix_seconds) {
  account& a = accounts_[key.id];
  if (a.day != day_of(unix_seconds)) {
    a.day = day_of(unix_seconds);
    a.spent = 0;
  }
  const std::uint64_t left = key.tokens_per_day - std::min(key.tokens_per_day, a.spent);
  if (key.tokens_per_day > 0 && tokens > left) {
    api_error e = refusal(
        429, "insufficient_quota",
        fmt::format("this request may cost {} tokens and the key has {} of its {} a day left; ask "
                    "for fewer with 'max_tokens'",
                    tokens, left, key.tokens_per_day));
    e.retry_after = std::chrono::seconds{day_seconds - unix_seconds % day_seconds};
    return e;
  }
  a.spent += tokens;
  return std::nullopt;
}

void key_budget::settle(const std::string& id, std::uint64_t day, std::uint64_t reserved,
                        std::uint64_t used) {
  account& a = accounts_[id];
  if (a.day == day) { // what was set aside yesterday is not today's
    a.spent -= std::min(a.spent, reserved - std::min(reserved, used));
  }
}

std::uint64_t key_budget::spent(const std::string& id, std::uint64_t day) const {
  const auto found = accounts_.find(id);
  return found == accounts_.end() || found->second.day != day ? 0 : found->second.spent;
}

} // namespace ovir::gateway
