#pragma once

#include "compute/gguf/gguf.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

/// What a model is, apart from the file it came in: docs/formats/manifest.md.
namespace ovir::compute {

/// A tensor and what its bytes must be, piece by piece: each chunk is fetched, verified and kept by
/// its own digest.
struct tensor_manifest {
  std::string name;
  std::uint32_t raw_type{0};
  std::uint32_t dims{0};
  std::array<std::uint64_t, 4> shape{1, 1, 1, 1};
  std::uint64_t bytes{0};
  std::vector<digest> chunks; ///< of `manifest_chunk_bytes` each, but the last; none is empty
  friend bool operator==(const tensor_manifest&, const tensor_manifest&) = default;
};

/// Plain BLAKE3 per chunk, so that a chunk can be verified without its neighbours, and is the same
/// content in every model that has it.
inline constexpr std::uint64_t manifest_chunk_bytes = std::uint64_t{1} << 20U;

struct model_manifest {
  std::string parameters; ///< the metadata that says what is computed, as canonical bytes
  digest tokenizer;       ///< of the tokenizer's metadata, likewise
  std::uint64_t tokenizer_bytes{0};
  std::vector<tensor_manifest> tensors; ///< by name
  friend bool operator==(const model_manifest&, const model_manifest&) = default;
};

/// Reads and hashes every tensor: about as long as reading the file takes. `unsupported` where a
/// tensor's size is unknown, `malformed` without an architecture.
/// `between` (may be empty) is called now and then, such as for giving pages back.
/// `base` (may be null): of a file some of whose tensors are those of `file`, which are not read.
[[nodiscard]] result<model_manifest> manifest_of(const gguf& file,
                                                 const std::function<void()>& between = {},
                                                 const model_manifest* base = nullptr);

/// The metadata that makes up the tokenizer, as canonical bytes: what `tokenizer` is the digest of.
[[nodiscard]] std::string tokenizer_bytes_of(const gguf& file);

/// Deterministic: equal manifests are equal bytes.
[[nodiscard]] std::string to_bytes(const model_manifest& manifest);
/// Accepts exactly what `to_bytes` writes. `malformed`, `unsupported` (another version) or
/// `over_limit`; nothing is allocated by a number that is not backed by bytes.
[[nodiscard]] result<model_manifest> manifest_from(std::span<const std::byte> bytes);

/// The model's name: plain BLAKE3 of its manifest.
[[nodiscard]] digest name_of(const model_manifest& manifest);

} // namespace ovir::compute
