#pragma once

#include "compute/devices/device.hpp"
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "messages/result.hpp"

#include <memory>

/// Segments whose layers a device computes, with the same bits.
namespace ovir::compute {

/// Whether devices compute these layers. `unsupported` names the first thing that they cannot do:
/// mixtures of experts, sums of more than 64 bits, very long rows.
[[nodiscard]] result<void> check_for_device(const model& checked, layer_range layers);

/// A segment as `segment::make_checked` makes it, with its layers on `d`, which must have passed
/// `check_vectors`; the head, too, where the device can. Copies the weights to the device: their
/// bytes of the file need not stay in memory. `over_limit` where they do not fit.
[[nodiscard]] result<std::unique_ptr<segment>> make_device_segment(std::shared_ptr<device> d,
                                                                   const model& checked,
                                                                   layer_range layers,
                                                                   const kernel_set& kernels);

} // namespace ovir::compute
