#pragma once

#include "actors/path/request_pace.hpp"
#include "actors/path/twin_runs.hpp"
#include "actors/protocol/protocol.hpp"
#include "actors/request/private_request.hpp"
#include "actors/request/request_journal.hpp"
#include "actors/runtime/log.hpp"
#include "compute/model/model.hpp"
#include "messages/request/path.hpp"
#include "storage/env/env.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace ovir::actors {

enum class job_state : std::uint8_t { running, done, failed };

/// Which path computed the tokens from index `from` on, until the next one of its list.
struct job_path {
  std::uint32_t from{0};
  layer_places path;
};

struct job_outcome;

/// A request as clients see it.
struct job_view {
  request_id request;
  job_state state{job_state::running};
  digest model;
  std::uint32_t prompt{0}; ///< tokens
  std::uint32_t drawn{0};
  std::uint32_t max_tokens{0};
  std::uint32_t generation{0};
  request_id named; ///< what its client calls it; 0: it was not asked for here
  std::uint64_t age_ms{0};
  double decode_tps{0}; ///< of one that is done, ran alone and undisturbed; 0: not known
  std::optional<error> failure;
  std::optional<finish_reason> end;
  /// By token; of one that was begun or is computed here, at most limits::job_paths_max. Tokens
  /// that were kept from an earlier answer have none.
  std::vector<job_path> paths;
  std::shared_ptr<const request_pace> pace;   ///< null: nothing was seen yet
  std::shared_ptr<const job_outcome> outcome; ///< of one that is over
};

/// What a finished request leaves behind: the report without its evidence, and the request.
struct job_outcome {
  generation_request request;
  result<generation_report> report{error{}};
  std::chrono::nanoseconds time{0}; ///< at this node, from the request to its last token

  /// The budget that was to pay had too little left: it may have more when it is asked for again.
  [[nodiscard]] bool unpaid() const {
    return !report && report.error().code == errc::over_limit && request.budget.has_value();
  }
};

// What the jobs of a node ask their shell to do.
struct run_effect { ///< hand it to the scheduler
  generation_request request;
};
struct cancel_effect { ///< likewise
  request_id request;
};
/// Call `go_on` after the pause.
struct pause_effect {
  request_id request;
  std::uint32_t attempt{0};
  std::chrono::milliseconds pause{0};
};
struct token_effect {
  std::uint64_t watcher{0};
  std::uint64_t tag{0};
  told_token token;
};
struct over_effect {
  std::uint64_t watcher{0};
  std::uint64_t tag{0};
  std::shared_ptr<const job_outcome> outcome;
};
struct receipt_effect {
  request_id request;
  std::shared_ptr<const std::vector<std::byte>> bytes;
  bool suspect{false}; ///< something in it is known to be wrong
  bool kept{false};    ///< of an earlier request with the same answer: it was audited then
  bool part{false};    ///< as of `receipt_part`
};
struct note_effect { ///< for the log
  log_level level{log_level::info};
  request_id request;
  std::string text;
};
using job_effect = std::variant<run_effect, cancel_effect, pause_effect, token_effect, over_effect,
                                receipt_effect, note_effect>;

/// Of a request that is not known, nothing of this.
struct job_phase {
  bool under_way{false};
  bool paused{false};                         ///< nothing of it runs, and it is begun again
  std::shared_ptr<const job_outcome> outcome; ///< of one that is over
};

struct jobs_settings {
  bool signs_all{false}; ///< every request gets a receipt, asked for or not, so that it is audited
  /// Requests of at least so many tokens, prompt and answer, are computed twice; 0: none.
  std::uint32_t twice_tokens{0};
  reveal_when reveal{reveal_when::at_once}; ///< of every request, whoever asks
  privacy_settings privacy;
};

/// The requests this node drives or drove lately, with every token so far, so that a client may
/// come and go: it asks by request id and token index. Bounded by the scheduler's admission and by
/// limits::jobs_kept_max. Events in, effects out; no CAF, no clock.
class jobs_core {
public:
  using time_point = storage::env::time_point;
  using effects = std::vector<job_effect>;

  struct watch {
    request_id request;
    std::uint32_t from{0};
    std::uint64_t watcher{0};      ///< the shell's name for who is told
    std::uint64_t tag{0};          ///< the watcher's name for this watch
    std::uint32_t bunch{1};        ///< tokens told at once; fewer only at the end
    std::optional<digest> terms{}; ///< `digest_of` its terms; none: not known
    request_id named{};            ///< what the client that watches calls it; 0: not told
    /// It would be asked for again: a failure that may pass is not told.
    bool or_anew{false};
    reveal_when reveal{reveal_when::at_once}; ///< after: only of one that is computed twice
  };

  explicit jobs_core(const jobs_settings& settings) : settings_(settings) {}

  /// A request that is known and the same is left as it is, or begins anew where it failed for a
  /// reason that may have passed. One from a log that is to be revealed after begins without what
  /// was drawn: one path alone computed it. `model`: its configuration with the
  /// context that is promised; null: not known here. `invalid_argument`, `busy`, `not_found`.
  [[nodiscard]] result<void> start(generation_request request, request_id named, bool from_log,
                                   const compute::model_config* model, time_point now,
                                   effects& out);
  /// `not_found`, `invalid_argument`.
  [[nodiscard]] result<void> begin_watch(const watch& command, effects& out);
  /// All watches of it, or those of one tag.
  void end_watch(std::uint64_t watcher, std::uint64_t tag);
  [[nodiscard]] bool is_watched_by(std::uint64_t watcher) const;
  /// `asked`: its client wants it to end. Otherwise it is begun anew when it is asked for again.
  /// `why` is told of one of which nothing runs that could end.
  [[nodiscard]] result<void> cancel(request_id id, bool asked, const error& why, time_point now,
                                    effects& out);
  void go_on(request_id id, std::uint32_t attempt, time_point now, effects& out);

  void take_piece(const text_piece& piece, effects& out);
  /// The path that computes the tokens from index `from` on.
  void take_path(request_id id, std::uint32_t from, layer_places path);
  void take_pace(request_id id, request_pace pace);
  void take_end(generation_done& done, time_point now, effects& out);

  /// Of what a node asks to go on with nothing can be believed: it gets a share of the places, and
  /// asks again for the rest. `vocabulary`: of the model, 0 where it is not known.
  [[nodiscard]] result<void> check_adoption(const node_id& from, const request_log& log,
                                            std::size_t vocabulary) const;
  /// Precondition: `knows`.
  void note_adopted(request_id id, const node_id& from) { jobs_.at(id).asked_by = from; }
  [[nodiscard]] bool knows(request_id id) const { return jobs_.contains(id); }
  /// Whether it is known, and any node may be sent it.
  [[nodiscard]] bool is_open(request_id id) const {
    const auto found = jobs_.find(id);
    return found != jobs_.end() && !found->second.request.ends;
  }
  /// Whether it is known, and is not asked of nodes of this tier alone.
  [[nodiscard]] bool is_of_another(request_id id, const tier_demand& tier) const {
    const auto found = jobs_.find(id);
    return found != jobs_.end() && found->second.request.tier != tier;
  }
  /// Of a request whose scheduler ended: it was not gone on with here, or not for a reason that
  /// another attempt may find gone, as where the ledger's keeper did not answer.
  [[nodiscard]] bool may_go_on(request_id id) const;
  [[nodiscard]] job_phase phase_of(request_id id) const;

  /// Takes no new requests any more.
  void drain() noexcept { draining_ = true; }
  /// The oldest first.
  [[nodiscard]] std::vector<job_view> list(time_point now) const;
  /// `not_found` when this node does not drive it, it is not over, or it has none.
  [[nodiscard]] result<std::shared_ptr<const result<std::vector<std::byte>>>>
  receipt_of(request_id id) const;

private:
  struct watcher {
    std::uint64_t who{0};
    std::uint64_t tag{0};
    std::uint32_t next{0};
    std::uint32_t bunch{1};
  };
  struct piece {
    token_id token{0};
    std::string text;
    shared_logprobs logprobs{};
  };
  struct job {
    generation_request request;
    std::vector<piece> pieces;
    std::vector<job_path> paths;
    std::shared_ptr<const request_pace> pace;
    std::vector<watcher> watchers;
    std::shared_ptr<const job_outcome> outcome;
    storage::env::time_point started;
    storage::env::time_point deadline; ///< of all its runs
    node_id asked_by;                  ///< of a request that was adopted: who asked; else empty
    bool alone{true};                  ///< no other request of this node ran meanwhile
    bool receipt_asked{false};         ///< else it is for audits alone
    bool from_log{false};              ///< another lead began it: somebody heard it already
    request_id named;                  ///< as in `job_view`
    digest terms;                      ///< what it was asked as
    /// Of one from a log that does not say for whom its receipt is: without it.
    std::optional<digest> terms_unsigned;
    /// Of a request that is computed twice, over nodes that have none in common: what is told was
    /// computed by both.
    struct doubled {
      twin_runs runs;
      std::optional<result<generation_report>> first;
      std::optional<result<generation_report>> second;
      bool stopped{false}; ///< both were told to end
    };
    std::optional<doubled> twice;
    std::uint32_t recomputed{0}; ///< how often it began again, because something was wrong
    bool left{false};            ///< its gateway gave it up
    bool cancelled{false};       ///< it was told to end
    bool paused{false};          ///< nothing of it runs until `begin_job_again` comes
  };

  [[nodiscard]] static result<void> check_reveal(const job& j, reveal_when wanted);
  static void submit(const job& j, effects& out);
  static void send_pieces(const job& j, watcher& w, effects& out);
  static void correct(job& j, std::uint32_t index, effects& out);
  static void tell(job& j, std::uint32_t index, piece told, effects& out);
  static void stop_both(job& j, effects& out);
  static void take_twin_piece(job& j, const text_piece& piece, effects& out);
  static void hand_over_receipt(const job& j, generation_report& report, bool suspect,
                                effects& out);
  static void drop_what_one_has(const job& j, generation_report& report, effects& out);
  [[nodiscard]] static bool both_ended(job& j, generation_done& done, effects& out);
  [[nodiscard]] static bool begin_again(job& j, const error& reason, time_point now, effects& out);
  void end_job(job& j, generation_done& done, time_point now, effects& out);
  void forget_old();
  /// Where it failed and the same call may succeed later or elsewhere.
  [[nodiscard]] static bool may_pass(const job& j);
  [[nodiscard]] job* job_of(request_id id);

  jobs_settings settings_;
  std::map<request_id, job> jobs_;
  std::deque<request_id> finished_; ///< oldest first
  std::uint64_t logprobs_kept_{0};  ///< entries, of these
  bool draining_{false};
};

} // namespace ovir::actors
