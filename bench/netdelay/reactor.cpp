#include "bench/netdelay/reactor.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace ovir::netdelay {

reactor::reactor() : epoll_(made(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1 failed")) {}

void reactor::watch(int fd, std::function<void()> when_readable) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = callbacks_.size();
  callbacks_.push_back(std::move(when_readable));
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    fail_with_errno("epoll_ctl failed");
  }
}

void reactor::run() {
  std::array<epoll_event, nodes_max + 8> events{};
  running_ = true;
  while (running_) {
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) {
      fail_with_errno("epoll_wait failed");
    }
    for (int i = 0; i < count && running_; ++i) {
      callbacks_[events[static_cast<std::size_t>(i)].data.u64]();
    }
  }
}

timer::timer(reactor& in, std::function<void()> when_due)
    : fd_(made(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
               "timerfd_create failed")) {
  in.watch(fd_.get(), [this, when_due = std::move(when_due)] {
    std::uint64_t expirations = 0;
    if (::read(fd_.get(), &expirations, sizeof expirations) > 0) {
      when_due();
    }
  });
}

void timer::set(instant due) {
  const auto since = due.time_since_epoch(); // the steady clock is CLOCK_MONOTONIC
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  itimerspec spec{};
  spec.it_value.tv_sec = seconds.count();
  spec.it_value.tv_nsec = std::max<long>((since - seconds).count(), 1); // zero would disarm it
  if (::timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &spec, nullptr) != 0) {
    fail_with_errno("timerfd_settime failed");
  }
}

} // namespace ovir::netdelay
