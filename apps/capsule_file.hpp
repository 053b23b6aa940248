#pragma once

#include "apps/open_model.hpp"
#include "messages/evidence/capsule.hpp"
#include "verify/capsule_replay.hpp"

#include <string>
#include <string_view>
#include <vector>

/// Making replay capsules: shared by `ovir run --capsule` and `ovir receipt capsule`.
namespace ovir::apps {

/// "3", "3-5" (layers), with "@2" behind it: up to window 2. `invalid_argument` says what is
/// expected.
[[nodiscard]] result<compute::piece_choice> parse_units(std::string_view text, const receipt& r);

/// The units asked for (none: every stage, whole) with their inputs, as a file's bytes.
/// `digest_mismatch` where the receipt does not hold, is about another model, or states other
/// inputs than the model gives.
[[nodiscard]] result<std::vector<std::byte>>
capsule_bytes(const receipt& r, const std::vector<std::string>& units, const ready_model& model,
              const compute::kernel_set& kernels, compute::parallel_runner& runner);

/// Whether `model` is the one that `r` is about.
[[nodiscard]] result<void> is_model_of(const receipt& r, const open_model& model);

} // namespace ovir::apps
