#include "actors/runtime/compute_executor.hpp"

#include <future>
#include <utility>

namespace ovir::actors {

void compute_executor::run(job work) {
  std::promise<void> done;
  post([&](compute::parallel_runner& runner) {
    work(runner);
    done.set_value();
  });
  done.get_future().wait();
}

} // namespace ovir::actors
