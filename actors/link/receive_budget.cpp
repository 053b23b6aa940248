#include "actors/link/receive_budget.hpp"

#include "messages/check.hpp"
#include "messages/limits/general.hpp"

namespace ovir::actors {

namespace {

std::size_t charge_of(std::size_t bytes) { return bytes + limits::message_overhead_bytes; }

/// A message and its reservation, which ends after the bytes are gone.
struct held_message {
  held_message(std::shared_ptr<receive_budget> from, std::vector<std::byte> message)
      : budget(std::move(from)), size(message.size()), bytes(std::move(message)) {}
  held_message(const held_message&) = delete;
  held_message& operator=(const held_message&) = delete;
  ~held_message() {
    bytes = {};
    budget->release(size);
  }

  std::shared_ptr<receive_budget> budget;
  std::size_t size;
  std::vector<std::byte> bytes;
};

} // namespace

receive_budget::receive_budget(std::size_t bytes_max, std::function<void()> resume)
    : bytes_max_(bytes_max), resume_(std::move(resume)) {}

bool receive_budget::fits(std::size_t charge) const noexcept {
  return outstanding_ == 0 || outstanding_ + charge <= bytes_max_;
}

bool receive_budget::reserve(std::size_t bytes) {
  const std::lock_guard lock{mutex_};
  if (!fits(charge_of(bytes))) {
    refused_ = charge_of(bytes);
    return false;
  }
  outstanding_ += charge_of(bytes);
  return true;
}

received_bytes receive_budget::hand_out(std::vector<std::byte> message) {
  auto held = std::make_shared<const held_message>(shared_from_this(), std::move(message));
  const std::vector<std::byte>* bytes = &held->bytes;
  return {std::move(held), bytes};
}

void receive_budget::release(std::size_t bytes) {
  // Under the lock, so that after `detach` returned nobody is in the middle of a call.
  const std::lock_guard lock{mutex_};
  OVIR_CHECK(outstanding_ >= charge_of(bytes), outstanding_, bytes);
  outstanding_ -= charge_of(bytes);
  if (refused_ != 0 && fits(refused_)) {
    refused_ = 0;
    if (resume_) {
      resume_();
    }
  }
}

void receive_budget::detach() {
  const std::lock_guard lock{mutex_};
  resume_ = nullptr;
}

std::size_t receive_budget::outstanding() const {
  const std::lock_guard lock{mutex_};
  return outstanding_;
}

} // namespace ovir::actors
