#pragma once

#include "actors/group/group_exchange.hpp"
#include "actors/group/group_links.hpp"
#include "compute/base/parallel.hpp"
#include "compute/parts/segment_part.hpp"
#include "messages/result.hpp"
#include "messages/wire/group_frame.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <utility>

namespace ovir::actors {

/// Which member of which group this is, and how long it waits for the others. The leader's patience
/// is the shortest: so it is the leader who finds that a member is missing, and says which.
struct group_seat {
  std::uint64_t group{0}; ///< drawn anew for each group
  std::uint32_t self{0};  ///< 0 leads
  std::chrono::nanoseconds patience{};
};

/// A member's passes over its links: computes its part, sends what must cross, waits for the
/// others' and goes on. Any error ends the membership: what the others have then is not known.
class group_pass {
public:
  /// A decoded letter that is no crossing.
  struct order {
    std::uint32_t from{0};
    group_links::bytes whole;
    group_view view;
  };

  /// `part` and `links` must outlive it.
  group_pass(const group_seat& seat, compute::segment_part& part, group_links& links);

  /// The pass that `part.begin` has begun, to its end. `layer_ended` is called behind each layer;
  /// it may be empty. Errors name the member: `timed_out`, `peer_lost`, `malformed`,
  /// `digest_mismatch`.
  [[nodiscard]] result<void> run(std::uint64_t pass, std::uint32_t rows,
                                 compute::parallel_runner& runner,
                                 const std::function<void(layer_index)>& layer_ended = {});

  /// What crossed and was taken, of all members in their order: for records of it.
  using watch = std::function<void(const compute::crossing_place&, compute::activation_form,
                                   std::span<const std::span<const std::byte>>)>;
  void watch_crossings(watch each) { crossed_ = std::move(each); }

  /// The next order or answer; nothing when `until` comes first.
  [[nodiscard]] result<std::optional<order>> next_order(group_links::time_point until);
  /// The next answer of this kind from `from`, within the member's patience. `timed_out`.
  [[nodiscard]] result<order> answer(group_kind kind, std::uint32_t from, std::uint64_t pass);

  void send(std::uint32_t to, group_header header, std::span<const std::byte> payload);
  [[nodiscard]] const group_seat& seat() const noexcept { return seat_; }
  [[nodiscard]] std::uint32_t members() const noexcept;

private:
  [[nodiscard]] result<void> exchange(std::uint64_t pass, std::uint32_t step, std::uint32_t rows);
  [[nodiscard]] result<void> sort(const group_links::letter& letter);
  [[nodiscard]] result<void> check_whole() const;

  group_seat seat_;
  compute::segment_part& part_;
  group_links& links_;
  group_exchange exchange_;
  watch crossed_{};
  std::deque<order> orders_; ///< at most limits::group_orders_max
};

} // namespace ovir::actors
