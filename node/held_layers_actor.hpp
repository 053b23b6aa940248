#pragma once

#include "actors/members/advert.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "actors/runtime/log.hpp"
#include "actors/weights/fetched_model.hpp"
#include "actors/weights/fetcher_actor.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"
#include "node/node.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace ovir::supervision {

/// Measures a model's segment and puts what it learnt into the advert.
void measure_into(actors::node_advert& advert, const actors::catalog_model& model,
                  compute::parallel_runner& runner, storage::env& env);

/// Says in the advert which layers are held, and which lie on the disk for others to fetch.
/// `spare_bytes`: of the disk, for all spare layers.
void say_layers(actors::node_advert& advert, const actors::model_catalog& models,
                std::uint64_t spare_bytes);

/// Which layers a node holds ready, and how that changes while it runs. All of it happens on the
/// compute threads, one change after another, and is told to the other nodes; `done` is called
/// there. Thread-safe; what it is given outlives it.
class held_layers {
public:
  using entry = actors::model_catalog::entry;
  using loaded = std::function<void(result<entry>)>;
  struct surroundings {
    model_loader load;
    storage::env* env{nullptr};
    actors::compute_executor* pool{nullptr};
    actors::model_catalog* models{nullptr};
    std::uint64_t memory_bytes{0}; ///< for weights and requests
    std::uint64_t spare_bytes{0};  ///< of the disk, for layers that are not held
    std::string list;              ///< file that says what is held, for a restart; empty: none
    actors::log* journal{nullptr};
    std::function<void(std::function<void(actors::node_advert&)>)> advertise;
  };

  explicit held_layers(surroundings around) : around_(std::move(around)) {}

  /// Holds these layers of a file, or as many as fit. `fetched`: the manifest of one that came from
  /// others; null for one that is whole.
  void load(const std::string& path, std::optional<layer_range> layers,
            const std::shared_ptr<const compute::model_manifest>& fetched, loaded done);
  /// Holds fetched layers, in one part with those beside them that came from the same file.
  void add(const actors::fetched_segment& fetched, loaded done);
  /// Holds these layers too where the whole file of the model is here. False: it is not, and
  /// nothing happens. `over_limit` in the outcome where they do not fit beside all that is held.
  [[nodiscard]] bool add_of_file(const digest& model, layer_range layers, loaded done);
  /// Has fetched layers on the disk for others, and to hold them sooner.
  void keep(const actors::fetched_segment& fetched, loaded done);
  /// Holds these layers no longer. Requests under way keep what they use until they end. Of a
  /// fetched model they stay on the disk as spare ones.
  void drop(const digest& model, layer_range layers, std::function<void(result<void>)> done);

private:
  [[nodiscard]] result<entry>
  load_now(const std::string& path, std::optional<layer_range> layers,
           const std::shared_ptr<const compute::model_manifest>& fetched,
           compute::parallel_runner& runner);
  [[nodiscard]] result<std::vector<entry>> without(const digest& model, layer_range layers,
                                                   compute::parallel_runner& runner) const;
  [[nodiscard]] layer_range joined(const digest& model, const std::string& path,
                                   layer_range layers) const;
  [[nodiscard]] result<void> check_room(const actors::catalog_model& model,
                                        layer_range layers) const;
  void add_spares(const entry& model, layer_range layers) const;
  void tell(const std::function<void(actors::node_advert&)>& also = {}) const;
  void remember() const;

  surroundings around_;
  std::atomic<bool> measured_{false};
};

} // namespace ovir::supervision
