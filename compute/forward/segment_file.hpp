#pragma once

#include "compute/gguf/manifest.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::compute {

/// A GGUF file made from a manifest, the same on every machine: what is fetched goes to its place
/// in it, and what is not fetched stays a hole, so that the file is mapped and bound like any
/// other. Manifest and metadata of the complete file are those it was made from.
struct segment_file {
  std::string head;                  ///< the file's first bytes, up to the data of its tensors
  std::vector<std::uint64_t> places; ///< of each tensor's data, from the start of the file
  std::uint64_t bytes{0};            ///< of the whole file
};

/// Data of tensors begins at multiples of this, so that pages of two tensors are never shared.
inline constexpr std::uint64_t segment_file_page = 4'096;

/// `tokenizer` are the bytes the manifest has the digest of; others are `digest_mismatch`.
/// `malformed` where parameters or tokenizer are not the canonical bytes of metadata. Whether the
/// tensors make up a model is for `gguf::parse` and `bind_model` to say.
[[nodiscard]] result<segment_file> lay_out(const model_manifest& manifest,
                                           std::string_view tokenizer);

} // namespace ovir::compute
