#pragma once

#include "actors/protocol/protocol.hpp"
#include "actors/request/draft_model.hpp"
#include "actors/reuse/cache_protocol.hpp"
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "compute/model/transcript.hpp"
#include "compute/text/sampler.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"
#include "storage/env/env.hpp"
#include "storage/store/content_store.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ovir::supervision {

/// How a model is cut and driven inside one process.
struct cluster_options {
  std::uint32_t stages{1};         ///< shard actors; at most the model's layers
  std::uint32_t threads{1};        ///< compute threads, shared by all shards
  std::uint32_t prefill_chunk{64}; ///< positions per prefill step, 1..limits::prefill_chunk_max
  /// Per shard and request, of the KV cache and of the kept boundaries each.
  std::size_t kv_bytes_max{std::size_t{4} << 30U};
  std::uint32_t restarts_max{5}; ///< crashes of one supervisor's children within `restart_period`
  std::chrono::milliseconds restart_period{5'000};
  std::chrono::milliseconds restart_backoff{10}; ///< before the first restart; doubles up to 1 s
  const secret_key* key{
      nullptr};           ///< signs for all of them; outlives the cluster; null: no receipts
  std::string software{}; ///< how this program calls itself in receipts
  /// Guesses for all requests; null: none does. Used while the cluster lives.
  std::shared_ptr<actors::draft_model> draft{};
  /// Makes the segments, of weights that were checked, in place of segments on the processor.
  std::function<result<std::unique_ptr<compute::segment>>(
      const compute::model& checked, layer_range layers, const compute::kernel_set& kernels)>
      make_segment{};
};

/// What is kept over requests, and with a store over processes.
struct cluster_cache {
  digest model; ///< of the manifest
  std::size_t memory_bytes{0};
  std::unique_ptr<storage::content_store> store; ///< null: memory alone
  std::function<void(const std::string&)> warn;  ///< for the user; from any thread
};

/// One segment of the cut, for the picture.
struct stage_report {
  layer_range layers;
  std::uint64_t weight_bytes{0};
  std::uint64_t kv_bytes{0}; ///< at the end of the request reported
};

struct run_report {
  std::vector<token_id> tokens; ///< output ids, the ending token included where one was drawn
  std::string text;
  finish_reason reason{finish_reason::length};
  digest transcript;
  std::uint64_t units_computed{0};
  actors::units_reused reused;
  bool answer_reused{false}; ///< the answer was kept from an earlier time: nothing was computed
  /// Per stage, where the request asked for it.
  std::vector<std::optional<actors::stage_reuse>> explained;
  std::uint32_t restarts{0}; ///< shard actors restarted while the request ran
  std::uint64_t drafted{0};  ///< tokens guessed and computed ...
  std::uint64_t accepted{0}; ///< ... of which these were right
  std::chrono::nanoseconds time_to_first_token{0};
  std::chrono::nanoseconds prefill_time{0};
  std::chrono::nanoseconds decode_time{0}; ///< of all tokens after the first
  std::vector<stage_report> stages;
  std::uint32_t positions{0}; ///< computed: all that were sent, also when cancelled early
  /// What the root was made from, in order of (window, layer) and of position.
  std::vector<compute::unit_leaf> leaves;
  std::vector<std::pair<position, digest>> logits;
  /// Null where none was asked for; an error says why there is none.
  std::shared_ptr<const result<std::vector<std::byte>>> receipt;
  std::shared_ptr<const actors::request_trace> trace; ///< null where none was asked for
};

/// A supervised tree of actors in this process: scheduler, leads, one shard per stage, a compute
/// pool. Thread-safe. Destruction shuts the tree down in order.
class local_cluster {
public:
  /// `m`, its mapped file, `vocabulary` and `environment` must outlive the cluster.
  /// `invalid_argument` for more stages than layers and the like.
  [[nodiscard]] static result<std::unique_ptr<local_cluster>>
  start(const compute::model& m, const compute::tokenizer& vocabulary,
        const compute::kernel_set& kernels, storage::env& environment,
        const cluster_options& options, std::optional<cluster_cache> cache = std::nullopt);
  virtual ~local_cluster() = default;

  /// Runs one request and waits for it. `on_text` is called in order with each piece of text as it
  /// becomes complete, from another thread, and must not block for long. `cancel`, when not null,
  /// is polled: once true the request ends with reason `cancelled` and what was produced.
  [[nodiscard]] virtual result<run_report> run(const actors::generation_request& request,
                                               const std::function<void(std::string_view)>& on_text,
                                               const std::atomic<bool>* cancel) = 0;

  /// What the cache did so far; all zero where there is none.
  [[nodiscard]] virtual actors::cache_report cache_report() = 0;

  /// The supervision tree as indented text: name, state, restarts.
  [[nodiscard]] virtual std::string tree() = 0;
};

} // namespace ovir::supervision
