#pragma once

#include "actors/protocol/draft_control.hpp"
#include "actors/protocol/reuse_told.hpp"
#include "compute/forward/pooled_rows.hpp"
#include "compute/model/transcript.hpp"
#include "compute/text/sampler.hpp"
#include "compute/text/token_logprobs.hpp"
#include "messages/digest.hpp"
#include "messages/error.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/ids.hpp"
#include "messages/limits/general.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/typed_actor.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// What the actors of a node say to one another (docs/adr/0005-recovery-by-replay.md). All of it
/// stays in the process, because it carries handles; a proxy (actors/protocol/remote.hpp) says the
/// same to another node, in the messages of actors/protocol/wire.hpp and the frames of
/// messages/wire/frame.hpp.
namespace ovir::actors {

/// An encoded frame, shared by whoever keeps or sends it. Starts at a multiple of 8.
using frame_bytes = std::shared_ptr<const std::vector<std::byte>>;

struct tensor_frame {
  frame_bytes bytes;
};

/// Whoever takes frames: the next stage, or the lead behind the last one.
using frame_sink = caf::typed_actor<caf::reacts_to<tensor_frame>>;

/// A token the lead drew and the digest of the logits it came from: what another lead needs to go
/// on in its place.
struct drawn_token {
  token_id token{0};
  digest logits;

  friend bool operator==(const drawn_token&, const drawn_token&) = default;
};

/// Logprobs of a token, shared by whoever keeps them; null where nobody asked for them.
using shared_logprobs = std::shared_ptr<const compute::token_logprobs>;

/// Everything a request is, as far as it has come. Kept by its lead's node and, because that sees
/// every token, by the first stage's.
struct request_log {
  request_id id;
  std::uint32_t generation{0}; ///< how many leads drove it before this one
  digest model;
  std::vector<token_id> prompt;
  compute::sampling_params sampling;
  std::uint32_t max_tokens{0};
  std::vector<std::string> stop;
  std::vector<drawn_token> drawn;
  /// Each token is told with its logprob and those of so many of the likeliest; none: with none.
  std::optional<std::uint32_t> logprobs{};
  /// The prompt is to be made a vector, and nothing drawn.
  std::optional<compute::pooling> embedding{};
  bool receipt{false}; ///< its stages sign, and whoever leads it makes a receipt

  friend bool operator==(const request_log&, const request_log&) = default;
};

/// What a last stage answers a step with.
enum class stage_answers : std::uint8_t {
  logits = 0,  ///< rows of them
  highest = 1, ///< the token of the highest, and their digest
  hidden = 2,  ///< rows of the hidden state behind the final norm
};

// Lead to stage

struct open_session;
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

struct path_found;
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

using lead_actor = caf::typed_actor<
    caf::reacts_to<tensor_frame>, caf::reacts_to<session_opened>, caf::reacts_to<step_done>,
    caf::reacts_to<session_finished>, caf::reacts_to<stage_failed>, caf::reacts_to<path_found>,
    caf::reacts_to<path_missing>, caf::reacts_to<path_lost>, caf::reacts_to<cancel_request>,
    caf::reacts_to<tokens_drawn>, caf::reacts_to<receipt_made>, caf::reacts_to<watch_tick>>;

/// What a pass of a shard found, and the end of its wait for others to join one; both sent to the
/// shard itself.
struct shard_pass_done;
struct shard_gather_over;

using shard_actor = caf::typed_actor<
    caf::reacts_to<tensor_frame>, caf::reacts_to<open_session>, caf::reacts_to<replay_boundaries>,
    caf::reacts_to<resend_logits>, caf::reacts_to<finish_session>, caf::reacts_to<close_session>,
    caf::reacts_to<log_token>, caf::reacts_to<name_windows>, caf::reacts_to<sign_evidence>,
    caf::reacts_to<shard_pass_done>, caf::reacts_to<shard_gather_over>>;

/// Starts a driver's epoch at a stage. The session is made when it is not there; it is kept when it
/// is, and answers `session_opened` once the step under way has ended.
struct open_session {
  request_id request;
  epoch driver;
  stage_index stage;
  std::uint32_t positions{0}; ///< most the request will reach
  position keep{0};           ///< a session that has gone further begins afresh
  lead_actor lead;
  frame_sink next; ///< the next stage, or the lead
  /// What another lead would need, for the first stage's node to keep; else null.
  std::shared_ptr<const request_log> log;
  stage_answers answers{stage_answers::logits}; ///< of the last stage
  /// `sign_evidence` follows; `session_opened` is not said before it came, so that no frame
  /// overtakes it.
  bool signs{false};
  /// Names of the windows known so far (`compute::window_name`), and how many of them may come from
  /// the cache: a session that took more from there begins afresh. Null: the cache is not used.
  std::shared_ptr<const std::vector<digest>> prefixes{};
  std::uint32_t reuse_windows{0};
  bool explain{false}; ///< the answer says how the lookup went
  bool traces{false};  ///< every step is told, with the time it was computed in
};

// Lead and whoever finds paths

/// A stage of a path.
struct path_stage {
  shard_actor handle;
  node_id node; ///< empty within one process
  layer_range layers;
};
/// Every stage is there. Sent again when a stage came back as another actor or elsewhere; a stage
/// whose handle is the same has kept its sessions.
struct path_found {
  std::vector<path_stage> stages;
};
/// Who computes which layers, in their order.
using layer_places = std::vector<std::pair<node_id, layer_range>>;
/// Asks for a path, and for news of it until the lead ends.
struct watch_path {
  request_id request;
  digest model;
  std::uint32_t positions{0};
  lead_actor lead;
  /// What was paid for: taken as it is where its nodes can, and mended where they cannot. Empty:
  /// any path.
  layer_places preferred;
};
/// A stage of the path is lost, refuses, is slow beyond its slack, or is at fault; or one that was
/// left turned out to have stated what is wrong: then the reason is `digest_mismatch`.
struct path_trouble {
  request_id request;
  shard_actor stage;
  error reason;
};
using path_provider = caf::typed_actor<caf::reacts_to<watch_path>, caf::reacts_to<path_trouble>>;

/// What of a request may be looked up in the cache, and kept there. It changes the speed, and
/// nothing else.
struct cache_use {
  bool prefixes{false};
  bool answers{false}; ///< only of requests that are the same again: greedy, or with a given seed
  digest salt{};       ///< of the owner; all zero: everybody may use it
  bool explain{false}; ///< the report says how lookups went
  friend bool operator==(const cache_use&, const cache_use&) = default;
};

/// A request as the scheduler takes it.
struct generation_request {
  request_id id;
  digest model;                 ///< all zero within one process, where there is but one
  std::vector<token_id> prompt; ///< at least one, all within the vocabulary
  compute::sampling_params sampling;
  std::uint32_t max_tokens{128};
  std::vector<std::string> stop;
  std::uint32_t kill_shards{0}; ///< drill
  std::uint64_t kill_seed{0};
  /// Of a request that another lead began: how often it changed hands, and the tokens so far.
  std::uint32_t generation{0};
  std::vector<drawn_token> drawn;
  speculation drafts{speculation::automatic}; ///< changes the speed, nothing else
  bool trace{false};                          ///< the report says what was done when
  /// When this node took it; only of one that is traced.
  std::optional<std::chrono::steady_clock::time_point> taken{};
  bool receipt{false}; ///< the stages sign, and the report has a receipt
  /// As of `request_log`. It changes how tokens are told, not which.
  std::optional<std::uint32_t> logprobs{};
  std::optional<compute::pooling> embedding{}; ///< likewise; then `max_tokens` is 0
  cache_use cache{};
  /// The reservation that a client signed, as an entry of the ledger with time 0, which pays for it
  /// on this node; null: this node pays.
  std::shared_ptr<const std::vector<std::byte>> payment{};
  /// From start to end, waiting for nodes included; over it, the request fails.
  std::chrono::seconds deadline{limits::request_deadline_max};
};

enum class generation_end : std::uint8_t { stop, length, cancelled };

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
  generation_end end{generation_end::length};
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
  std::vector<float> embedding{};                      ///< of length 1, where one was asked for
  std::uint64_t drafted{0};                            ///< tokens guessed and computed ...
  std::uint64_t accepted{0};                           ///< ... of which these were right
  std::vector<std::uint64_t> kv_bytes;                 ///< per stage
  std::vector<std::pair<node_id, layer_range>> path{}; ///< at the end
  std::chrono::nanoseconds time_to_first_token{0};
  std::chrono::nanoseconds prefill_time{0};
  std::chrono::nanoseconds decode_time{0};
  /// Bytes of messages/evidence/receipt.hpp, or why there are none; null where none was asked for.
  std::shared_ptr<const result<std::vector<std::byte>>> receipt{};
  std::shared_ptr<const request_trace> trace{}; ///< null where none was asked for
};

// To whoever asked for the generation

/// The `index`th token of the output and the text that became complete with it; `token` is absent
/// for what is left at the end. A lead that goes on for another tells everything again.
struct text_piece {
  request_id request;
  std::uint32_t index{0};
  std::optional<token_id> token;
  std::string text;
  shared_logprobs logprobs{}; ///< of `token`
};
struct generation_done {
  request_id request;
  result<generation_report> outcome{error{}};
};

/// To the scheduler.
struct submit_request {
  generation_request request;
  caf::actor requester;
};

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::tensor_frame)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::open_session)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::replay_boundaries)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::resend_logits)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::finish_session)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::close_session)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::session_opened)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::step_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::session_finished)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::stage_failed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_found)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_missing)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_lost)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::watch_path)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_trouble)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::log_token)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::sign_evidence)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::receipt_made)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::name_windows)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cancel_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::tokens_drawn)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::watch_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::shard_pass_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::shard_gather_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::text_piece)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::generation_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::submit_request)
