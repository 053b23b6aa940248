#pragma once

#include "actors/reuse/cache_actor.hpp"
#include "actors/reuse/cache_owner.hpp"
#include "actors/reuse/cache_protocol_actor.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "actors/runtime/log.hpp"
#include "messages/signing.hpp"
#include "node/machine.hpp"
#include "node/node_options.hpp"
#include "storage/env/env.hpp"

#include <functional>
#include <memory>
#include <string>

namespace ovir::supervision {

/// What a node keeps for reuse and for audits, and the threads that look after it. Outlives the
/// actor system; `finish` comes between the two.
class node_cache {
public:
  /// Opens the store. Where that fails, the log says so and memory alone is used. Where the options
  /// switch reuse off, only inputs of windows are kept, for audits. Fails where the owners' key
  /// file cannot be read.
  [[nodiscard]] static result<std::unique_ptr<node_cache>> open(const node_options& options,
                                                                const secret_key& key,
                                                                storage::env& environment,
                                                                actors::log& journal, machine& on);

  [[nodiscard]] const actors::cache_environment& around() const noexcept { return around_; }
  [[nodiscard]] const std::shared_ptr<actors::cache_handle>& handle() const noexcept {
    return handle_;
  }
  [[nodiscard]] const actors::cache_policy& policy() const noexcept { return policy_; }

  /// After a conviction: nothing kept so far is used again. `done` is called on a thread of the
  /// cache once the disk has forgotten it. Any thread.
  void quarantine(std::function<void()> done);

  /// Writes down what waits. No actor uses it any more.
  void finish();

private:
  explicit node_cache(machine& on);

  actors::cache_policy policy_;
  std::shared_ptr<actors::cache_handle> handle_;
  std::unique_ptr<actors::compute_executor> front_;
  std::unique_ptr<actors::compute_executor> back_;
  actors::cache_environment around_;
};

} // namespace ovir::supervision
