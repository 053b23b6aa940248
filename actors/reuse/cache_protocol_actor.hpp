#pragma once

#include "actors/reuse/cache_protocol.hpp"
#include "messages/digest.hpp"

#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

/// Where the cache of this process is, for actors.
namespace ovir::actors {

/// Where the cache of this process is: its actor may be restarted. Thread-safe.
class cache_handle {
public:
  /// Empty while there is none.
  [[nodiscard]] caf::actor get() const {
    const std::lock_guard guard{lock_};
    return cache_;
  }
  void set(caf::actor cache) {
    const std::lock_guard guard{lock_};
    cache_ = std::move(cache);
  }
  /// How many quarantines there were. What a request found and computed belongs to the era in which
  /// it began: it may follow from what was taken away since.
  [[nodiscard]] std::uint64_t era() const noexcept { return era_.load(); }
  void begin_era(std::uint64_t era) noexcept { era_.store(era); }

private:
  mutable std::mutex lock_;
  caf::actor cache_;
  std::atomic<std::uint64_t> era_{0};
};

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::find_units)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::refuse_units)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::units_found)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::keep_units)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::keep_inputs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::hold_inputs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::enter_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::request_entered)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::windows_computed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::leave_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::keep_answer)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::write_quarantine)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_cache)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cache_report)
