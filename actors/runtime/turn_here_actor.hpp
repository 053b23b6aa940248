#pragma once

#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/message.hpp>

#include <utility>

namespace ovir::actors {

/// Sends `content` to `target` and lets it, and whom it tells in turn, handle it on this thread, if
/// nobody else runs them: a step's way through a node then wakes no thread of the scheduler. For
/// threads that would only wait otherwise, and messages whose handlers are short; the caller holds
/// no lock that a handler may want. After some turns the rest is left to the scheduler, so a call
/// ends soon. Actors with threads of their own are only told.
void send_and_run(const caf::strong_actor_ptr& target, caf::message content);

template <class Handle, class T>
void send_and_run(const Handle& target, T content) {
  send_and_run(caf::actor_cast<caf::strong_actor_ptr>(target),
               caf::make_message(std::move(content)));
}

} // namespace ovir::actors
