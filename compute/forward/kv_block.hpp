#pragma once

#include "compute/forward/kv_cache.hpp"
#include "messages/digest.hpp"
#include "messages/evidence/unit_claim.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

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
  digest key;   ///< `unit_key` of its window's name: what it is a block of
  digest model; ///< of the manifest
  digest input; ///< this and the following as in `unit_claim`
  digest earlier;
  digest output;
  digest kv; ///< follows from K and V

  [[nodiscard]] unit_claim claim() const { return {layer, window, input, earlier, output, kv}; }
  friend bool operator==(const kv_block_header&, const kv_block_header&) = default;
};

/// A checked block: shares its bytes, never changes.
class kv_block {
public:
  using bytes_pointer = std::shared_ptr<const std::vector<std::byte>>;

  /// Checks form, sizes, digest, and that every number is finite; neither seal nor signature.
  /// `malformed`, `unsupported` (another version), `over_limit`, `digest_mismatch`. Allocates
  /// nothing.
  [[nodiscard]] static result<kv_block> decode(bytes_pointer bytes);

  [[nodiscard]] const kv_block_header& header() const noexcept { return header_; }
  [[nodiscard]] std::span<const std::byte> keys() const noexcept;
  [[nodiscard]] std::span<const std::byte> values() const noexcept;
  [[nodiscard]] const bytes_pointer& bytes() const noexcept { return bytes_; }
  /// Who computed it, by what it says; empty: it says nothing.
  [[nodiscard]] node_id author() const noexcept;
  /// Whether that author signed it.
  [[nodiscard]] bool is_signed() const;
  /// The author's word, as a statement that uses the unit shows it.
  [[nodiscard]] unit_citation citation() const;
  /// Whether who made it knew the name of its window, from which its key follows: the key alone
  /// makes no seal.
  [[nodiscard]] bool is_sealed(const digest& window_name) const;

  /// Copies K and V to their positions in `to`, which has room for them. Precondition: `to` has the
  /// layer and its shape.
  void copy_to(kv_cache& to) const;

private:
  kv_block_header header_;
  bytes_pointer bytes_;
};

/// Size of a block of this shape.
[[nodiscard]] std::size_t kv_block_bytes(const kv_shape& shape) noexcept;

/// The block of a unit that `from` holds whole. Of `what` the shape and, where it is zero, `kv` are
/// those of `from`. Reads only positions of the window, which are never written again once it is
/// complete: others may extend `from` meanwhile. It is not sealed, and says nothing of an author.
[[nodiscard]] std::vector<std::byte> encode_kv_block(const kv_cache& from, kv_block_header what);

// Precondition of the following: the bytes are those of a block.

/// Before it is signed.
void seal_kv_block(std::vector<std::byte>& block, const digest& window_name);
/// Names `author` as who computed it, which only that one can know.
void sign_kv_block(std::vector<std::byte>& block, const secret_key& author);
/// As of `kv_block::author`.
[[nodiscard]] node_id author_of_kv_block(std::span<const std::byte> block) noexcept;
/// Whether both hold the same; authors and signatures may differ.
[[nodiscard]] bool same_kv_block(std::span<const std::byte> one,
                                 std::span<const std::byte> other) noexcept;

} // namespace ovir::compute
