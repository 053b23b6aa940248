#include "actors/nat/port_keeper.hpp"

#include "storage/env/thread_signals.hpp"

#include <utility>

namespace ovir::actors {

port_keeper::port_keeper(std::unique_ptr<router> by, std::uint16_t port, news changed)
    : router_(std::move(by)), port_(port), changed_(std::move(changed)) {
  thread_ = std::thread{[this] {
    storage::leave_signals_to_main();
    keep();
  }};
}

port_keeper::~port_keeper() {
  {
    const std::lock_guard lock{guard_};
    over_ = true;
  }
  router_->cancel();
  woken_.notify_all();
  thread_.join();
}

void port_keeper::keep() {
  constexpr std::chrono::seconds look{1};
  port_lease lease;
  std::string said;
  std::unique_lock lock{guard_};
  while (!over_) {
    const auto now = std::chrono::steady_clock::now();
    if (lease.is_due(now)) {
      lock.unlock();
      const auto got = router_->map(port_, limits::port_lease);
      if (got) {
        lease.mapped(*got, std::chrono::steady_clock::now());
      } else {
        lease.failed(got.error(), std::chrono::steady_clock::now());
      }
      if (lease.finding() != said) {
        said = lease.finding();
        changed_(lease.address(std::chrono::steady_clock::now()), said);
      }
      lock.lock();
      continue;
    }
    woken_.wait_for(lock, look, [this] { return over_; });
  }
  lock.unlock();
  if (lease.is_held()) {
    (void)router_->unmap(port_); // else its lease ends by itself
  }
}

} // namespace ovir::actors
