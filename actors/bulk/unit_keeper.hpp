#pragma once

#include "actors/reuse/cache_protocol.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ovir::actors {

/// Which windows of a session are complete and named, and not handed to the cache yet. They are
/// computed and named in any order: a stage sees no token ids, and its lead learns late what is
/// computed. A value.
class unit_keeper {
public:
  /// Names of windows from `first` on. Those known already and those behind a gap are ignored.
  void name(std::uint32_t first, std::span<const digest> prefixes);
  /// The session holds its first `windows` windows; `leaves` and `origins` are of those that became
  /// complete.
  void complete(std::uint32_t windows, const std::vector<compute::unit_leaf>& leaves,
                std::vector<window_origin> origins);
  /// They came from the cache: no need to keep them.
  void skip_to(std::uint32_t windows);

  /// What can be handed over now, but for its scope, KV cache and cost. Call it after each of the
  /// above; what it returned is not returned again.
  [[nodiscard]] std::optional<keep_units> take();

  std::uint64_t era{0}; ///< of the cache when the session began

private:
  std::vector<digest> names_;
  std::vector<compute::unit_leaf> leaves_; ///< of windows from `next_` on
  std::vector<window_origin> origins_;     ///< likewise
  std::uint32_t complete_{0};
  std::uint32_t next_{0}; ///< the first window not handed over
};

} // namespace ovir::actors
