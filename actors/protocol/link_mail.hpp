#pragma once

#include "actors/link/network.hpp"
#include "messages/limits/crowd.hpp"
#include "messages/node_id.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace ovir::actors {

/// What waits for the link of a member that is being opened. Bounded in bytes and in time. Pure.
class link_mail {
public:
  struct letter {
    channel way{channel::control};
    message_kind kind{message_kind::wire};
    std::uint32_t target{0};
    std::shared_ptr<const std::vector<std::byte>> bytes;
  };

  /// False where there is no room: it is lost.
  bool add(const node_id& to, letter mail) {
    const std::size_t size = mail.bytes->size();
    if (size > limits::link_mail_bytes_max - bytes_) {
      return false;
    }
    bytes_ += size;
    waiting_[to].letters.push_back(std::move(mail));
    return true;
  }
  /// In the order in which they were added.
  [[nodiscard]] std::vector<letter> take(const node_id& to) {
    const auto found = waiting_.extract(to);
    if (!found) {
      return {};
    }
    for (const letter& l : found.mapped().letters) {
      bytes_ -= l.bytes->size();
    }
    return std::move(found.mapped().letters);
  }
  /// About twice a second: for whom letters waited too long. These are dropped.
  [[nodiscard]] std::vector<node_id> tick() {
    std::vector<node_id> late;
    for (auto& [node, all] : waiting_) {
      if (++all.ticks > limits::link_mail_ticks) {
        late.push_back(node);
      }
    }
    for (const node_id& node : late) {
      (void)take(node);
    }
    return late;
  }

private:
  struct waiting {
    std::vector<letter> letters;
    std::uint32_t ticks{0};
  };

  std::map<node_id, waiting> waiting_;
  std::size_t bytes_{0};
};

} // namespace ovir::actors
