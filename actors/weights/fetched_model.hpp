#pragma once

#include "compute/forward/segment_file.hpp"
#include "compute/gguf/piece_list.hpp"
#include "messages/digest.hpp"
#include "messages/durable_file.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ovir::actors {

/// A model that was fetched from others, or a part of it, on this node's disk (docs/formats/
/// fetch.md):
///
///     STATE/models/DIGEST/manifest       whole or absent
///                         tokenizer      whole or absent
///                         weights.gguf   compute::segment_file, with holes where nothing is held
///
/// Nothing says which pieces are there but their bytes: they are compared with their digests
/// whenever a fetch begins, so that no crash and no damage can make a wrong byte count as right.
class fetched_model {
public:
  /// Makes the folder where it is missing.
  [[nodiscard]] static result<fetched_model> open(storage::env& env, const std::string& state,
                                                  const digest& name);

  /// Null until the manifest is here.
  [[nodiscard]] const compute::piece_list* pieces() const noexcept {
    return pieces_ ? &*pieces_ : nullptr;
  }
  [[nodiscard]] const std::shared_ptr<const compute::model_manifest>& manifest() const noexcept {
    return manifest_;
  }
  /// `digest_mismatch` where these are not the bytes the model is named after; else what is wrong
  /// with them, or the disk.
  [[nodiscard]] result<void> take_manifest(std::span<const std::byte> bytes);

  /// Whether the tokenizer is here, and so the file pieces are written to.
  [[nodiscard]] bool has_file() const noexcept { return file_ != nullptr; }
  /// Makes the file. `digest_mismatch` for other bytes; `malformed` and such where it could not
  /// become a model. Precondition: `pieces()`.
  [[nodiscard]] result<void> take_tokenizer(std::span<const std::byte> bytes);

  /// Those of `wanted` that are not in the file, in the same order. Reads and hashes the others.
  /// Precondition: `has_file()`.
  [[nodiscard]] result<std::vector<std::uint32_t>>
  missing(const std::vector<std::uint32_t>& wanted) const;
  /// Precondition: the piece's own bytes; `has_file()`. In the hands of the operating system when
  /// it returns.
  [[nodiscard]] result<void> write(std::uint32_t piece, std::span<const std::byte> bytes);
  /// When it returns, what was written survives a loss of power.
  [[nodiscard]] result<void> sync();

  [[nodiscard]] std::string weights_path() const { return folder_ + "/weights.gguf"; }

private:
  fetched_model(storage::env& env, std::string folder, const digest& name)
      : env_(&env), folder_(std::move(folder)), name_(name) {}

  result<void> use_manifest(std::span<const std::byte> bytes);
  result<void> use_tokenizer(std::span<const std::byte> bytes);
  result<void> keep(const std::string& path, std::span<const std::byte> bytes);

  storage::env* env_;
  std::string folder_;
  digest name_;
  std::shared_ptr<const compute::model_manifest> manifest_;
  std::optional<compute::piece_list> pieces_;
  compute::segment_file layout_; ///< with an empty head
  std::unique_ptr<durable_file> file_;
};

} // namespace ovir::actors
