#pragma once

#include "actors/protocol/draft_control.hpp"
#include "actors/protocol/reuse_told.hpp"
#include "compute/model/transcript.hpp"
#include "messages/digest.hpp"
#include "messages/error.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/ids.hpp"
#include "messages/limits/general.hpp"
#include "messages/node_id.hpp"
#include "messages/request/finish_reason.hpp"
#include "messages/request/path.hpp"
#include "messages/request/request.hpp"
#include "messages/result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The values that the actors of a node exchange (docs/adr/0011-recovery.md). Those with
/// handles of actors are in protocol_actor.hpp. A proxy (actors/protocol/remote_actor.hpp) says the
/// same to another node, in the messages of wire.hpp and the frames of messages/wire/frame.hpp.
namespace ovir::actors {

/// An encoded frame, shared by all that keep or send it. Starts at a multiple of 8.
using frame_bytes = std::shared_ptr<const std::vector<std::byte>>;

struct tensor_frame {
  frame_bytes bytes;
};

/// What a last stage answers a step with.
enum class stage_answers : std::uint8_t {
  logits = 0,  ///< rows of them
  highest = 1, ///< the token of the highest, and their digest
  hidden = 2,  ///< rows of the hidden state behind the final norm
};

// Lead to stage

/// Orders the stage to send the boundaries it kept of [first, first + count) to the next stage.
struct replay_boundaries {
  request_id request;
  epoch driver;
  position first{0};
  std::uint32_t count{0};
  std::uint32_t logit_rows{0};
};
/// Orders the last stage to send the logits of position `at` again.
struct resend_logits {
  request_id request;
  epoch driver;
  position at{0};
};
/// Nothing more will be computed: asks for the leaves of windows begun.
struct finish_session {
  request_id request;
  epoch driver;
  position at{0}; ///< the stage states its end once it holds so many positions
};
/// The stage may forget the request.
struct close_session {
  request_id request;
};
/// Names of windows from `first` on, which the stage may keep its units under once they are
/// complete. What was named in `open_session` is not named again.
struct name_windows {
  request_id request;
  epoch driver;
  std::uint32_t first{0};
  std::vector<digest> prefixes;
};
/// To the first stage: another token was drawn, the `index`th of the output. Its node can then go
/// on with the request when the lead's is gone.
struct log_token {
  request_id request;
  epoch driver;
  std::uint32_t index{0};
  drawn_token drawn;
};

/// To a stage, behind `open_session`: sign what is computed of the request. What is signed goes in
/// frames of evidence to the next stage and to the lead.
struct sign_evidence {
  request_id request;
  epoch driver;
  evidence_order order;
};

// Stage to lead. The epoch says which driver asked; a lead takes leaves of any, progress of its
// own. `read_from` are the bytes of an answer from another node, which count against its connection
// while they are held.

/// Answer to `open_session`: the stage holds positions [0, length), and stated these leaves.
struct session_opened {
  stage_index stage;
  epoch driver;
  position length{0};
  std::vector<compute::unit_leaf> leaves;
  frame_bytes read_from{};
  /// The first position whose boundary the stage can replay: those before came from the cache.
  position replays_from{0};
  units_reused reused{};            ///< by this session, since it began
  std::optional<reuse_told> told{}; ///< where the order asked for it
};
/// Progress. The last stage leaves it out where its answer to the step says as much.
struct step_done {
  stage_index stage;
  epoch driver;
  position length{0};
  std::uint64_t units{0}; ///< units this step completed, the last layer's included
  std::vector<compute::unit_leaf> leaves;
  frame_bytes read_from{};
  std::chrono::nanoseconds computed{0}; ///< of a request that is traced
};
struct session_finished {
  stage_index stage;
  epoch driver;
  position length{0};
  std::uint64_t units{0};
  std::uint64_t kv_bytes{0};
  std::vector<compute::unit_leaf> leaves;
  frame_bytes read_from{};
};
/// The stage cannot go on with the request: `peer_lost` when it lacks what was asked for and the
/// lead should start a new epoch. Anything else costs the stage its place; within a process it ends
/// the request.
struct stage_failed {
  stage_index stage;
  epoch driver;
  error reason;
};

// To the lead from others

/// There is no path now, and why; one is sent as soon as there is.
struct path_missing {
  error reason;
};
/// No path will be found: the request ends with this.
struct path_lost {
  error reason;
};
struct cancel_request {
  request_id request;
};
/// The lead's receipt, made beside its thread, or why there is none.
struct receipt_made {
  result<std::vector<std::byte>> bytes{error{}};
};
/// What a draw found: the token after position `at`, and those after the drafts that were right.
struct tokens_drawn {
  position at{0};
  std::vector<drawn_token> drawn;          ///< at least one
  std::vector<shared_logprobs> logprobs{}; ///< of each of these, or none at all
};
/// Sent to oneself by the clock, to see whether anything moved.
struct watch_tick {};

/// What of a request may be looked up in the cache, and kept there. It changes the speed, and
/// nothing else.
struct cache_use {
  bool prefixes{false};
  bool answers{false}; ///< only of requests that are the same again: greedy, or with a given seed
  digest salt{};       ///< of the owner; all zero: everybody may use it
  bool explain{false}; ///< the report says how lookups went
  friend bool operator==(const cache_use&, const cache_use&) = default;
};

/// A request as the scheduler takes it. One that another lead began says how often it changed
/// hands, and the tokens so far.
struct generation_request : request_log {
  std::uint32_t kill_shards{0}; ///< drill
  std::uint64_t kill_seed{0};
  speculation drafts{speculation::automatic}; ///< changes the speed, nothing else
  bool trace{false};                          ///< the report says what was done when
  /// When this node took it; only of one that is traced.
  std::optional<std::chrono::steady_clock::time_point> taken{};
  cache_use cache{};
  /// The reservation that a client signed, as an entry of the ledger with time 0, which pays for it
  /// on this node; null: this node pays.
  std::shared_ptr<const std::vector<std::byte>> payment{};
  /// From start to end, waiting for nodes included; over it, the request fails.
  std::chrono::seconds deadline{limits::request_deadline_max};
};

/// What a stage took from its node's cache, and why no more.
struct stage_reuse {
  units_reused from;
  reuse_told told;
};

struct request_trace;

/// What a finished request produced.
struct generation_report {
  std::vector<token_id> tokens;
  std::string text;
  finish_reason end{finish_reason::length};
  digest transcript;
  std::uint32_t positions{0};                      ///< computed
  std::vector<compute::unit_leaf> leaves;          ///< what the transcript was made from ...
  std::vector<std::pair<position, digest>> logits; ///< ... in order
  std::uint64_t units_computed{0};
  units_reused reused{};
  bool answer_reused{false}; ///< the whole answer was kept from an earlier time
  /// Per stage, where the request asked for it; nothing for a stage that did not tell.
  std::vector<std::optional<stage_reuse>> explained{};
  std::uint32_t restarts{0};
  std::vector<float> embedding{};      ///< of length 1, where one was asked for
  std::uint64_t drafted{0};            ///< tokens guessed and computed ...
  std::uint64_t accepted{0};           ///< ... of which these were right
  std::vector<std::uint64_t> kv_bytes; ///< per stage
  layer_places path{};                 ///< at the end
  std::chrono::nanoseconds time_to_first_token{0};
  std::chrono::nanoseconds prefill_time{0};
  std::chrono::nanoseconds decode_time{0};
  /// Bytes of messages/evidence/receipt.hpp, or why there are none; null where none was asked for.
  std::shared_ptr<const result<std::vector<std::byte>>> receipt{};
  std::shared_ptr<const request_trace> trace{}; ///< null where none was asked for
};

// To the actor that submitted the request

/// A token of the output. A lead that goes on for another tells everything again.
struct text_piece : told_token {
  request_id request;
  bool tail{false}; ///< text that is left at the end, without a token
};
struct generation_done {
  request_id request;
  result<generation_report> outcome{error{}};
};

} // namespace ovir::actors
