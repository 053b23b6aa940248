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
#include "messages/request/budget.hpp"
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
#include <type_traits>
#include <utility>
#include <vector>

/// The values that the actors of a node exchange (docs/adr/0011-recovery.md). Those with
/// handles of actors are in protocol_actor.hpp. A proxy (actors/protocol/remote_actor.hpp) says the
/// same to another node, in the messages of wire.hpp and the frames of messages/wire/frame.hpp.
///
/// A new message between lead and stage: its body here and in `stage_orders` or `stage_news`, its
/// form in messages/wire/wire.capnp and wire.cpp, and the two ends, actors/request and
/// actors/stage.
namespace ovir::compute {
struct lora_weights; // compute/model/lora.hpp
}

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

// Lead to stage. Each body is said within a process in a `to_stage`, and to another node in a
// `wire_message` (actors/protocol/wire.hpp).

/// What a stage may take from its cache, and keep there.
struct reuse_order {
  std::uint32_t windows{0};     ///< a session that took more from the cache begins afresh
  std::vector<digest> prefixes; ///< names of the windows known so far (`compute::window_name`)
  bool explain{false};          ///< the answer says how the lookup went
  /// Windows from this one on were computed from something else than what comes in now: the cache
  /// is not to give them again.
  std::optional<std::uint32_t> doubted_from{};

  friend bool operator==(const reuse_order&, const reuse_order&) = default;
};
/// What a session is computed with, where it is not the stage's own model: one with an adapter
/// shares the weights of its base, and passes with sessions of the base and of other adapters.
struct session_model {
  digest id;                                           ///< of zeros: the stage's own
  std::shared_ptr<const compute::lora_weights> lora{}; ///< null: as the stage's own
};

/// What a stage is to be from a driver's epoch on. Said in `open_session` (protocol_actor.hpp) or
/// `wire_open`.
struct session_order {
  std::uint32_t positions{0};                   ///< most the request will reach
  position keep{0};                             ///< a session that has gone further begins afresh
  stage_answers answers{stage_answers::logits}; ///< of the last stage
  /// `sign_evidence` follows; `session_opened` is not said before it came, so that no frame
  /// overtakes it.
  bool signs{false};
  bool traces{false}; ///< every step is told, with the time it was computed in
  /// What another lead would need, for the first stage's node to keep.
  std::optional<request_log> log{};
  std::optional<reuse_order> reuse{}; ///< absent: the cache is not used
  /// What windows are computed from is kept for no verifier, because who asked for it by a digest
  /// would learn that it is here; and what is stated is shown to no keeper as a claim.
  bool sealed{false};

  friend bool operator==(const session_order&, const session_order&) = default;
};
/// Orders the stage to send the boundaries it kept of [first, first + count) to the next stage.
struct replay_boundaries {
  position first{0};
  std::uint32_t count{0};
  std::uint32_t logit_rows{0};

  friend bool operator==(const replay_boundaries&, const replay_boundaries&) = default;
};
/// Orders the last stage to send the logits of position `at` again.
struct resend_logits {
  position at{0};

  friend bool operator==(const resend_logits&, const resend_logits&) = default;
};
/// Nothing more will be computed: asks for the leaves of windows begun.
struct finish_session {
  position at{0}; ///< the stage states its end once it holds so many positions

  friend bool operator==(const finish_session&, const finish_session&) = default;
};
/// The stage may forget the request.
struct close_session {
  friend bool operator==(const close_session&, const close_session&) = default;
};
/// To the first stage: another token was drawn, the `index`th of the output. Its node can then go
/// on with the request when the lead's is gone.
struct log_token {
  std::uint32_t index{0};
  drawn_token drawn;

  friend bool operator==(const log_token&, const log_token&) = default;
};
/// To the first stage: the client cancelled the request. No other lead is to be asked to go on with
/// it, even where this one's node is gone.
struct withdraw_log {
  friend bool operator==(const withdraw_log&, const withdraw_log&) = default;
};
/// Names of windows from `first` on, which the stage may keep its units under once they are
/// complete. What was named in the `session_order` is not named again.
struct name_windows {
  std::uint32_t first{0};
  std::vector<digest> prefixes; ///< at least one

  friend bool operator==(const name_windows&, const name_windows&) = default;
};
/// To a stage, behind the `session_order`: sign what is computed of the request. What is signed
/// goes in frames of evidence to the next stage and to the lead.
struct sign_evidence {
  evidence_order order;

  friend bool operator==(const sign_evidence&, const sign_evidence&) = default;
};

// Stage to lead, in a `from_stage` or a `wire_message`.

/// Answer to a `session_order`: the stage holds positions [0, length), and stated these leaves.
struct session_opened {
  position length{0};
  std::vector<compute::unit_leaf> leaves; ///< all completed so far
  /// The first position whose boundary the stage can replay: those before came from the cache.
  position replays_from{0};
  units_reused reused{}; ///< by this session, since it began
  /// Of windows that came from the cache, from the first on: what they were computed from, as in a
  /// statement.
  std::vector<digest> inputs{};
  std::optional<reuse_told> told{}; ///< where the order asked for it

  friend bool operator==(const session_opened&, const session_opened&) = default;
};
/// Whether all stages tell how long they held the step that brings this length.
[[nodiscard]] constexpr bool tells_time(position length) noexcept { return length % 16 == 0; }
/// What a step took. 32 bits on the wire: at most 71 minutes.
using step_time = std::chrono::duration<std::uint32_t, std::micro>;
/// Progress. The last stage leaves it out where its answer to the step says as much, but for steps
/// of which all stages tell how long they held them.
struct step_done {
  position length{0};
  std::uint64_t units{0}; ///< units this step completed, the last layer's included
  std::vector<compute::unit_leaf> leaves;
  step_time computed{0}; ///< of a request that is traced
  step_time held{0};     ///< since the last of what it needs came to the stage

  friend bool operator==(const step_done&, const step_done&) = default;
};
struct session_finished {
  position length{0};
  std::uint64_t units{0};
  std::uint64_t kv_bytes{0};
  std::vector<compute::unit_leaf> leaves;

  friend bool operator==(const session_finished&, const session_finished&) = default;
};
/// The stage cannot go on with the request: `peer_lost` when it lacks what was asked for and the
/// lead should start a new epoch. Anything else costs the stage its place; within a process it ends
/// the request.
struct stage_failed {
  error reason;

  friend bool operator==(const stage_failed&, const stage_failed&) = default;
};

template <class... Bodies>
struct message_list {
  template <class Body>
  static constexpr bool has = (std::is_same_v<Body, Bodies> || ...);
};
using stage_orders = message_list<replay_boundaries, resend_logits, finish_session, close_session,
                                  log_token, name_windows, sign_evidence, withdraw_log>;
using stage_news = message_list<session_opened, step_done, session_finished, stage_failed>;

/// An order, from the lead that drives the request in this epoch.
template <class Order>
requires(stage_orders::has<Order>) struct to_stage : Order {
  request_id request;
  epoch driver;
};
/// News. The epoch says which driver asked; a lead takes leaves of any, progress of its own.
template <class News>
requires(stage_news::has<News>) struct from_stage : News {
  stage_index stage;
  epoch driver;
  /// The bytes of an answer from another node, which count against its connection while they are
  /// held.
  frame_bytes read_from{};
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
/// What a draft model guessed behind position `at`, of a `guess_effect`; or 0, after it computed a
/// part of the history.
struct guess_made {
  position at{0};
  std::vector<token_id> tokens;
  bool lacks_more{false}; ///< of the history
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

/// Whether a request is one of two runs that have no node in common (`twin_of`).
enum class twin_rule : std::uint8_t {
  alone,   ///< it is the only run
  waits,   ///< where there are no nodes for it beside its twin's
  refused, ///< where there are none when it begins
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
  /// The receipt is for audits alone: where statements are late, the end is told without it, and
  /// `receipt_closed` follows.
  bool receipt_later{false};
  cache_use cache{};
  /// The reservation that a client signed, as an entry of the ledger with time 0, which pays for it
  /// on this node; null: this node pays.
  std::shared_ptr<const std::vector<std::byte>> payment{};
  /// Of the API key that pays for it; none: this node pays.
  std::optional<budget_use> budget{};
  /// From start to end, waiting for nodes included; over it, the request fails. One that the path
  /// cannot meet is refused at once; that of limits::request_deadline_max is none.
  std::chrono::milliseconds deadline{limits::request_deadline_max};
  /// Its stages compute it when others leave them time (limits::slack_batch).
  bool batch{false};
  twin_rule twin{twin_rule::alone};
  privacy_mode privacy{privacy_mode::none}; ///< as it was asked for; `ends` is what follows

  /// Whatever its client would have paid with.
  void paid_by_node() {
    payment = nullptr;
    budget.reset();
  }
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
  /// Of a cancelled one whose cancellation the disk did not take: a loss of power may bring the
  /// request back.
  std::optional<error> not_withdrawn{};
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
struct receipt_closed {
  request_id request;
  std::shared_ptr<const std::vector<std::byte>> bytes;
};
/// A receipt of what another path stated, or of the part that all stages did: for audits.
struct receipt_part {
  request_id request;
  std::shared_ptr<const std::vector<std::byte>> bytes;
};

} // namespace ovir::actors
