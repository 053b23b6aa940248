#pragma once

#include "actors/runtime/allowance.hpp"
#include "messages/limits/audit_queue.hpp"
#include "messages/node_id.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>

namespace ovir::actors {

/// What each member may cost its neighbours by what it says about convictions. Who says too much
/// that is of no use is not listened to for a while. A core: times are handed in.
class audit_senders {
public:
  using time_point = allowance::time_point;

  [[nodiscard]] bool listens_to(const node_id& from, time_point now) const {
    const auto known = senders_.find(from);
    return known == senders_.end() || now >= known->second.muted_until;
  }
  /// Whether `from` may send so many bytes of news now.
  [[nodiscard]] bool takes(const node_id& from, std::size_t bytes, time_point now) {
    const std::size_t units = bytes / limits::audit_news_unit_bytes + 1;
    return of(from, now).news.spend(
        static_cast<std::uint32_t>(std::min<std::size_t>(units, limits::audit_news_max)), now);
  }
  /// It sent something of no use. True: that was one too many, and it is not listened to from now.
  bool blame(const node_id& from, time_point now) {
    ++useless_;
    sender& s = of(from, now);
    if (s.useless.spend(1, now)) {
      return false;
    }
    s.muted_until = now + limits::audit_mute;
    return true;
  }
  [[nodiscard]] std::uint64_t useless() const noexcept { return useless_; }

private:
  struct sender {
    allowance useless{limits::audit_useless_max, limits::audit_useless_refill,
                      std::chrono::minutes{1}};
    allowance news{limits::audit_news_max, limits::audit_news_refill, std::chrono::seconds{1}};
    time_point muted_until{};
  };

  sender& of(const node_id& from, time_point now) {
    if (!senders_.contains(from) && senders_.size() >= limits::audit_senders_max) {
      std::erase_if(senders_, [now](const auto& s) { return now >= s.second.muted_until; });
      if (senders_.size() >= limits::audit_senders_max) {
        senders_.erase(senders_.begin());
      }
    }
    return senders_[from];
  }

  std::map<node_id, sender> senders_; ///< at most limits::audit_senders_max
  std::uint64_t useless_{0};
};

} // namespace ovir::actors
