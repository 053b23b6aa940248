#include "actors/runtime/turn_here_actor.hpp"

#include "messages/caf/system_config.hpp"

#include <caf/actor_system.hpp>
#include <caf/execution_unit.hpp>
#include <caf/logger.hpp>
#include <caf/message_id.hpp>
#include <caf/resumable.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>

#include <deque>

namespace ovir::actors {

namespace {

/// Actors that one call runs at most: a frame's lead or stage, and whom it tells.
constexpr std::size_t turns_max = 8;

/// What a worker thread of the scheduler is to its actors, for one call. As one does, it owns a
/// reference to each actor in its queue.
class unit final : public caf::execution_unit {
public:
  explicit unit(caf::actor_system& system) : execution_unit(&system) {}

  void exec_later(caf::resumable* job) override { jobs_.push_back(job); }

  void run() {
    for (std::size_t turn = 0; turn < turns_max && !jobs_.empty(); ++turn) {
      caf::resumable* const job = jobs_.front();
      jobs_.pop_front();
      switch (job->resume(this, messages_per_turn_max)) {
      case caf::resumable::resume_later: leave(job); break;
      case caf::resumable::done:
      case caf::resumable::awaiting_message:
      case caf::resumable::shutdown_execution_unit: intrusive_ptr_release(job); break;
      }
    }
    for (caf::resumable* const job : jobs_) {
      leave(job);
    }
    jobs_.clear();
  }

private:
  void leave(caf::resumable* job) { system().scheduler().enqueue(job); }

  std::deque<caf::resumable*> jobs_;
};

// An actor that spawns another leaves a reference to the system's logger with its thread, and a
// system's end waits until all of them are gone. Threads that are none of its own outlive it.
class logger_left {
public:
  logger_left() = default;
  logger_left(const logger_left&) = delete;
  logger_left& operator=(const logger_left&) = delete;
  ~logger_left() {
    if (!had_one_) {
      caf::logger::set_current_actor_system(nullptr);
    }
  }

private:
  bool had_one_{caf::logger::current_logger() != nullptr};
};

} // namespace

void send_and_run(const caf::strong_actor_ptr& target, caf::message content) {
  const logger_left after;
  unit here{*target->home_system};
  target->get()->enqueue(nullptr, caf::make_message_id(), std::move(content), &here);
  here.run();
}

} // namespace ovir::actors
