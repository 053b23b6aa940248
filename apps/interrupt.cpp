#include "apps/interrupt.hpp"

#include <unistd.h>

#include <csignal>

namespace ovir::apps {

namespace {

// A signal handler can only reach what has static storage.
std::atomic<bool> interrupted{false};
std::atomic<int> last_signal{0};
std::atomic<bool> hang_up{false};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

constexpr int exit_code_signal_base = 128;

void on_hang_up(int) { hang_up.store(true); }

void on_signal(int number) {
  last_signal.store(number);
  if (interrupted.exchange(true)) {
    ::_exit(exit_code_signal_base + number);
  }
}

} // namespace

const std::atomic<bool>& watch_for_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  // No SA_RESTART: who waits for standard input is woken.
  action.sa_flags = 0;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    // What the caller chose to ignore (nohup) stays ignored.
    if (::sigaction(number, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) {
      ::sigaction(number, &action, nullptr);
    }
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  return interrupted;
}

void forget_interrupts() noexcept { interrupted.store(false); }

bool asked_to_end() noexcept { return last_signal.load() != 0 && last_signal.load() != SIGINT; }

const std::atomic<bool>& watch_for_hang_up() {
  struct sigaction action {};
  action.sa_handler = on_hang_up;
  ::sigaction(SIGHUP, &action, nullptr);
  return hang_up;
}

bool take_hang_up(const std::atomic<bool>& flag) noexcept {
  return flag.load() && hang_up.exchange(false);
}

} // namespace ovir::apps
