#pragma once

#include "gateway/http/bounded_json.hpp"

#include <span>

namespace ovir::gateway {

/// A vector as OpenAI's clients read it: a list of numbers, each exactly the binary32; or, in
/// base64 (RFC 4648, with padding), the text of its little-endian binary32s.
[[nodiscard]] json embedding_json(std::span<const float> vector, bool base64);

} // namespace ovir::gateway
