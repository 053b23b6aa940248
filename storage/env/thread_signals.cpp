#include "storage/env/thread_signals.hpp"

#include <csignal>
#include <initializer_list>

namespace ovir::storage {

void leave_signals_to_main() noexcept {
  sigset_t all;
  sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) {
    sigdelset(&all, fault);
  }
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

} // namespace ovir::storage
