#include "actors/connection_slots.hpp"

#include "messages/limits.hpp"

namespace ovir::actors {

connection_slots::slot& connection_slots::slot::operator=(slot&& other) noexcept {
  if (this != &other) {
    give_back();
    of_ = std::move(other.of_);
    what_ = std::move(other.what_);
  }
  return *this;
}

result<void> connection_slots::slot::admitted(const node_id& node, channel kind) {
  OVIR_CHECK(of_ != nullptr);
  const std::lock_guard lock{of_->mutex_};
  if (!what_.incoming || !what_.pending) {
    return {};
  }
  const std::size_t most =
      kind == channel::admin ? limits::shells_per_key_max : limits::connections_per_node_max;
  std::size_t& held = of_->nodes_[node];
  if (held >= most) {
    return fail(errc::busy, "node {} has {} connections here already, as many as one node may have",
                short_name(node), held);
  }
  ++held;
  what_.node = node;
  what_.pending = false;
  --of_->pending_;
  if (!what_.address.empty()) {
    --of_->addresses_[what_.address].pending;
  }
  return {};
}

void connection_slots::slot::give_back() noexcept {
  if (!of_) {
    return;
  }
  {
    const std::lock_guard lock{of_->mutex_};
    --of_->all_;
    of_->pending_ -= what_.pending ? 1 : 0;
    if (const auto at = of_->addresses_.find(what_.address); at != of_->addresses_.end()) {
      at->second.pending -= what_.pending ? 1 : 0;
      if (--at->second.all == 0) {
        of_->addresses_.erase(at);
      }
    }
    if (const auto at = of_->nodes_.find(what_.node);
        at != of_->nodes_.end() && !what_.node.empty() && --at->second == 0) {
      of_->nodes_.erase(at);
    }
  }
  of_.reset();
}

result<connection_slots::slot> connection_slots::take_incoming(std::string address) {
  const std::lock_guard lock{mutex_};
  if (all_ >= limits::connections_max || pending_ >= limits::connections_pending_max) {
    return fail(errc::busy, "there are {} connections, {} of them not yet admitted; try again",
                all_, pending_);
  }
  if (!address.empty()) {
    of_address& here = addresses_[address];
    if (here.all >= limits::connections_per_address_max ||
        here.pending >= limits::connections_pending_per_address_max) {
      return fail(errc::busy, "{} has {} connections here, {} of them not yet admitted", address,
                  here.all, here.pending);
    }
    ++here.all;
    ++here.pending;
  }
  ++all_;
  ++pending_;
  slot taken;
  taken.of_ = shared_from_this();
  taken.what_ = {true, true, std::move(address), {}};
  return taken;
}

result<connection_slots::slot> connection_slots::take_outgoing() {
  const std::lock_guard lock{mutex_};
  if (all_ >= limits::connections_max) {
    return fail(errc::busy, "this node has {} connections, as many as it may have", all_);
  }
  ++all_;
  slot taken;
  taken.of_ = shared_from_this();
  return taken;
}

std::size_t connection_slots::in_use() const {
  const std::lock_guard lock{mutex_};
  return all_;
}

} // namespace ovir::actors
