#pragma once

#include "actors/link/network.hpp"
#include "tests/swarm/chance.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ovir::swarm {

/// Why a stage failed, as a hostile member says.
inline constexpr std::string_view hostile_reason = "made up by a hostile member";

/// What a hostile member says instead of what it overheard: well formed, about the same request or
/// the same credits, and not true. Made by the encoders that nodes use. `target` is of frames.
/// False where it has nothing to say about it.
[[nodiscard]] bool tell_otherwise(actors::message_kind what, std::vector<std::byte>& bytes,
                                  std::uint32_t& target, chance& draws);

} // namespace ovir::swarm
