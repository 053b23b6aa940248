#pragma once

#include <cstddef>
#include <cstdint>

/// The bounds of model manifests, beside those of `messages/limits/general.hpp`.
namespace ovir::limits {

inline constexpr std::size_t manifest_bytes_max = 64U << 20U;
inline constexpr std::size_t manifest_parameters_bytes_max = 1U << 20U;
inline constexpr std::size_t manifest_name_bytes_max = 4'096; // of a tensor
inline constexpr std::uint64_t manifest_tensor_bytes_max = std::uint64_t{1} << 40U;

} // namespace ovir::limits
