#pragma once

#include "actors/bulk/unit_keeper.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "actors/stage/shard_core.hpp"
#include "actors/stage/stage_evidence.hpp"

#include <caf/stateful_actor.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace ovir::actors {

/// The actor that holds one segment and computes its units. Handlers only book and send; passes
/// run on the executor and come back as messages. A session ends when its lead says so or dies.
struct shard_state {
  struct route {
    stage_index stage;
    lead_actor lead;
    frame_sink next;
    // Of a request that is signed for.
    bool sign_owed{false}; ///< the order to sign comes behind the one to open
    std::shared_ptr<stage_evidence> evidence{};
    std::shared_ptr<session_data> data{}; ///< whose work it is about
    std::vector<evidence_step> steps{};   ///< not handed on yet
    std::vector<frame_bytes> links{};     ///< from the stage before, not handed on yet
    bool ended{false};                    ///< no step will come that hands them on
    position committed{0};                ///< asked to commit to, so far
    position flushed{0};                  ///< the session's length at the last hand-over
    std::optional<storage::env::time_point> first_frame{};
    std::optional<storage::env::time_point> last_pass{}; ///< ended then
    std::optional<storage::env::time_point> came{};      ///< the latest frame for it
    std::shared_ptr<std::atomic<std::uint32_t>> waiting =
        std::make_shared<std::atomic<std::uint32_t>>(0); ///< batches from the stage before
    prefix_list prefixes{}; ///< names of the windows that may be reused; null: no cache
    std::uint32_t reuse_windows{0};
    bool reusing{false};    ///< the cache was asked, or what it had is being copied
    bool reuse_done{false}; ///< it had no more
    bool explain{false};    ///< the lead wants to know how the lookup went
    reuse_told told{};
    bool traces{false}; ///< the lead wants to know of every step
    bool sealed{false}; ///< as of `session_order`
  };
  const char* name{"shard"};
  std::unique_ptr<shard_core> core;
  std::shared_ptr<stage_bench> bench;
  compute_executor* executor{nullptr};
  std::map<request_id, route> routes;
  std::map<request_id, unit_keeper> keepers; ///< of sessions whose units are kept
  std::chrono::nanoseconds pass_time{0};     ///< of the last pass; 0: not known
  std::uint64_t gather{0};                   ///< the wait for others that is under way, counted
  bool waits{false};                         ///< for others to join the next pass
  std::optional<storage::env::time_point> rests_since{};
  bool rested{false};               ///< before the step that came first
  std::chrono::nanoseconds away{0}; ///< so long was the request that began the burst
  /// False once this actor ended: jobs still waiting are then not worth computing.
  std::shared_ptr<std::atomic<bool>> alive = std::make_shared<std::atomic<bool>>(true);
};

struct shard_job_done {
  request_id request;
  epoch driver;
  std::shared_ptr<session_data> data;
  shard_outcome outcome;
  evidence_step evidence{}; ///< without data where nothing is signed
};
struct shard_pass_done {
  std::vector<shard_job_done> jobs;
  std::chrono::nanoseconds time{0};
};
/// Sent to oneself by the clock: the wait is over, unless it was before.
struct shard_gather_over {
  std::uint64_t gather{0};
};

/// `executor` outlives the actor system.
[[nodiscard]] shard_actor::behavior_type
shard_behavior(shard_actor::stateful_pointer<shard_state> self, std::shared_ptr<stage_bench> bench,
               compute_executor* executor);

} // namespace ovir::actors
