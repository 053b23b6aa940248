#pragma once

#include "actors/group/group_links.hpp"
#include "actors/group/group_pass.hpp"
#include "actors/group/part_shelf.hpp"
#include "actors/group/pass_records.hpp"
#include "compute/base/parallel.hpp"
#include "compute/forward/layer_engine.hpp"
#include "compute/parts/segment_part.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace ovir::actors {

/// The engine of a segment whose layers a group computes, at the member that leads it: it computes
/// its own part, tells the others of passes, and has K and V of all heads in the requests' caches,
/// so that blocks, digests and other segments find them as ever. When a member is gone, late or
/// wrong the group is no more. A leader that has all weights then computes this pass again and all
/// behind it alone, so requests go on with the same bytes. Another one fails with `peer_lost`,
/// which names the member, and the caches are as before the pass.
class group_leader final : public compute::layer_engine {
public:
  /// `seat.self` is 0. `alone`: all of the segment's weights, a part of a group of one; null: the
  /// leader does not have them.
  group_leader(const group_seat& seat, std::unique_ptr<compute::segment_part> part,
               std::unique_ptr<compute::segment_part> alone, std::shared_ptr<group_links> links);
  ~group_leader() override;

  [[nodiscard]] result<void> run(compute::engine_pass& pass) override;
  [[nodiscard]] bool has_head() const noexcept override;
  [[nodiscard]] result<void> head(std::span<const float* const> rows, std::span<float> logits,
                                  std::span<std::uint8_t> ok) override;
  /// Called once, by the thread that computes, when the group is no more.
  void when_lost(std::function<void(const error&)> call) { when_lost_ = std::move(call); }
  /// Passes that this node computes alone as well, by their numbers from 1, if it has all weights.
  /// What it computes alone stands; where that is not what the group said, the group is no more,
  /// and `when_lost` hears `digest_mismatch`.
  void check_passes(std::function<bool(std::uint64_t pass)> which) { checked_ = std::move(which); }
  /// Every member signs what comes of each pass, this one with `key`, and what they signed is put
  /// on `shelf`; a pass under which a signature is missing, or is under something else than what
  /// came here, does not count. `group`: as the members know it. Both others outlive the engine.
  void sign_parts(const secret_key& key, compute::part_group group, part_shelf& shelf);
  /// What lives as long as the weights are used.
  void keep(std::shared_ptr<const void> weights) { keeps_ = std::move(weights); }
  /// Why the group is no more.
  [[nodiscard]] const std::optional<error>& lost() const noexcept { return lost_; }

private:
  struct request;
  struct signed_pass;
  struct known_request {
    std::uint64_t number{0};
    std::weak_ptr<compute::engine_state> state;
  };

  [[nodiscard]] result<request*> prepare(compute::engine_session& s);
  void send_history(const compute::engine_session& s, request& r, position from);
  void close_ended();
  [[nodiscard]] result<void> begin(compute::engine_pass& pass);
  [[nodiscard]] result<void> run_all(compute::engine_pass& pass);
  [[nodiscard]] result<void> run_alone(compute::engine_pass& pass);
  [[nodiscard]] result<void> gather_kv(compute::engine_pass& pass);
  [[nodiscard]] result<void> gather_proofs(compute::engine_pass& pass);
  [[nodiscard]] result<void> take_proofs(std::uint32_t member, signed_pass& made);
  [[nodiscard]] result<void> take_head_proofs(std::uint32_t member,
                                              std::span<compute::head_statement> made);
  [[nodiscard]] result<void> gather_logits(std::span<const float* const> rows,
                                           std::span<float> logits, std::span<std::uint8_t> ok);
  struct said_of_pass;
  [[nodiscard]] said_of_pass said_of(const compute::engine_pass& pass) const;
  [[nodiscard]] result<void> compare(const said_of_pass& group, const said_of_pass& own) const;
  [[nodiscard]] result<void> run_twice(compute::engine_pass& pass);
  [[nodiscard]] result<void> check_logits(std::span<const float> own,
                                          std::span<const std::uint8_t> ok) const;
  error lose(const error& reason);

  std::shared_ptr<const void> keeps_;
  std::unique_ptr<compute::segment_part> part_;
  std::unique_ptr<compute::segment_part> alone_;
  std::shared_ptr<group_links> links_;
  std::function<void(const error&)> when_lost_;
  std::function<bool(std::uint64_t)> checked_;
  std::vector<float> told_logits_;      ///< by the group, of a pass that is checked
  std::vector<std::uint8_t> told_ok_{}; ///< likewise
  group_pass passes_;
  pass_records records_;
  part_signing signing_{};
  compute::part_group group_; ///< where parts are signed
  part_shelf* shelf_{nullptr};
  compute::parallel_runner* runner_{nullptr}; ///< of the last pass
  layer_range layers_;
  std::uint32_t rows_max_; ///< of a pass
  bool alone_pass_{false}; ///< the last one: the members do not know its rows
  bool check_head_{false}; ///< of the last pass
  std::vector<known_request> requests_;
  std::uint64_t numbers_{0}; ///< of sessions, given
  std::uint64_t pass_{0};
  const float* stream_{nullptr}; ///< of the last pass
  std::uint32_t rows_{0};        ///< likewise
  std::optional<error> lost_{};
};

} // namespace ovir::actors
