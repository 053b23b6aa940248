#pragma once

#include "compute/kv_cache.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

/// K and V of one unit as bytes that outlive the request (docs/formats/kv-block.md).
namespace ovir::compute {

/// What the K and V of a layer look like.
struct kv_shape {
  std::uint32_t heads{0};    ///< of K and V
  std::uint32_t head_dim{0}; ///< elements of each
  friend bool operator==(const kv_shape&, const kv_shape&) = default;
};

/// What a block says of itself. Bytes of K, and of V behind it, are binary16
/// [heads][window_positions][head_dim].
struct kv_block_header {
  layer_index layer{0};
  std::uint32_t window{0};
  kv_shape shape;
  digest key;    ///< `unit_key`, unsalted: what it is a block of
  digest output; ///< of the unit: its boundary's leaf, or `kv_output` for the model's last layer
  friend bool operator==(const kv_block_header&, const kv_block_header&) = default;
};

/// A checked block: shares its bytes, never changes.
class kv_block {
public:
  using bytes_pointer = std::shared_ptr<const std::vector<std::byte>>;

  /// Checks form, sizes, digest, and that every number is finite. `malformed`, `unsupported`
  /// (another version), `over_limit`, `digest_mismatch`. Allocates nothing.
  [[nodiscard]] static result<kv_block> decode(bytes_pointer bytes);

  [[nodiscard]] const kv_block_header& header() const noexcept { return header_; }
  [[nodiscard]] std::span<const std::byte> keys() const noexcept;
  [[nodiscard]] std::span<const std::byte> values() const noexcept;
  [[nodiscard]] const bytes_pointer& bytes() const noexcept { return bytes_; }

  /// Copies K and V to their positions in `to`, which has room for them. Precondition: `to` has the
  /// layer and its shape.
  void copy_to(kv_cache& to) const;

private:
  kv_block_header header_;
  bytes_pointer bytes_;
};

/// Size of a block of this shape.
[[nodiscard]] std::size_t kv_block_bytes(const kv_shape& shape) noexcept;

/// Output digest of a unit of the model's last layer, whose boundary exists only where logits are
/// asked for: over its K and V.
[[nodiscard]] digest kv_output(const kv_block_header& header, std::span<const std::byte> keys,
                               std::span<const std::byte> values);

/// The block of a unit that `from` holds whole. `output` is the leaf's digest; null for the model's
/// last layer, where it is computed. Reads only positions of the window, which are never written
/// again once it is complete: others may extend `from` meanwhile.
[[nodiscard]] std::vector<std::byte> encode_kv_block(const kv_cache& from, layer_index layer,
                                                     std::uint32_t window, const digest& key,
                                                     const digest* output);

} // namespace ovir::compute
