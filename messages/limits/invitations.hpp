#pragma once

#include "messages/limits/general.hpp"

#include <cstddef>
#include <cstdint>

/// Bounds of invitations (messages/invitation.hpp), and of how members tell each other of them.
namespace ovir::limits {

inline constexpr std::size_t invitation_bytes = 4 + 32 + 2 + 8 + 4 + 32 + 64;
inline constexpr std::size_t join_token_bytes = 158;
inline constexpr std::size_t shown_token_bytes_max = join_token_bytes + invitation_bytes;
inline constexpr std::uint32_t invitation_uses_max = admissions_max / 4;

// Tokens of one message of gossip, and messages to one peer between two looks at the links
inline constexpr std::size_t notices_max = 8;
inline constexpr std::size_t notices_cost = 4; // of the peer's allowance, for each token

// The file of those that this machine made
inline constexpr std::size_t invitations_kept_max = 1'024;
inline constexpr std::size_t invitations_file_bytes_max = std::size_t{1} << 20U;

} // namespace ovir::limits
