#pragma once

#include "actors/path/node_meter.hpp"
#include "actors/path/path_forecasts.hpp"
#include "actors/path/step_patience.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "actors/request/deadline_core.hpp"
#include "actors/request/draft_model.hpp"
#include "actors/request/lead_core.hpp"
#include "actors/request/request_journal.hpp"
#include "actors/request/request_trace.hpp"
#include "actors/request/stage_times.hpp"
#include "actors/reuse/cache_protocol_actor.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "actors/stage/lead_evidence.hpp"
#include "compute/forward/pooled_rows.hpp"
#include "compute/forward/prefix.hpp"
#include "compute/text/sampler.hpp"
#include "messages/request/path.hpp"
#include "storage/env/env.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace ovir::actors {

/// A model that guesses for another one's requests, and where it computes; null: none does.
struct draft_access {
  std::shared_ptr<draft_model> model;
  compute_executor* executor{nullptr};
};

/// What the leads of a node share for one model. All of it outlives the actor system but for the
/// provider of paths.
struct lead_environment {
  path_shape shape; ///< its stages are the path's matter
  const compute::tokenizer* vocabulary{nullptr};
  storage::env* env{nullptr};
  compute_executor* executor{nullptr};
  path_provider paths;
  /// Where requests are logged token by token; null: nowhere.
  request_journal* journal{nullptr};
  std::shared_ptr<const void> keeps; ///< the model, while the lead needs its vocabulary
  const signing_desk* desk{nullptr}; ///< null: no receipts
  cache_access cache{};              ///< for requests that may use it
  caf::actor payments{};             ///< hears of a request that is paid for; else empty
  layer_places reserved{};           ///< what `payments` reserved for; empty: any path
  node_meter* meter{nullptr};        ///< null: nobody counts
  draft_access drafts{};
  /// Of the paths it is given; null: nobody expects anything of them.
  std::shared_ptr<path_forecasts> forecasts{};
  bool tells_path{false}; ///< the requester hears `path_taken`, `pace_told` and `receipt_part`
};

/// What a lead knows of its request for the cache.
struct lead_reuse {
  cache_use use;
  std::uint64_t era{0};               ///< of the cache when the request began
  std::optional<digest> request_name; ///< of one whose answer is kept
  compute::prefix_chain chain;        ///< of prompt and output
  std::vector<digest> names;          ///< of its windows, as their owner's
  std::size_t named{0};               ///< windows whose names the stages have
  std::uint32_t computed_told{0};     ///< windows, to the cache
  caf::actor_addr waits_for;          ///< the cache that was asked, until it answers or ends
  std::function<void(request_entered*)> go_on;
  /// That of an answer which is told again.
  std::shared_ptr<const result<std::vector<std::byte>>> receipt{};
};

/// The actor that drives one request: a shell around `lead_core`. It tells `requester` of each
/// token and of the end, and then ends normally.
struct lead_state {
  using time_point = storage::env::time_point;

  const char* name{"lead"};
  std::optional<lead_core> core;
  lead_environment environment;
  request_id request;
  caf::actor requester;
  twin_rule twin{twin_rule::alone};
  std::set<caf::actor_addr> opened; ///< stages of one of two runs that opened for this lead
  std::vector<path_stage> path;     ///< a handle is empty while its stage is down
  std::shared_ptr<compute::sampler> sampler;
  std::shared_ptr<compute::token_matcher> matcher; ///< where not every token may come; else null
  std::shared_ptr<request_log> log;                ///< what another lead would need
  std::unique_ptr<journal_entry> journal;
  std::optional<lead_reuse> reuse;            ///< absent: the cache is not used
  frame_bytes logits;                         ///< of the draw under way
  std::optional<compute::pooled_rows> pooled; ///< of a request that makes an embedding
  std::optional<tokens_drawn> drawn;          ///< here and now; others come as messages
  std::shared_ptr<request_trace> trace;       ///< null: none is wanted

  /// What a small model guesses.
  struct request_drafts {
    std::shared_ptr<draft_run> run;   ///< null: nothing
    bool busy{false};                 ///< it computes
    time_point ordered{};             ///< the guess under way
    std::chrono::nanoseconds took{0}; ///< the guess that the step under way carries
  };
  request_drafts drafts;

  /// What becomes the receipt.
  struct signed_parts {
    std::shared_ptr<const lead_evidence> terms; ///< null: no receipt is wanted, or none possible
    std::vector<frame_bytes> statements;        ///< frames of evidence, as they came
    std::size_t statement_bytes{0};
    position tokens_signed{0}; ///< below it, what was sent to the first stage
    struct stated_windows {
      evidence_signer by;
      std::uint32_t windows{0};
      std::size_t began{0};       ///< with which frame of evidence it began to tell it
      std::vector<digest> told{}; ///< of each window, but for claims of times
      bool in_part{false};        ///< a receipt of a part has them
    };
    std::map<layer_index, stated_windows> stated; ///< by the first layer of a stage
    std::uint32_t parts{0};                       ///< receipts of parts, made or begun
    std::uint32_t ticks_unstated{0};              ///< in which a stage has not stated what is due
    std::vector<attestation> attested;            ///< what nodes are, where a tier is demanded
    bool blames_source{false}; ///< the next time, for the signature that it may lack
  };
  signed_parts signing;

  struct request_end {
    std::optional<result<generation_report>> outcome; ///< while the last statements are waited for
    bool closing{false};                              ///< a receipt is being made ...
    std::size_t closed_over{0};                       ///< ... of so many frames of evidence
    std::uint32_t ticks{0};
    bool later{false};                    ///< the end does not wait long for the receipt ...
    bool told{false};                     ///< ... and was told
    std::optional<error> not_withdrawn{}; ///< as of the report
  };
  request_end finish;

  /// Whether anything moves.
  struct idle_watch {
    std::uint64_t progress{0};      ///< events handled
    std::uint64_t progress_seen{0}; ///< at the last tick
    std::uint32_t ticks{0};         ///< since the start
    std::uint32_t ticks_idle{0};    ///< since anything moved
    step_patience patience;         ///< with stages that owe an answer
  };
  idle_watch watch;

  struct path_faults {
    error last_trouble;            ///< why there is no path, as far as known
    std::vector<path_stage> hosts; ///< of this request's stages so far, each node once
    std::optional<error> blamed;   ///< what a stage at fault said, until there is another path
    std::uint32_t blamed_since{0}; ///< tick
    std::optional<node_id> nonfinite_at; ///< the node that said so first
  };
  path_faults faults;

  struct request_times {
    std::chrono::milliseconds deadline{0};
    bool batch{false}; ///< it takes the time that others leave
    time_point started;
    std::optional<time_point> first_frame;
    std::optional<time_point> first_token;
    time_point last_token;
    time_point fed; ///< when the latest tokens were sent
    /// What was expected of a request with its first frame.
    struct outlook {
      step_forecast path;
      work_left rest; ///< `tokens` are those drawn before
      double margin{1};
      bool close{false};     ///< its deadline leaves little more time
      bool path_stays{true}; ///< so far
    };
    std::optional<outlook> expected;
    stage_times stages;
    std::optional<stage_index> slowest; ///< by the latest of these
    deadline_core due;
  };
  request_times times;
};

using lead_pointer = lead_actor::stateful_pointer<lead_state>;

/// In the current epoch.
template <class Order>
void tell_stage(lead_pointer self, const shard_actor& stage, Order order) {
  self->send(stage, to_stage<Order>{std::move(order), self->state.request,
                                    self->state.core->current_epoch()});
}

[[nodiscard]] lead_actor::behavior_type lead_behavior(lead_pointer self, generation_request request,
                                                      caf::actor requester,
                                                      lead_environment environment);

} // namespace ovir::actors
