#pragma once

#include "messages/digest.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace ovir::compute {

/// Tokens that the widest product kernels take at once.
inline constexpr std::uint32_t device_tokens_max = 8;

/// The program that devices build: OpenCL C 1.2, the constants of layouts first. Those are the ones
/// that the writers of panels use, so a layout cannot change in one place alone.
[[nodiscard]] std::string kernel_source();

/// Names the source in programs kept on disk and in what is told of a device.
[[nodiscard]] digest source_digest(std::string_view source);

/// Build options that keep the bits (docs/formats/exact-1.md).
inline constexpr std::string_view device_build_options =
    "-cl-std=CL1.2 -cl-fp32-correctly-rounded-divide-sqrt";

} // namespace ovir::compute
