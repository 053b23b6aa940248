#pragma once

#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ovir {

/// A Bloom filter over digests (Bloom: "Space/time trade-offs in hash coding with allowable
/// errors", CACM 1970): tells of a name that it was not added, or that it may have been. Names are
/// digests already, so their words are the hashes: probe i looks at bit (w0 + i * w1) mod bits
/// (Kirsch and Mitzenmacher, "Less hashing, same performance", ESA 2006), w0 and w1 being the
/// name's first two little-endian words, w1 made odd. Bit b is bit b mod 8 of byte b / 8.
class name_filter {
public:
  /// Room for `names`, at most limits::blocks_claimed_max: a power of two of bytes between
  /// limits::block_filter_bytes_min and limits::block_filter_bytes_max.
  explicit name_filter(std::size_t names);
  /// `malformed` for a size that no filter has.
  [[nodiscard]] static result<name_filter> from(std::span<const std::byte> bytes);

  void add(const digest& name) noexcept;
  [[nodiscard]] bool may_have(const digest& name) const noexcept;
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bits_; }

private:
  explicit name_filter(std::vector<std::byte> bits) : bits_(std::move(bits)) {}

  std::vector<std::byte> bits_;
};

} // namespace ovir
