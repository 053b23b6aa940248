#pragma once

#include "apps/open_model.hpp"
#include "apps/transcript_file.hpp"
#include "compute/base/parallel.hpp"

#include <atomic>
#include <functional>
#include <vector>

namespace ovir::apps {

/// Told before each chunk: positions computed again, of how many.
using replay_progress = std::function<void(position done, position total)>;

/// Computes everything a transcript states again, on one machine and in one piece: each unit's
/// boundary, the logits of each draw, and each token drawn. Stops at the first difference, in order
/// of position; empty when everything is equal. Errors are about the model or this machine, never
/// about the transcript. `interrupted` ends it as `cancelled`.
[[nodiscard]] result<std::vector<failure>>
replay(const transcript_file& file, const ready_model& model, const compute::kernel_set& kernels,
       compute::parallel_runner& runner, const replay_progress& shown,
       const std::atomic<bool>& interrupted);

} // namespace ovir::apps
