#pragma once

#include "actors/audit/addendum_shelf.hpp"
#include "actors/link/operator_names.hpp"
#include "actors/members/membership_actor.hpp"
#include "actors/operator/admin_actor.hpp"
#include "actors/operator/console_desk_actor.hpp"
#include "actors/operator/metrics_actor.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/path/path_forecasts.hpp"
#include "actors/payment/kept_ledger.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/request/draft_model.hpp"
#include "actors/request/gateway_actor.hpp"
#include "actors/request/request_journal.hpp"
#include "actors/reuse/cache_actor.hpp"
#include "actors/reuse/cache_protocol_actor.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "actors/stage/stage_host_actor.hpp"
#include "actors/weights/fetcher_actor.hpp"
#include "node/local_cluster.hpp"
#include "node/node_options.hpp"
#include "supervision/supervisor.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

/// The tree of a node; a process alone is a node without links. Nothing else names roles:
///
///     ovir               rest_for_one
///       paths            where requests run
///       shards           one_for_one, temporary children: a supervisor for each segment in use, so
///         shard-...        that one shard's crashes do not use up the intensity of another's; a
///           shard          process alone has a permanent stage-0, stage-1 ... instead
///       host             lends this node's segments                          (role worker)
///       source           serves weights to others
///       fetcher          fetches weights from others                         (role worker)
///       verifier         audits others' work (role verifier), checks convictions
///       placer           orders of nodes which layers to hold              (role scheduler)
///       membership       who is there
///       ledger           keeps the ledger of the cluster                     (role ledger)
///       payments         uses it: this node's account, and its requests
///       requests         one_for_all                                         (role scheduler)
///         leads          one_for_one, temporary children, one per request
///         scheduler
///         jobs           requests as clients see them
///       gateway          requests of HTTP clients                 (with an HTTP endpoint)
///       metrics          what Prometheus is told
///       admin            shells
///       reuse            one_for_one, where anything is kept: last, so that nothing restarts with
///         cache            it; without it, everything is computed
///         blocks           from and for other nodes
///       upkeep           one_for_one                                         (role worker)
///         units          a pool of work units: a dispatcher and its workers
///         scrubber       hashes the files of the weights here again and again
namespace ovir::supervision {

/// How often parts may crash. Intensities multiply up the tree, so the whole is patient and slow.
struct tree_policies {
  restart_policy part{5, std::chrono::seconds{5}, std::chrono::milliseconds{10},
                      std::chrono::seconds{1}};
  restart_policy whole{5, std::chrono::seconds{10}, std::chrono::milliseconds{200},
                       std::chrono::seconds{5}};
};

/// The stages of a process alone, and what its requests need.
struct local_parts {
  std::vector<std::shared_ptr<actors::stage_bench>> benches; ///< by stage; none in a cluster's node
  const compute::tokenizer* vocabulary{nullptr};
  std::uint32_t prefill_chunk{64};
  digest model;                                 ///< under which answers are kept
  std::shared_ptr<actors::draft_model> draft{}; ///< null: no model guesses
};

/// What is kept over requests, and for audits.
struct reuse_parts {
  std::shared_ptr<actors::cache_handle> handle; ///< null: nothing is kept
  actors::cache_environment around{};
  bool peers{false}; ///< also from and for other nodes
  /// See `node_cache::quarantine`; null in a process alone.
  std::function<void(std::function<void()> done)> quarantine{};
  bool enabled{true}; ///< else inputs of windows are kept, for verifiers, and nothing else
};

/// What the actors of a node work with. All of it outlives the actor system. A process alone has
/// `local`, `env`, `executor`, `draws`, perhaps a desk and `reuse`.
struct node_parts {
  tree_policies policies;
  local_parts local;
  reuse_parts reuse;
  const node_options* options{nullptr};
  const secret_key* key{nullptr};
  storage::env* env{nullptr};
  actors::log* journal{nullptr};
  /// The same as a part of the node writes there.
  std::function<actors::log*(const char* part)> journal_of;
  actors::compute_executor* executor{nullptr};
  actors::compute_executor* draws{nullptr}; ///< of the leads: tokens wait for no stage's step
  const actors::signing_desk* desk{nullptr};
  actors::peers* links{nullptr}; ///< null: a process alone
  actors::access_list* access{nullptr};
  const actors::operator_names* operators{nullptr};
  std::function<std::string(const node_id&)> operator_of; ///< whose node it is, by these
  actors::model_catalog* models{nullptr};
  std::map<digest, std::shared_ptr<actors::draft_model>> drafts{}; ///< by whom they guess for
  actors::request_journal* requests{nullptr};                      ///< null: not a scheduler
  actors::gateway_desk* gateway{nullptr};                          ///< null: no HTTP endpoint
  actors::console_desk* console{nullptr};                          ///< likewise
  actors::metrics_desk* metrics{nullptr};
  actors::metrics_environment measured; ///< but for `find` and `sources`
  actors::node_meter* meter{nullptr};
  actors::addendum_shelf* addenda{nullptr}; ///< null: not a scheduler
  std::shared_ptr<actors::path_forecasts> forecasts = std::make_shared<actors::path_forecasts>();
  actors::membership_environment membership;
  const std::atomic<bool>* drains{nullptr}; ///< the node takes nothing new
  actors::admin_environment admin;
  std::uint64_t memory_bytes{0};
  actors::kept_ledger* ledger{nullptr}; ///< null: not its keeper
  std::vector<node_id> keepers;         ///< of the ledger this node uses; empty: none
  durable_file* ledger_copy{nullptr};   ///< of the keeper's log; null: none is kept
  std::function<result<void>(const ledger::policy&)> obeys; ///< an error ends the node
  std::function<std::vector<carried_part>()> carried;       ///< as a relay; empty: it is none
  std::vector<actors::fetch_order> fetches;                 ///< what the configuration wants here
  actors::layer_fetcher fetch_ordered; ///< null: schedulers order nothing of this node
  actors::layer_fetcher keep_ordered;  ///< on the disk alone; null: likewise
  actors::layer_dropper drop_ordered;  ///< null: its owner chose its layers
  actors::group_keeper* groups{nullptr};
};

/// The actors that others need to find, as they are at the moment: start functions put them here,
/// on their supervisor's turn. Thread-safe.
class directory {
public:
  void put(const std::string& name, caf::actor actor);
  [[nodiscard]] caf::actor get(const std::string& name) const;

private:
  mutable std::mutex guard_;
  std::map<std::string, caf::actor> actors_;
};

/// Of a process alone.
[[nodiscard]] tree_policies policies_for(const cluster_options& options);

/// Path of the scheduler for `find_child`, from the root.
inline constexpr std::string_view scheduler_path = "requests/scheduler";

[[nodiscard]] supervisor_spec node_tree(const std::shared_ptr<const node_parts>& parts,
                                        const std::shared_ptr<directory>& known);

} // namespace ovir::supervision
