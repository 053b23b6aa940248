#pragma once

#include "actors/weights/held_pieces.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace ovir::actors {

/// Which pieces of the weights here are checked next, round after round. A value; no clock.
class scrub_core {
public:
  using part = std::shared_ptr<const held_pieces>;

  struct piece {
    part of;
    std::uint32_t index{0};
  };

  /// Up to `count` pieces behind those of the last call, none after `bytes_max` bytes: of each part
  /// in turn, up to the end; then from the first again. `parts`: what is here now, in the same
  /// order as before; a part that is gone is left out.
  [[nodiscard]] std::vector<piece> next(const std::vector<part>& parts, std::size_t count,
                                        std::uint64_t bytes_max);

  /// Notes a piece whose bytes are not those of the manifest. True when that is news.
  bool note_damaged(const digest& model, std::uint32_t index) {
    return damaged_.emplace(model, index).second;
  }

  [[nodiscard]] std::uint64_t checked() const noexcept { return checked_; }
  [[nodiscard]] std::uint64_t rounds() const noexcept { return rounds_; } ///< over everything

private:
  std::size_t part_{0};
  std::uint32_t index_{0}; ///< of the part, the next piece
  std::uint64_t checked_{0};
  std::uint64_t rounds_{0};
  std::set<std::pair<digest, std::uint32_t>> damaged_; ///< at most the pieces there are
};

} // namespace ovir::actors
