#pragma once

#include "actors/runtime/compute_executor.hpp"
#include "compute/base/parallel.hpp"
#include "messages/node_id.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

namespace ovir::test {

/// Jobs in order on a thread of its own.
class one_thread final : public actors::compute_executor {
public:
  one_thread() : thread_([this] { work(); }) {}
  ~one_thread() override {
    {
      const std::lock_guard lock{guard_};
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  void post(job j) override {
    {
      const std::lock_guard lock{guard_};
      jobs_.push_back(std::move(j));
    }
    changed_.notify_all();
  }

private:
  void work() {
    compute::serial_runner runner;
    for (;;) {
      std::unique_lock lock{guard_};
      changed_.wait(lock, [this] { return over_ || !jobs_.empty(); });
      if (jobs_.empty()) {
        return;
      }
      const job next = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      next(runner);
    }
  }

  std::mutex guard_;
  std::condition_variable changed_;
  std::deque<job> jobs_;
  bool over_{false};
  std::thread thread_;
};

inline node_id desk_node(std::uint8_t number) {
  node_id id;
  id.key.fill(number);
  return id;
}

} // namespace ovir::test
