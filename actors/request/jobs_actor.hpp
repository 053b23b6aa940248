#pragma once

#include "actors/path/model_catalog.hpp"
#include "actors/path/path_news_actor.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "actors/request/jobs_core.hpp"
#include "actors/runtime/log.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

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
  std::uint64_t tag{0};                     ///< the watcher's name for this watch
  std::uint32_t bunch{1};                   ///< tokens told at once; fewer only at the end
  std::optional<digest> terms{};            ///< `digest_of` its terms; none: not known
  request_id named{};                       ///< what the client that watches calls it; 0: not told
  bool or_anew{false};                      ///< as in `jobs_core::watch`
  reveal_when reveal{reveal_when::at_once}; ///< likewise
  /// ends: `invalid_argument` where any node may be sent it.
  privacy_mode privacy{privacy_mode::none};
  std::optional<tier_demand> tier{}; ///< likewise, where other nodes may compute it
};
struct unwatch_job {
  caf::actor watcher;
  std::uint64_t tag{0};
};
/// Answered once the request is over.
struct cancel_job {
  request_id request;
  bool asked{true}; ///< by the client; else its gateway gave it up
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
  jobs_settings settings{};
  std::function<void(const receipt_effect&)> finished{}; ///< takes each receipt; may be empty
};

/// A shell around `jobs_core`.
struct jobs_state {
  const char* name{"jobs"};
  jobs_environment environment;
  std::optional<jobs_core> core;
  std::map<std::uint64_t, caf::actor> watchers; ///< by the number of the actor
  /// Calls that wait for the end of what they cancelled.
  std::vector<std::pair<request_id, caf::typed_response_promise<bool>>> cancels;
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
