#pragma once

#include "actors/group/group_links.hpp"
#include "actors/group/group_pass.hpp"
#include "actors/group/pass_records.hpp"
#include "compute/base/parallel.hpp"
#include "compute/parts/part_record.hpp"
#include "compute/parts/segment_part.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>

namespace ovir::actors {

/// A member that does not lead: computes its part of the passes that the leader begins, and keeps K
/// and V of its heads. It never computes more, or for longer, than the leader's messages say, and
/// keeps no more than it was allowed.
class group_member {
public:
  /// `seat.self` is not 0. `links` must outlive it.
  group_member(const group_seat& seat, std::unique_ptr<compute::segment_part> part,
               group_links& links, std::size_t kv_bytes_max);

  enum class served : std::uint8_t {
    order,   ///< one was obeyed
    nothing, ///< none came in time
    end,     ///< the leader ended the group
  };
  /// Waits until `until` for an order, and does what it says. An error ends the membership and is
  /// for the log: the others notice by themselves.
  [[nodiscard]] result<served> serve(group_links::time_point until,
                                     compute::parallel_runner& runner);

  /// From now on the member signs what it computes and what others sent it, of each pass. Before
  /// the first pass.
  void sign_parts(part_signing by);

  [[nodiscard]] std::size_t sessions() const noexcept { return sessions_.size(); }
  [[nodiscard]] std::size_t kv_bytes() const noexcept { return kv_bytes_; }

private:
  struct session {
    std::optional<compute::kv_cache> kv;          ///< of the member's heads
    position length{0};                           ///< positions before it are valid
    std::optional<compute::part_record> record{}; ///< where parts are signed
  };

  [[nodiscard]] result<session*> open(const group_session& s);
  [[nodiscard]] std::size_t bytes_of(const session& s) const;
  [[nodiscard]] result<void> check_known(const session& s, position first) const;
  [[nodiscard]] result<void> take_history(const group_view& order);
  [[nodiscard]] result<void> compute_pass(const group_view& order,
                                          compute::parallel_runner& runner);
  [[nodiscard]] result<void> compute_head(const group_view& order,
                                          compute::parallel_runner& runner);
  void send_written(std::span<session* const> opened);
  void close(const group_view& order);

  std::unique_ptr<compute::segment_part> part_;
  group_pass passes_;
  pass_records records_;
  part_signing signing_{};
  std::size_t kv_bytes_max_;
  std::size_t kv_bytes_{0};
  std::map<std::uint64_t, session> sessions_;
  std::uint64_t pass_{0};
  std::uint32_t rows_{0}; ///< of the last pass
};

} // namespace ovir::actors
