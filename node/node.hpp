#pragma once

#include "actors/path/model_catalog.hpp"
#include "actors/request/draft_model.hpp"
#include "actors/runtime/log.hpp"
#include "messages/signing.hpp"
#include "node/node_options.hpp"
#include "storage/env/env.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace ovir::supervision {

/// Opens a model file for the part of it that a node holds: maps, binds, checks the weights, makes
/// the tokenizer. An empty range holds no layer: the model is known for requests alone. `fetched`
/// is the manifest of a file that was fetched from others, and has only these layers; null for one
/// that is whole, whose manifest is made. Handed in, because what a path means ("embedded") is the
/// program's matter.
using model_loader = std::function<result<std::shared_ptr<actors::catalog_model>>(
    const std::string& path, std::optional<layer_range> layers,
    const std::shared_ptr<const compute::model_manifest>& fetched,
    compute::parallel_runner& runner)>;

/// Loads a model file whole, to guess for requests of a model with this vocabulary.
using draft_loader = std::function<result<std::shared_ptr<actors::draft_model>>(
    const std::string& path, const compute::tokenizer& target, compute::parallel_runner& runner)>;

/// What a node needs from outside. All of it outlives the node.
struct node_surroundings {
  storage::env* env{nullptr};
  const secret_key* key{nullptr};
  actors::log* journal{nullptr};
  model_loader load;
  draft_loader load_draft{}; ///< null: no model guesses
  std::string version;
  std::string software; ///< how this program calls itself in what it signs
  /// `chaos kill` and `chaos stop`: what happens to this process. Only when the options allow it.
  std::function<void()> kill_self;
  std::function<void(std::uint32_t ms)> stop_self;
};

/// A member of a cluster: links, membership, the segments it lends, the requests it drives, shells.
/// Thread-safe. Destruction closes everything in order.
class node {
public:
  virtual ~node() = default;

  /// Loads the models, opens the listeners and starts the tree. Errors name the option at fault.
  [[nodiscard]] static result<std::unique_ptr<node>> start(const node_options& options,
                                                           const node_surroundings& around);

  [[nodiscard]] virtual std::string listen_address() const = 0;
  [[nodiscard]] virtual std::string admin_address() const = 0;
  /// Of the HTTP endpoint; empty where there is none.
  [[nodiscard]] virtual std::string http_address() const = 0;

  /// Takes nothing new, lets running requests end within `drain_wait`, says goodbye. What is still
  /// running then is kept in its log for another scheduler or the next start. Returns whether all
  /// ended. `hurry` true: at once.
  virtual bool drain(const std::atomic<bool>& hurry) = 0;

  /// Takes over what may change while it runs (log level, keys under [[access]]) and returns, one
  /// sentence each, what only a restart changes.
  [[nodiscard]] virtual std::vector<std::string> reload(const node_options& options) = 0;

  /// Whether every supervisor answers, within some seconds.
  [[nodiscard]] virtual bool responds() = 0;

  /// A drain that a shell asked for is over, or there is a refusal.
  [[nodiscard]] virtual bool finished() const = 0;

  /// Why the node cannot go on in its cluster, such as a configuration that does less than the
  /// rules of its ledger ask.
  [[nodiscard]] virtual std::optional<error> refusal() const = 0;
};

} // namespace ovir::supervision
