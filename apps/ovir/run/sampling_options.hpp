#pragma once

#include "apps/ovir/base/command.hpp"
#include "compute/text/sampler.hpp"

#include <cstdint>
#include <string>
#include <vector>

/// How tokens are drawn, as the commands that generate text are told.
namespace ovir::apps {

struct sampling_options {
  sampling_params params;
  std::vector<std::string> stop;
  std::vector<std::string> biases; ///< TOKEN=BIAS
  bool has_seed{false};
};
/// `options` must outlive the parse.
void add_sampling(CLI::App& command, sampling_options& options);

/// What the command line alone can tell.
[[nodiscard]] result<void> check(const sampling_options& options);

/// The parameters with a seed: an unseeded request gets its own when it is accepted, before the
/// first step. Precondition: `check`.
[[nodiscard]] sampling_params seeded(const sampling_options& options, storage::env& environment);

} // namespace ovir::apps
