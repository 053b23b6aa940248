#pragma once

#include "actors/runtime/log.hpp"
#include "actors/weights/fetch_order.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"
#include "node/held_layers_actor.hpp"
#include "node/held_list.hpp"
#include "node/node_options.hpp"
#include "storage/env/env.hpp"

#include <caf/actor.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ovir::supervision {

class directory;

/// What a placed node held last; nothing, said in the log, where the list cannot be read.
[[nodiscard]] held_list recalled_layers(storage::env& env, const std::string& path,
                                        actors::log& journal);

/// What a node is told to hold, by its configuration, by shells and by schedulers: from a file that
/// is here, or fetched from other members first. Outcomes are told on other threads. What it is
/// given outlives it.
class layer_orders {
public:
  using loaded = held_layers::loaded;
  using ended = std::function<void(result<void>)>;

  layer_orders(held_layers& held, std::weak_ptr<const directory> known, actors::log& journal)
      : held_(&held), known_(std::move(known)), journal_(&journal) {}

  /// The fetches that the node begins with.
  [[nodiscard]] std::vector<actors::fetch_order> configured(const node_options& options,
                                                            const held_list& recalled) const;
  /// For a shell; `path`: a file, or a model's name by content.
  void load(const std::string& path, std::optional<layer_range> layers, loaded done) const;
  /// A scheduler orders this node to hold these layers, too, ...
  void fetch(const digest& model, layer_range layers, ended done) const;
  /// ... or to have them on its disk.
  void keep(const digest& model, layer_range layers, ended done) const;

private:
  [[nodiscard]] caf::actor fetcher() const;
  [[nodiscard]] std::shared_ptr<actors::fetch_answer> then_hold(loaded done) const;
  [[nodiscard]] std::shared_ptr<actors::fetch_answer> then_keep(loaded done) const;
  [[nodiscard]] std::function<void(const actors::fetched_segment&)> serve_first_layers() const;
  [[nodiscard]] actors::fetch_order configured_fetch(const model_option& option,
                                                     std::optional<layer_range> layers) const;
  [[nodiscard]] actors::fetch_order recalled_spare(const digest& model, layer_range layers) const;

  held_layers* held_;
  std::weak_ptr<const directory> known_;
  actors::log* journal_;
};

} // namespace ovir::supervision
