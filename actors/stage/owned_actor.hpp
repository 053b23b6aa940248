#pragma once

#include <caf/actor.hpp>
#include <caf/exit_reason.hpp>
#include <caf/send.hpp>

#include <utility>

namespace ovir::actors {

/// Holds an actor and ends it when destroyed, also where the owner is an actor that was killed.
class owned_actor {
public:
  owned_actor() = default;
  explicit owned_actor(caf::actor what) : what_(std::move(what)) {}
  ~owned_actor() { end(); }
  owned_actor(owned_actor&& other) noexcept : what_(std::exchange(other.what_, {})) {}
  owned_actor& operator=(owned_actor&& other) noexcept {
    if (this != &other) {
      end();
      what_ = std::exchange(other.what_, {});
    }
    return *this;
  }
  owned_actor(const owned_actor&) = delete;
  owned_actor& operator=(const owned_actor&) = delete;

  explicit operator bool() const noexcept { return static_cast<bool>(what_); }

private:
  void end() noexcept {
    if (what_) {
      caf::anon_send_exit(what_, caf::exit_reason::user_shutdown);
    }
  }

  caf::actor what_;
};

} // namespace ovir::actors
