#pragma once

#include "messages/error.hpp"

#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>

#include <cstdint>
#include <string>

namespace ovir {

/// What a supervisor tells its watcher about a child. In-process only: it carries a handle.
struct child_event {
  enum class kind : std::uint8_t {
    started,   ///< `handle` lives; after a crash this is the new actor
    lost,      ///< it ended; whether it comes back is the supervisor's matter
    abandoned, ///< it crashed more often than allowed; its supervisor ends with `reason`
  };
  kind what{kind::started};
  std::string supervisor;
  std::string child;
  caf::actor handle; ///< of `started`; else empty
  error reason;      ///< of `lost` and `abandoned`
};

} // namespace ovir

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::child_event)
