#pragma once

#include "gateway/api/answer_check.hpp"
#include "gateway/api/receipt_shelf.hpp"
#include "messages/limits/gateway.hpp"

#include <deque>
#include <map>
#include <optional>

namespace ovir::gateway {

/// How long the latest answers took, and what their deadlines left: at most
/// limits::api_finished_kept_max.
class answer_times {
public:
  void keep(const owned_id& answer, const answer_time& seen) {
    if (!seen_.insert_or_assign(answer, seen).second) {
      return;
    }
    order_.push_back(answer);
    if (order_.size() > limits::api_finished_kept_max) {
      seen_.erase(order_.front());
      order_.pop_front();
    }
  }
  [[nodiscard]] std::optional<answer_time> find(const owned_id& answer) const {
    const auto found = seen_.find(answer);
    return found == seen_.end() ? std::nullopt : std::optional{found->second};
  }

private:
  std::map<owned_id, answer_time> seen_;
  std::deque<owned_id> order_; ///< oldest first
};

} // namespace ovir::gateway
