#pragma once

#include "actors/path/model_catalog.hpp"
#include "actors/path/path_news_actor.hpp"
#include "actors/path/twin_runs.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "actors/request/request_journal.hpp"
#include "actors/runtime/log.hpp"
#include "messages/request/path.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
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
  std::shared_ptr<const job_outcome> outcome; ///< of one that is over
};

/// What a finished request leaves behind: the report without its evidence, and the request.
struct job_outcome {
  generation_request request;
  result<generation_report> report{error{}};
  std::chrono::nanoseconds time{0}; ///< at this node, from the request to its last token
};

/// Starts a request. One that is known already and the same is left as it is, so that asking again
/// is always safe; another one of the same id is `invalid_argument`. The id is the cluster's, as of
/// `name_in_cluster`: it says whose the request is, here, in logs on disk and with whoever adopts
/// it.
struct submit_job {
  generation_request request;
  request_id named{}; ///< what its client calls it
};
/// Sends the tokens of a request from index `from` on, those drawn already first, and its end.
/// `not_found` when this node does not drive it, `invalid_argument` when it is another request than
/// the one of `terms`.
struct watch_job {
  request_id request;
  std::uint32_t from{0};
  caf::actor watcher;
  std::uint64_t tag{0};          ///< the watcher's name for this watch
  std::uint32_t bunch{1};        ///< tokens told at once; fewer only at the end
  std::optional<digest> terms{}; ///< `digest_of` its terms; none: not known
  request_id named{};            ///< what the client that watches calls it; 0: not told
};
struct unwatch_job {
  caf::actor watcher;
  std::uint64_t tag{0};
};
struct cancel_job {
  request_id request;
};
/// To itself: the pause before a request begins again is over.
struct begin_job_again {
  request_id request;
  std::uint32_t attempt{0}; ///< `recomputed` of its job
};
struct list_jobs {};
/// For the receipt of a request that is over; answered by `kept_receipt`. `not_found` when this
/// node does not drive it, it is not over, or it has none.
struct read_receipt {
  request_id request;
};
struct kept_receipt {
  std::shared_ptr<const result<std::vector<std::byte>>> made; ///< holds bytes
};
/// To a watcher.
struct job_token : told_token {
  std::uint64_t tag{0};
};
struct job_over {
  std::uint64_t tag{0};
  std::shared_ptr<const job_outcome> outcome;
};
/// Takes no new requests any more.
struct drain_jobs {};
/// Drives on what an earlier life of this node left behind.
struct resume_jobs {};

struct jobs_environment {
  node_id self;
  peers* links{nullptr};
  model_catalog* models{nullptr};
  log* journal{nullptr};
  storage::env* env{nullptr};
  request_journal* requests{nullptr};
  caf::actor scheduler;
  bool signs_all{false}; ///< every request gets a receipt, asked for or not, so that it is audited
  /// Requests of at least so many tokens, prompt and answer, are computed twice; 0: none.
  std::uint32_t twice_tokens{0};
  /// Takes each receipt, and whether something in it is known to be wrong; may be empty.
  std::function<void(std::shared_ptr<const std::vector<std::byte>>, bool suspect)> finished{};
};

/// The requests this node drives or drove lately, with every token so far, so that a client may
/// come and go: it asks by request id and token index. Bounded by the scheduler's admission and by
/// limits::jobs_kept_max.
struct jobs_state {
  struct watcher {
    caf::actor who;
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
    std::vector<watcher> watchers;
    std::shared_ptr<const job_outcome> outcome;
    storage::env::time_point started;
    storage::env::time_point deadline; ///< of all its runs
    node_id asked_by;                  ///< of a request that was adopted: who asked; else nobody
    bool alone{true};                  ///< no other request of this node ran meanwhile
    bool receipt_asked{false};         ///< else it is for audits alone
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
    bool paused{false};          ///< nothing of it runs until `begin_job_again` comes
  };
  const char* name{"jobs"};
  jobs_environment environment;
  std::map<request_id, job> jobs;
  std::deque<request_id> finished; ///< oldest first
  std::uint64_t logprobs_kept{0};  ///< entries, of these
  bool draining{false};
};

using jobs_pointer = caf::stateful_actor<jobs_state>*;

[[nodiscard]] caf::behavior jobs_behavior(jobs_pointer self, jobs_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::submit_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::watch_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::unwatch_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cancel_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::begin_job_again)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::list_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::read_receipt)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::kept_receipt)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::job_token)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::job_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::drain_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::resume_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<ovir::actors::job_view>)
