#pragma once

#include "compute/parts/part_rows.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/limits/general.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

/// What a group made of one request, as digests that grow with its positions: what its members sign
/// (docs/formats/parts.md). They do not depend on how positions came together in passes, and a
/// member that sent another number, by one in the last place of one partial sum, has another one.
namespace ovir::compute {

/// Positions of one window that a group computed one behind the other.
struct part_run {
  position first{0};
  std::vector<std::uint16_t> together; ///< of each position: rows of the pass that it was in
  digest input;                        ///< chain of rows of the stream before the segment
  /// Of each member: chain of K and V of its heads, at all positions before `first`. All zero of a
  /// member without heads, and where it is not known.
  std::vector<digest> before;
  std::vector<digest> leaves; ///< chains, [layers][part_lanes][members]; all zero: nothing crossed

  [[nodiscard]] std::uint32_t window() const noexcept { return first / limits::window_positions; }
  [[nodiscard]] position end() const noexcept {
    return first + static_cast<position>(together.size());
  }
  friend bool operator==(const part_run&, const part_run&) = default;
};

/// `layer` counts from the segment's first.
[[nodiscard]] constexpr std::size_t leaf_at(std::uint32_t layer, part_lane lane,
                                            std::uint32_t member, std::size_t members) noexcept {
  return (std::size_t{layer} * part_lanes + static_cast<std::size_t>(lane)) * members + member;
}

/// One request's record, as the leader or a member keeps it. Guesses that were wrong leave no trace
/// in it. Bounded: it keeps leaves of a few positions, and 32 bytes a position and member whose K
/// and V it knows.
class part_record {
public:
  part_record(std::uint32_t layers, std::uint32_t members);

  /// What leaves of the positions that it keeps take.
  [[nodiscard]] static std::size_t bytes_of(std::uint32_t layers, std::uint32_t members) noexcept;

  /// K and V of `member` at positions from `first` on, as `read_kv_rows` lays them out, that came
  /// in some other way than by a pass of the group. Those from `first` on that were known are not
  /// true any more. Precondition: those before it are known.
  void add_history(std::uint32_t member, position first, std::uint32_t count,
                   std::span<const std::uint16_t> rows);

  /// Positions whose K and V of `member` are known, from 0 on.
  [[nodiscard]] position kv_positions(std::uint32_t member) const noexcept {
    return static_cast<position>(kv_[member].size());
  }

  /// Begins a pass of `together` rows, of which positions [first, first + count) are this
  /// request's; `input` [count][dim]. What there was of positions from `first` on is dropped.
  void begin(position first, std::uint32_t count, std::uint32_t together,
             std::span<const float> input);
  /// What `member` made of row `t` of the pass. Of one layer, lane and member, rows come in order.
  void add(std::uint32_t t, std::uint32_t layer, part_lane lane, std::uint32_t member,
           const digest& row);
  /// K and V of the pass's rows, of a member with heads.
  void add_kv(std::uint32_t member, std::span<const std::uint16_t> rows);
  /// The pass ended well. Of each window that it touched, in order, the run up to the pass's last
  /// position in it; before it, of a pass of so few rows that some may be guesses, that up to each.
  [[nodiscard]] std::vector<std::vector<part_run>> end();

private:
  [[nodiscard]] part_run fresh(position first) const;
  [[nodiscard]] digest kv_before(std::uint32_t member, position at) const;
  void extend_kv(std::uint32_t member, std::uint32_t t, std::span<const std::uint16_t> row,
                 bool of_pass);

  std::uint32_t layers_;
  std::uint32_t members_;
  std::deque<part_run> kept_;           ///< up to each of the last positions
  std::vector<std::vector<digest>> kv_; ///< [members], chains behind each position

  // Of the pass under way
  position first_{0};
  std::uint32_t count_{0};
  std::vector<part_run> pending_;    ///< of those positions at which runs are wanted
  std::vector<std::uint32_t> place_; ///< [count], in `pending_`, of those; else `nowhere`
  std::vector<digest> running_;      ///< leaves behind the last row of each
};

} // namespace ovir::compute
