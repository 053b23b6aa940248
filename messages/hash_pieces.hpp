#pragma once

#include "messages/digest.hpp"

#include <cstddef>
#include <functional>
#include <span>

namespace ovir {

/// The same as `hash_plain`. Calls `after` behind every `piece` > 0 bytes and at the end, so that
/// whoever hashes a large file can give the pages back that were read.
[[nodiscard]] digest hash_plain_in_pieces(std::span<const std::byte> bytes, std::size_t piece,
                                          const std::function<void()>& after);

/// The same of several stretches one behind the other; `after` is called behind each.
[[nodiscard]] digest hash_plain_in_order(std::span<const std::span<const std::byte>> stretches,
                                         const std::function<void()>& after);

} // namespace ovir
