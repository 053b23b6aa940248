#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ovir::actors {

/// Where a drill strikes: points of a generation, drawn from a seed. A value. The generator is
/// SplitMix64: the same plan for the same seed on every machine.
class kill_plan {
public:
  kill_plan() = default;
  /// `kills` points among the tokens [0, tokens), each some events after its token was begun.
  kill_plan(std::uint32_t kills, std::uint64_t seed, std::size_t tokens);

  /// Something happened while `token` tokens were out. True when a kill is due now. `hurry`: there
  /// will be no later event of this token.
  [[nodiscard]] bool due(std::size_t token, bool hurry);
  /// True while a kill is planned at or before `token`.
  [[nodiscard]] bool pending(std::size_t token) const noexcept;
  /// A number below `bound` > 0: which stage to kill.
  [[nodiscard]] std::uint32_t choose(std::uint32_t bound);

private:
  [[nodiscard]] std::uint64_t next();

  std::uint64_t state_{0};
  std::vector<std::size_t> points_; // latest first
  std::uint32_t countdown_{0};      // events until the next kill, once its token is reached
};

} // namespace ovir::actors
