#pragma once

#include "compute/gguf/manifest.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "storage/env/env.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace ovir::actors {

/// A model as a node knows it. Immutable; lives as long as anybody uses it, and its file with it.
struct catalog_model {
  digest id;        ///< of its manifest: the file's name never matters
  std::string name; ///< for people
  std::string path; ///< of its file, as its loader was given it
  /// Layers held ready: their weights are checked, and only they are ever read. Empty on a node
  /// that only drives requests.
  layer_range held;
  compute::model weights; ///< checked within `held`
  std::shared_ptr<const compute::model_manifest> manifest;
  compute::gguf metadata; ///< of `file`
  /// Every tensor is in the file, not only those of `held`: a file fetched from others has holes.
  bool whole{true};
  std::unique_ptr<compute::tokenizer> vocabulary;
  std::unique_ptr<storage::mapped_file> file;
  const compute::kernel_set* kernels{nullptr};
  std::uint32_t prefill_chunk{64}; ///< positions per step
  std::uint32_t context{0};        ///< positions promised to a request
  std::uint64_t held_bytes{0};     ///< of weights
  /// Of a model with an adapter: the base whose weights these are, so that sessions of both share
  /// passes, and the bytes above are those of the pairs alone. Null: its weights are its own.
  std::shared_ptr<const catalog_model> base{};
};

/// Of all tensors of the model, as its manifest lists them: what a token's rate follows from.
[[nodiscard]] std::uint64_t model_bytes(const catalog_model& model) noexcept;

/// Bytes a request of `positions` positions needs on a stage of `layers`: KV cache, and the
/// boundaries kept for replay unless the stage is the last.
[[nodiscard]] std::uint64_t session_bytes(const compute::model_config& config, layer_range layers,
                                          std::uint32_t positions) noexcept;

/// Layers whose weights lie on this node's disk for others to fetch, though it need not hold them.
struct spare_layers {
  std::vector<layer_range> ranges; ///< in order, apart from each other
  std::uint64_t bytes{0};          ///< of weights
};

/// The models of a node; of one model there may be several parts, with different layers.
/// Thread-safe.
class model_catalog {
public:
  using entry = std::shared_ptr<const catalog_model>;

  /// Replaces the parts of the same model that hold one of its layers, or none at all.
  void put(entry model);
  /// Puts these parts in the place of all there are of the model; they have no layer in common.
  void replace(const digest& id, std::vector<entry> parts);
  /// All its parts, and its spare layers.
  void remove(const digest& id);
  /// Of a model whose file was fetched from others: beside what its parts hold.
  void set_spares(const digest& id, spare_layers spares);
  [[nodiscard]] spare_layers spares(const digest& id) const;
  /// Bytes of all of them.
  [[nodiscard]] std::uint64_t spare_bytes() const;
  /// Which layers of the model lie on this node's disk, held or not, by layer; empty where it is
  /// not known.
  [[nodiscard]] std::vector<bool> on_disk(const digest& id) const;
  /// Any part of it; null when it is not known here.
  [[nodiscard]] entry find(const digest& id) const;
  /// The part that holds all of these layers, or null.
  [[nodiscard]] entry find(const digest& id, layer_range layers) const;
  /// Every part, in order of their ids.
  [[nodiscard]] std::vector<entry> all() const;

private:
  mutable std::mutex guard_;
  std::map<digest, std::vector<entry>> models_; ///< never an empty list
  std::map<digest, spare_layers> spares_;
};

} // namespace ovir::actors
