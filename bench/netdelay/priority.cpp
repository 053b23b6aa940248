#include "bench/netdelay/priority.hpp"

#include <sched.h>
#include <sys/resource.h>

namespace ovir::netdelay {

const char* take_priority() {
  const sched_param lowest{1};
  if (::sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest) == 0) {
    return "real-time priority";
  }
  const sched_param none{};
  ::sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &none);
  return ::setpriority(PRIO_PROCESS, 0, -20) == 0 ? "the highest ordinary priority"
                                                  : "no priority over others";
}

} // namespace ovir::netdelay
