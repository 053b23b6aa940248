#pragma once

#include "actors/protocol/protocol.hpp"
#include "actors/reuse/cache_protocol.hpp"
#include "actors/runtime/step_meter.hpp"
#include "actors/stage/boundary_log.hpp"
#include "actors/stage/claimable_work.hpp"
#include "actors/stage/row_digests.hpp"
#include "actors/stage/signing_desk.hpp"
#include "compute/forward/segment.hpp"
#include "messages/evidence/unit_claim.hpp"
#include "messages/limits/general.hpp"
#include "messages/result.hpp"
#include "messages/wire/frame.hpp"
#include "storage/env/env.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

namespace ovir::actors {

/// The tools of a stage: its segment and the memory its steps reuse. Survives restarts of the shard
/// actor, because neither holds anything of a request; used by one compute job at a time, which the
/// executor's order guarantees.
struct stage_bench {
  std::unique_ptr<compute::segment> segment;
  std::vector<compute::step_output> outputs; ///< of the steps of a pass
  std::size_t kv_bytes_max{0}; ///< per request, of its KV cache and of its kept boundaries each
  std::shared_ptr<step_meter> meter; ///< null: speeds are not kept; else `env` is there too
  storage::env* env{nullptr};        ///< null: passes are not timed
  const signing_desk* desk{nullptr}; ///< null: this stage signs nothing
  cache_access cache{};              ///< where units are kept over requests
  /// Hears what this stage signed of a request that is over here. Null: nothing hears it.
  std::function<void(claimable_work)> claim{};
};

/// What a stage keeps of a request while a compute job may be using it: the shard touches these
/// only between jobs.
struct session_data {
  compute::segment_state state;
  boundary_log boundaries;   ///< empty for the last stage
  std::vector<float> logits; ///< of position `logits_at`, last stage only
  std::optional<position> logits_at;
  epoch logits_of;                        ///< in which they were computed
  std::vector<compute::unit_leaf> leaves; ///< completed so far, for a lead that was not there
  row_digests input;                      ///< of what came in
  std::vector<digest> earlier;            ///< of each layer, K and V of all complete windows
  std::vector<digest> reused_inputs; ///< of windows that came from the cache, from the first on
};

/// A frame to compute. Rows the stage holds already are skipped.
struct step_work {
  frame_bytes frame;
  frame_header header;
};
struct replay_work {
  position first{0};
  std::uint32_t count{0};
  std::uint32_t logit_rows{0};
};
struct resend_work {
  position at{0};
};
/// Units from the cache, of the windows behind those the stage holds.
struct restore_work {
  units_found units;
};
using session_work = std::variant<step_work, replay_work, resend_work, restore_work>;

/// What one session does in a pass.
struct shard_job {
  request_id request;
  epoch driver;
  std::shared_ptr<session_data> data;
  session_work work;
  bool signs{false}; ///< digests of all logits computed are wanted
  stage_answers answers{stage_answers::logits};
};

/// The model that a session's units, statements and receipts are of.
[[nodiscard]] inline const digest& model_of(const stage_bench& bench,
                                            const session_model& model) noexcept {
  return model.id == digest{} ? bench.cache.model : model.id;
}

/// What it found. `outgoing` is for the session's next hop, when there is something to send.
struct shard_outcome {
  result<void> done;
  position length{0};
  std::uint64_t units{0};
  std::vector<compute::unit_leaf> leaves;
  std::vector<window_origin> windows; ///< that became complete
  /// Where the job signs: of these windows, what an audit computes them from.
  std::vector<window_kept> kept{};
  frame_bytes outgoing;
  bool told{false}; ///< by `outgoing`: the lead learns all of this from it
  /// Where the job signs: of logits that were asked for and are not in `outgoing`.
  std::vector<std::pair<position, stated_draw>> logits{};
};

/// Performs the jobs of a pass, of different sessions: computes all steps in one pass over the
/// weights, keeps the boundaries, encodes what goes on. Outcomes are in the order of jobs, and each
/// is what it would be alone. Called by one thread at a time, never by an actor's handler.
[[nodiscard]] std::vector<shard_outcome>
perform(std::span<const shard_job> pass, stage_bench& bench, compute::parallel_runner& runner);

/// A shard's sessions and their order of work: decides, without CAF, what is computed next and
/// together, what is a duplicate, what is refused. One pass at a time; requests take turns, those
/// with little slack first.
///
/// Steps of few rows, those of requests that decode, share passes: the weights are read once for
/// all of them. Of the requests that decode on this path, a pass takes this segment's share of the
/// model's layers: all of them where there is one stage, every second one where there are two. So
/// the stages of a path have something to do at the same time. Who shared a pass arrives together
/// the next time; so a group, once formed, lasts, and where there are more groups than need be, one
/// long wait joins two of them for good. A first stage that is at rest between them waits for all,
/// once, so that groups follow one another closely. Steps of many rows come one after another;
/// steps of few rows that wait by then ride along.
class shard_core {
public:
  explicit shard_core(std::shared_ptr<stage_bench> bench);

  struct session {
    request_id request;
    epoch driver;
    std::uint32_t positions{0};
    position length{0};
    position reused_to{0}; ///< positions before came from the cache ...
    units_reused reused;   ///< ... as these units
    bool busy{false};
    bool stale{false};        ///< the job under way belongs to data that was given up
    position under_way_to{0}; ///< positions held when the job under way ends, if it is a step
    bool open_owed{false};    ///< `session_opened` is sent when the job under way ends
    bool finish_owed{false};  ///< `session_finished` is sent when all work is done ...
    position finish_at{0};    ///< ... and so many positions are held
    bool decodes{false};      ///< its latest step had few rows, or was the last of its prompt
    bool prompt_ends{false};  ///< with the job under way
    bool late{false};         ///< a pass waited for it in vain
    std::uint64_t pass{0};    ///< the latest that it was in
    std::uint64_t burst{0};   ///< in which its latest step came
    std::uint64_t due{0};     ///< the pass by which its next work is to be done
    bool signs{false};        ///< evidence is made of it
    stage_answers answers{stage_answers::logits}; ///< as in `session_order`
    session_model model{};                        ///< the same for as long as the session is there
    std::deque<session_work> queue;
    std::shared_ptr<session_data> data;
  };

  /// Starts an epoch. `timed_out` for a lower epoch than seen, `busy` beyond
  /// limits::sessions_max sessions, `over_limit` for more positions than fit. A session that
  /// holds more than `keep` positions, or will when its job ends, begins afresh: its driver does
  /// not know what they were. So does one that took more than `reuse` from the cache: there is a
  /// stage that lacks them, or what they were computed from is not what it was. `invalid_argument`
  /// for a session that is there with another model.
  [[nodiscard]] result<void> open(request_id request, epoch driver, std::uint32_t positions,
                                  position keep,
                                  position reuse = std::numeric_limits<position>::max(),
                                  session_model model = {});
  /// Takes a frame for the session it names. Frames of a lower epoch and of unknown requests are
  /// dropped without an error; `over_limit` when its credit was exceeded, `malformed` when it is
  /// not for this stage.
  [[nodiscard]] result<void> accept(const frame_bytes& frame);
  [[nodiscard]] result<void> replay(const to_stage<replay_boundaries>& order);
  [[nodiscard]] result<void> resend(const to_stage<resend_logits>& order);
  /// Takes units for a session that computed nothing yet.
  [[nodiscard]] result<void> restore(request_id request, epoch driver, units_found units);
  void finish(const to_stage<finish_session>& order);
  /// `session_finished` is owed, and all there is to do before it is done.
  [[nodiscard]] static bool finishes_now(const session& s) noexcept;
  void close(request_id request);

  /// The next pass, when none is under way and there is work; else empty. A `patient` caller also
  /// gets nothing while some who decode are expected to join: then `gathering`, and it calls again
  /// when more arrived, or without patience when it has waited long enough.
  [[nodiscard]] std::vector<shard_job> next_pass(bool patient);
  [[nodiscard]] bool gathering() const noexcept { return gathering_; }
  /// Nothing is computed, and nothing waits to be.
  [[nodiscard]] bool at_rest() const noexcept { return under_way_ == 0 && turns_.empty(); }
  /// A stage that was at rest for a while is about to take a step. Where those who decode came in
  /// several bursts, a first stage now waits for all of them: then they come one group behind the
  /// other from there on, and no stage computes one while another stage on the same machine
  /// computes the other, unless there is no time left in which nobody computes.
  void begin_burst();
  /// While `gathering`: for all who decode.
  [[nodiscard]] bool mustering() const noexcept { return gathering_ && mustering_; }
  /// While `gathering`: those who decode run in more groups than need be, so a wait as long as a
  /// pass is worth its time. False for a while after such a wait was in vain.
  [[nodiscard]] bool regrouping() const noexcept { return gathering_ && regrouping_; }
  /// The job of `request` ended, as one of its pass. Null when the session was closed meanwhile.
  session* job_ended(request_id request, position length);

  /// An epoch or the request ends: drafts that nobody called right are dropped. Only while `s` is
  /// not `busy`.
  static void drop_drafts(session& s);

  [[nodiscard]] session* find(request_id request);
  /// Leaves of windows begun, and the bytes its KV cache occupies; only while not `busy`.
  [[nodiscard]] session_finished describe(const session& s) const;
  [[nodiscard]] const stage_bench& bench() const noexcept { return *bench_; }

private:
  [[nodiscard]] result<std::shared_ptr<session_data>> fresh_data(std::uint32_t positions,
                                                                 const session_model& model) const;
  /// Positions once the job under way has ended.
  [[nodiscard]] static position holds_soon(const session& s) noexcept;
  [[nodiscard]] result<void> enqueue(session& s, session_work work);
  void wait_for_turn(session& s);
  [[nodiscard]] std::size_t decoders_present() const;
  [[nodiscard]] std::size_t decoders_wanted() const;
  [[nodiscard]] std::size_t decoders_ready();
  [[nodiscard]] bool scattered() const;
  [[nodiscard]] bool awaits_others(bool patient);
  void gathered_in_vain();
  void forget_absent();
  [[nodiscard]] shard_job begin_job(session& s);

  std::shared_ptr<stage_bench> bench_;
  std::map<request_id, session> sessions_;
  std::deque<request_id> turns_; // sessions with work that are not busy, those due first in front
  std::size_t under_way_{0};     // jobs of the current pass
  std::uint64_t passes_{0};
  bool gathering_{false};
  bool regrouping_{false};
  std::uint32_t brief_next_{1}; // gatherings that are brief after the next long one in vain
  std::uint32_t brief_left_{0}; // and how many of them are still to come
  std::uint64_t bursts_{0};
  bool mustering_{false};
  std::uint32_t muster_next_{1}; // bursts without a muster after the next muster
  std::uint32_t muster_left_{0}; // and how many of them are still to come
};

/// Units whose last position lies in [first, first + count): windows closed, times layers.
[[nodiscard]] std::uint64_t units_closed(position first, std::uint32_t count,
                                         std::uint32_t layers) noexcept;

} // namespace ovir::actors
