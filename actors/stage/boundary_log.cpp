#include "actors/stage/boundary_log.hpp"

#include "messages/check.hpp"

#include <cstring>

namespace ovir::actors {

result<boundary_log> boundary_log::make(std::uint32_t positions_max, std::uint32_t dim,
                                        std::size_t bytes_max) {
  OVIR_CHECK(positions_max > 0 && dim > 0, positions_max, dim);
  const std::uint64_t bytes = std::uint64_t{positions_max} * dim * sizeof(float);
  if (bytes > bytes_max) {
    return fail(
        errc::over_limit,
        "the boundaries kept of {} positions need {} MiB, more than the {} MiB allowed; ask "
        "for fewer tokens or a shorter prompt",
        positions_max, bytes >> 20U, bytes_max >> 20U);
  }
  // Reserved whole, so that a decode step never copies the log; a lack of memory costs this request
  // and not the stage.
  boundary_log log;
  log.rows_ = compute::reserve_for<float>(bytes / sizeof(float));
  if (!log.rows_) {
    return fail(errc::over_limit,
                "no memory for {} MiB of kept boundaries; ask for fewer tokens or a shorter prompt",
                bytes >> 20U);
  }
  log.dim_ = dim;
  log.capacity_ = positions_max;
  return log;
}

void boundary_log::begin_at(position first) {
  OVIR_CHECK(length_ == first_ && first >= first_ && first <= capacity_, first, length_);
  first_ = length_ = first;
}

void boundary_log::append(std::span<const float> rows) {
  OVIR_CHECK(dim_ > 0 && rows.size() % dim_ == 0, dim_, rows.size());
  const std::size_t count = rows.size() / dim_;
  OVIR_CHECK(count <= capacity_ - length_, count, length_, capacity_);
  std::memcpy(rows_.get() + std::size_t{length_} * dim_, rows.data(), rows.size_bytes());
  length_ += static_cast<position>(count);
}

void boundary_log::truncate(position end) {
  OVIR_CHECK(end >= first_ && end <= length_, end, first_, length_);
  length_ = end;
}

std::span<const float> boundary_log::rows(position first, std::uint32_t count) const {
  OVIR_CHECK(first >= first_ && first + count <= length_, first, count, length_);
  return {rows_.get() + std::size_t{first} * dim_, std::size_t{count} * dim_};
}

} // namespace ovir::actors
