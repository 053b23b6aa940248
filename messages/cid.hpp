#pragma once

#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <string_view>

namespace ovir {

/// Every CIDv1 of a digest begins so, and hardly a file's name does.
inline constexpr std::string_view cid_begin = "bafkr4i";

/// Inverse of `to_cid`. `malformed` for anything else, also for names of the same digest in another
/// base or codec.
[[nodiscard]] result<digest> digest_from_cid(std::string_view text);

} // namespace ovir
