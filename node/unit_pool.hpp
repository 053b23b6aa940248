#pragma once

#include "actors/bulk/unit_protocol_actor.hpp"
#include "actors/bulk/work_unit.hpp"
#include "supervision/child_spec.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace ovir::supervision {

struct unit_pool_options {
  /// 1 to `limits::unit_workers_max`. Two for each thread are best: while one is restarted or waits
  /// for its next batch, the other one runs.
  std::uint32_t workers{4};
  /// Workers have a thread each, for units that read files.
  bool detached{false};
  /// Told of the dispatcher whenever it is started; may be empty.
  std::function<void(const actors::unit_dispatcher_actor&)> started{};
};

/// Where `find_child` finds the actor that takes `submit_batch`, an
/// `actors::unit_dispatcher_actor`. A restarted one has forgotten its batches.
inline constexpr std::string_view unit_dispatcher_path = "dispatcher";

/// A pool of work units as a tree: the dispatcher, and after it a supervisor with one permanent
/// child per worker. `work` must not be empty; the workers share it. `invalid_argument` for a
/// number of workers out of range.
[[nodiscard]] result<supervisor_spec> unit_pool_tree(const unit_pool_options& options,
                                                     std::shared_ptr<const actors::unit_work> work);

} // namespace ovir::supervision
