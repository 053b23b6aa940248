#pragma once

#include "actors/payment/credit.hpp"
#include "actors/protocol/protocol.hpp"
#include "actors/request/generation_output.hpp"
#include "actors/request/stage_table.hpp"
#include "actors/request/stated_units.hpp"
#include "actors/reuse/answer_record.hpp"
#include "actors/stage/kill_plan.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace ovir::actors {

/// The path a request runs through.
struct path_shape {
  std::uint32_t stages{1};
  std::uint32_t prefill_chunk{64}; ///< positions per frame while more than one are known
  std::uint32_t hashed_layers{0};  ///< layers of the model, less one
  std::uint32_t context{0};        ///< positions the model may see
  std::uint32_t dim{0};            ///< of the model's hidden states
};

// What a lead asks its shell to do.
struct open_effect { ///< `open_session` to the stage, in the current epoch
  stage_index stage;
};
/// The tokens of [first, first + count) to the first stage, and behind them guesses.
struct tokens_effect {
  position first;
  std::uint32_t count;
  std::uint32_t logit_rows; ///< those of the guesses not counted
  std::vector<token_id> drafts;
};
/// A model is to guess `count` tokens behind position `at`; the next step waits for `on_guess`.
struct guess_effect {
  position at;
  std::uint32_t count;
};
struct replay_effect { ///< `replay_boundaries` to the stage
  stage_index stage;
  position first;
  std::uint32_t count;
  std::uint32_t logit_rows;
};
struct resend_effect { ///< `resend_logits` to the last stage
  position at;
};
struct finish_effect { ///< `finish_session` to the stage
  stage_index stage;
  position at;
};
/// Draw the token after position `at` and hash its logits; as long as what was drawn is the next of
/// the drafts, do the same with the next row of logits.
struct draw_effect {
  position at;
  std::vector<token_id> drafts;
};
/// A token of the output and the text that became complete with it.
struct drawn_effect {
  std::uint32_t index;
  drawn_token drawn;
  std::string text;
  shared_logprobs logprobs{};
};
struct text_effect { ///< what was left when generation ended
  std::string text;
};
struct kill_effect { ///< drill
  stage_index stage;
};
struct end_effect { ///< the request is over: `outcome()` has what came of it
};
/// What this stage answered is its own fault: another is to take its place. It is down for the
/// core.
struct blame_effect {
  stage_index stage;
  error reason;
};
/// What a host stated, which is left already, is wrong: two others agree.
struct accuse_effect {
  std::uint32_t host{0};
  error reason;
};
using lead_effect = std::variant<open_effect, tokens_effect, replay_effect, resend_effect,
                                 finish_effect, draw_effect, drawn_effect, text_effect, kill_effect,
                                 end_effect, blame_effect, accuse_effect, guess_effect>;

/// Drives one request through its path: prefill, decode, recovery, transcript. A state machine:
/// events in, effects out; no CAF, no clock. docs/adr/0011-recovery.md is its plan.
///
/// An epoch begins when all stages are there: each is opened and states its length. Then the edges
/// are fed from the last to the first, each until all stages behind it hold what its source holds:
/// edge e > 0 by ordering stage e - 1 to replay kept boundaries, edge 0 by sending tokens. In a
/// path where nothing was lost all edges but 0 are done at once, so this is also normal operation.
///
/// Stages elsewhere are not trusted: an answer that no honest stage gives costs that stage its
/// place, and what it stated is forgotten. The request ends where there is nobody to take a place,
/// which is for the shell to find out.
class lead_core {
public:
  using effects = std::vector<lead_effect>;

  /// `vocabulary` outlives the core. The prompt is not empty and fits the context.
  lead_core(generation_request request, path_shape shape, const compute::tokenizer& vocabulary);

  // Before any event, in this order, each at most once:
  /// Stages may take windows from the cache.
  void use_cache() noexcept { reuse_ = true; }
  /// A model guesses for the request.
  void use_model() noexcept { output_.use_model(); }
  /// The first tokens of the answer, known from an earlier time: as if an earlier lead had drawn
  /// them. What goes beyond the request's limits is ignored. Where logprobs are wanted they are not
  /// told: they are guesses, which are drawn again from logits that are computed again.
  void adopt(std::vector<drawn_token> drawn) { output_.adopt(std::move(drawn)); }
  /// The answer, known whole. Where it turns out not to be one to this request, whatever its
  /// digests say, the request goes on behind it. Precondition: `agrees`.
  [[nodiscard]] effects conclude_with(const answer_record& answer, bool from_disk);
  /// What an earlier lead of this request drew (`generation_request::drawn`): told again, in order.
  /// As of `adopt` where logprobs are wanted.
  [[nodiscard]] effects resume();

  // Events
  /// All stages are there. `kept[i]`: stage i is the same actor as it was on the path before.
  /// `places`: one for each stage, or none where nobody can take a stage's place; then a fault of a
  /// stage ends the request.
  [[nodiscard]] effects on_path(const std::vector<bool>& kept,
                                std::vector<stage_place> places = {});
  /// A stage is gone or given up: nothing moves until there is a path again.
  [[nodiscard]] effects on_stage_down(stage_index stage);
  [[nodiscard]] effects on_opened(const from_stage<session_opened>& e);
  [[nodiscard]] effects on_step(const from_stage<step_done>& e);
  [[nodiscard]] effects on_finished(const from_stage<session_finished>& e);
  /// A stage reported an error.
  [[nodiscard]] effects on_failed(const from_stage<stage_failed>& e);
  /// Logits of positions [first, first + count) arrived in a frame of `driver`: the last stage has
  /// computed the first of them, and may not report that separately.
  [[nodiscard]] effects on_logits(epoch driver, position first, std::uint32_t count);
  /// Of a request that makes an embedding: hidden rows arrived in a frame of `driver`, up to
  /// `computed`; those from `next` on are still wanted. Rows are determined, so those of an epoch
  /// that is over count, too; how far a stage is does not.
  [[nodiscard]] effects on_hidden(epoch driver, position computed, position next);
  /// The last stage sent, in a frame of `driver`, what is no answer to this request.
  [[nodiscard]] effects on_bad_answer(epoch driver, error reason);
  /// `step`: what it took from the frame that was fed to the draw.
  [[nodiscard]] effects on_drawn(const tokens_drawn& e, std::chrono::nanoseconds step);
  /// What came of a `guess_effect`; perhaps nothing.
  [[nodiscard]] effects on_guess(position at, std::vector<token_id> tokens) {
    effects out;
    output_.take_guess(at, std::move(tokens));
    drive(out);
    return out;
  }
  [[nodiscard]] effects on_cancel();
  /// The request cannot go on at all.
  [[nodiscard]] effects fail_with(error reason);

  [[nodiscard]] epoch current_epoch() const noexcept { return run_.driver; }
  /// Positions that this stage said it holds.
  [[nodiscard]] position length_of(stage_index s) const noexcept { return stages_[s].length; }
  /// Positions to be computed as far as known: no stage of this request can be further.
  [[nodiscard]] position target() const noexcept { return output_.target; }
  /// By its client, whether or not what is computed has ended.
  [[nodiscard]] bool is_cancelled() const noexcept {
    return output_.ended && output_.end_reason() == finish_reason::cancelled;
  }
  /// A stage that holds more positions begins afresh: nobody knows what they were, or what it
  /// answered was lost.
  [[nodiscard]] position keeps(stage_index s) const noexcept {
    return output_.hidden_next && s.value + 1 == stages_.size() ? *output_.hidden_next
                                                                : output_.target;
  }
  /// Stages that have not computed all they were given, first one first; empty when none is owed
  /// anything. What a deadline is about.
  [[nodiscard]] std::optional<stage_index> awaited() const noexcept;
  /// What is owed is a step of one position and the drafts behind it.
  [[nodiscard]] bool owes_one_step() const noexcept {
    return run_.now == phase::driving && run_.edge == 0 && run_.step_counts;
  }
  /// Grows with everything that brings the request further, and with nothing else a stage says:
  /// with whole frames, so that a stage that computes position by position is not taken for one
  /// that keeps up.
  [[nodiscard]] std::uint64_t moves() const noexcept { return moves_; }
  /// Most positions the request can reach: what stages reserve.
  [[nodiscard]] std::uint32_t positions_max() const noexcept { return output_.positions_max(); }
  /// Windows that may come from the cache in this epoch.
  [[nodiscard]] std::uint32_t reuse_windows() const noexcept { return reuse_windows_; }
  /// Windows from this one on did not fit; caches are not to give them again.
  [[nodiscard]] std::optional<std::uint32_t> doubted_from() const noexcept { return doubted_from_; }
  /// Windows that all stages hold and have handed over for reuse, as far as they said in this
  /// epoch.
  [[nodiscard]] std::uint32_t windows_computed() const noexcept {
    const bool moving = run_.now == phase::driving || run_.now == phase::finishing;
    return moving ? stages_.stated() / limits::window_positions : 0;
  }
  [[nodiscard]] bool is_over() const noexcept { return run_.now == phase::over; }
  /// Prompt and output so far.
  [[nodiscard]] std::span<const token_id> history() const noexcept { return output_.history; }
  /// Of each position that a token was drawn from so far, the digest of its logits.
  [[nodiscard]] std::vector<std::pair<position, digest>> draws() const {
    return stated_.transcript().logits();
  }
  [[nodiscard]] std::size_t output_count() const noexcept { return output_.count(); }
  /// Guesses that the step under way carries.
  [[nodiscard]] std::size_t guesses() const noexcept { return output_.drafts.size(); }
  /// Times are the shell's to fill in. Call once, after `end_effect`.
  [[nodiscard]] result<generation_report> outcome();

private:
  enum class phase : std::uint8_t {
    gathering, ///< some stage is not there
    opening,   ///< waiting for lengths
    driving,
    finishing, ///< all is computed; waiting for open leaves
    over,
  };
  [[nodiscard]] bool current(stage_index s, epoch e) const noexcept;
  [[nodiscard]] bool add_leaves(stage_index s, epoch e, bool ends,
                                const std::vector<compute::unit_leaf>& leaves, effects& out);
  [[nodiscard]] position length_max() const noexcept {
    return output_.ended ? output_.positions_max() : output_.target;
  }
  [[nodiscard]] bool too_long(stage_index s, epoch e, position length, effects& out);
  void take_length(stage_index s, position length) {
    moves_ += stages_.take_length(s, length, run_.cursor, shape_.prefill_chunk) ? 1 : 0;
  }
  void lacks_something(stage_index s, effects& out);
  void blame(stage_index s, error reason, effects& out);
  void gather(effects& out);
  void begin_epoch(effects& out);
  [[nodiscard]] bool close_gap(effects& out);
  void enter_edge(std::uint32_t edge);
  [[nodiscard]] position goal() const noexcept {
    return run_.edge == 0 ? output_.target : run_.edge_goal;
  }
  void drive(effects& out);
  void feed(effects& out);
  void all_computed(effects& out);
  void ask_for_ends(effects& out);
  void take_drawn(const drawn_token& drawn, shared_logprobs logprobs, effects& out);
  void drill(effects& out);
  void try_complete(effects& out);
  void conclude(effects& out);
  void fail(error reason, effects& out);

  path_shape shape_;
  kill_plan kills_;
  stage_table stages_;
  credit credit_;
  bool had_path_{false};
  bool reuse_{false};
  std::uint32_t reuse_windows_{0};
  std::optional<std::uint32_t> doubted_from_; ///< windows that did not fit, in this epoch
  std::uint64_t moves_{0};
  std::uint32_t restarts_{0};

  /// Where the path is.
  struct progress {
    epoch driver{0};
    phase now{phase::gathering};
    std::uint32_t edge{0};
    position edge_goal{0};     ///< of an edge beyond 0
    position cursor{0};        ///< fed into the edge so far
    position sent{0};          ///< most ever sent into edge 0
    bool step_counts{false};   ///< under way is a step of one known position, and nothing was lost
    bool resend_asked{false};  ///< in this epoch
    bool finish_asked{false};  ///< in this epoch, of all that have not stated their end
    bool blames_source{false}; ///< the next stage that lacks things blames the stage before it
    std::uint32_t complaints{0}; ///< epochs begun because a stage lacked something, since the last
                                 ///< token
    std::uint32_t gaps{0}; ///< epochs begun on this path because a stage lacked what another reused
  };
  progress run_;
  generation_output output_;
  stated_units stated_;
  generation_report report_;
  std::optional<error> failure_;
};

} // namespace ovir::actors
