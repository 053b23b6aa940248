#include "gateway/access/key_budget.hpp"

#include "messages/limits/access.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ovir::gateway {

namespace {

constexpr std::uint64_t day_seconds = 86'400;
constexpr double minute_seconds = 60;
constexpr double millis = 1'000;

double seconds_since(key_budget::time_point before, key_budget::time_point now) {
  return std::chrono::duration<double>(now - before).count();
}

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
    const double per_second = most / minute_seconds;
    a.allowance = a.seen ? std::min(most, a.allowance + seconds_since(*a.seen, now) * per_second)
                         : std::max(0.0, most - a.missing);
    a.seen = now;
    a.most = most;
    if (a.allowance < 1) {
      api_error e =
          refusal(429, "rate_limit_exceeded",
                  fmt::format("this key may begin {} requests a minute", key.requests_per_minute));
      e.retry_after = std::chrono::seconds{
          static_cast<std::int64_t>(std::ceil((1 - a.allowance) / per_second))};
      return e;
    }
    a.allowance -= 1;
    changed_ = true;
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
  if (key.voucher) {
    return std::nullopt; // its budget is in the ledger, for all gateways together
  }
  account& a = accounts_[key.id];
  if (a.day != day_of(unix_seconds)) {
    a.day = day_of(unix_seconds);
    a.spent = 0;
    a.kept = 0;
  }
  if (key.tokens_per_day > 0 && closed_day_ != 0 && a.day == closed_day_) {
    api_error e = refusal(429, "insufficient_quota",
                          "what the keys spent today is not known, because the file of it was "
                          "damaged; keys with a quota are refused until the day ends");
    e.retry_after = std::chrono::seconds{day_seconds - unix_seconds % day_seconds};
    return e;
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
  a.quota = key.tokens_per_day;
  if (a.quota > 0) { // others may spend what they like
    changed_ = true;
    behind_ = behind_ || a.spent > a.kept;
  }
  return std::nullopt;
}

void key_budget::settle(const std::string& id, std::uint64_t day, std::uint64_t reserved,
                        std::uint64_t used) {
  account& a = accounts_[id];
  if (a.day == day) { // what was set aside yesterday is not today's
    a.spent -= std::min(a.spent, reserved - std::min(reserved, used));
    changed_ = changed_ || a.quota > 0;
  }
}

std::uint64_t key_budget::spent(const std::string& id, std::uint64_t day) const {
  const auto found = accounts_.find(id);
  return found == accounts_.end() || found->second.day != day ? 0 : found->second.spent;
}

spend_record key_budget::record(bool ahead, time_point now, std::uint64_t unix_seconds) {
  spend_record out;
  out.closed_day = closed_day_;
  for (auto& [id, a] : accounts_) {
    const double missing =
        a.seen ? std::max(0.0, a.most - a.allowance -
                                   seconds_since(*a.seen, now) * a.most / minute_seconds)
               : a.missing;
    const bool counted = a.quota > 0 && a.day == day_of(unix_seconds);
    if ((!counted && missing <= 0) || out.keys.size() == limits::api_keys_max) {
      continue;
    }
    a.kept = a.spent;
    if (ahead && counted) {
      a.kept += std::min(a.quota / limits::api_spend_ahead, a.quota - std::min(a.quota, a.spent));
    }
    out.keys.push_back({id, counted ? a.day : 0, counted ? a.kept : 0,
                        static_cast<std::uint64_t>(std::ceil(missing * millis)), unix_seconds});
  }
  behind_ = false;
  changed_ = ahead; // what was written ahead is more than is so
  return out;
}

void key_budget::restore(const spend_record& kept, std::uint64_t unix_seconds) {
  closed_day_ = kept.closed_day;
  for (const key_spend& k : kept.keys) {
    account& a = accounts_[k.id];
    a.day = k.day;
    a.spent = k.spent;
    a.kept = k.spent;
    a.quota = k.day > 0 ? std::max<std::uint64_t>(k.spent, 1) : 0; // until the key is seen
    // The rate is the key's, who is not known here: what lacks is given back within a minute.
    const double passed =
        static_cast<double>(unix_seconds - std::min(unix_seconds, k.begun_seconds));
    a.missing =
        static_cast<double>(k.begun_millis) / millis * std::max(0.0, 1 - passed / minute_seconds);
  }
}

void key_budget::close_day(std::uint64_t unix_seconds) {
  closed_day_ = day_of(unix_seconds);
  changed_ = true;
}

} // namespace ovir::gateway
