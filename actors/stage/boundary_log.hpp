#pragma once

#include "compute/base/reserved_memory.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace ovir::actors {

/// The boundaries a stage put out for one request, kept for the request's life, so that a restarted
/// successor can be brought back without computing anything here again. [positions][dim], binary32:
/// as large as dim * 4 bytes per position. A resource: moved, never copied. Memory is reserved for
/// all positions when made, but pages are touched only as rows are added. Not thread-safe.
class boundary_log {
public:
  boundary_log() = default;
  /// `over_limit` when `positions_max` rows need more than `bytes_max`, or more than there is.
  [[nodiscard]] static result<boundary_log> make(std::uint32_t positions_max, std::uint32_t dim,
                                                 std::size_t bytes_max);

  /// Begins at `first`: the rows before it are not known here. Precondition: nothing was appended.
  void begin_at(position first);
  /// Adds the rows of [length(), length() + rows.size() / dim). Precondition: they fit.
  void append(std::span<const float> rows);
  /// Forgets the rows from `end` on. Precondition: first() <= `end` <= length().
  void truncate(position end);
  /// Precondition: [first, first + count) was appended.
  [[nodiscard]] std::span<const float> rows(position first, std::uint32_t count) const;
  [[nodiscard]] position length() const noexcept { return length_; }
  /// Rows before this one are not here.
  [[nodiscard]] position first() const noexcept { return first_; }

private:
  compute::reserved_memory<float> rows_;
  std::uint32_t dim_{0};
  std::uint32_t capacity_{0};
  position first_{0};
  position length_{0};
};

} // namespace ovir::actors
