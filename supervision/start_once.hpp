#pragma once

#include "messages/result.hpp"
#include "supervision/child_spec.hpp"

#include <caf/fwd.hpp>

#include <chrono>
#include <functional>

namespace ovir::supervision {

/// Has `supervisor` start a temporary child for `self`; `done` is called once, in `self`. A process
/// that stood still for `wait` finds the time over before its supervisor could do anything: the
/// child is not started any more then, or, where it just was, it is handed over all the same. No
/// child is left without an owner.
void start_once(caf::event_based_actor* self, const caf::actor& supervisor, child_spec spec,
                std::chrono::milliseconds wait,
                const std::function<void(result<caf::actor>)>& done);

} // namespace ovir::supervision
