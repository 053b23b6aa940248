#include "gateway/api/receipt_shelf.hpp"

#include "messages/limits/gateway.hpp"

namespace ovir::gateway {

void receipt_shelf::keep(const owned_id& answer, const receipt_pointer& receipt) {
  if (!receipt || !*receipt || receipts_.contains(answer)) {
    return;
  }
  bytes_ += (*receipt)->size();
  receipts_.emplace(answer, receipt);
  order_.push_back(answer);
  while (order_.size() > 1 && bytes_ > limits::api_receipts_bytes_max) {
    const auto oldest = receipts_.find(order_.front());
    bytes_ -= (*oldest->second)->size();
    receipts_.erase(oldest);
    order_.pop_front();
  }
}

receipt_shelf::receipt_pointer receipt_shelf::share(const owned_id& answer) const {
  const auto found = receipts_.find(answer);
  return found == receipts_.end() ? nullptr : found->second;
}

const std::vector<std::byte>* receipt_shelf::find(const owned_id& answer) const {
  const auto found = receipts_.find(answer);
  return found == receipts_.end() ? nullptr : &**found->second;
}

} // namespace ovir::gateway
