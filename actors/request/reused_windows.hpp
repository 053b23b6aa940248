#pragma once

#include "actors/request/stage_table.hpp"
#include "actors/request/stated_units.hpp"

#include <cstdint>
#include <optional>
#include <span>

namespace ovir::actors {

/// A window that a stage took from its cache and that may not belong to this request.
struct strange_window {
  stage_index stage;
  std::uint32_t window{0};
  bool differs{false}; ///< else it is not known whether it does
};

/// What a stage took from the cache was computed from just what comes in now: of the model's first
/// layer from the tokens of `history`, else from what the stage before states. The first window of
/// which that is not so. Of one that the stage before has yet to compute it is not known in time:
/// with `all_known` such a window is strange, too.
[[nodiscard]] std::optional<strange_window> find_strange_window(const stage_table& stages,
                                                                stated_units& stated,
                                                                std::span<const token_id> history,
                                                                bool all_known);

} // namespace ovir::actors
