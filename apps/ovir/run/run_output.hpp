#pragma once

#include "apps/console.hpp"
#include "node/local_cluster.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// How `ovir run` shows what happened.
namespace ovir::apps {

/// A finished request and the circumstances it ran in.
struct finished_run {
  const supervision::run_report& report;
  const std::vector<token_id>& prompt;
  const sampling_params& sampling;
  const compute::model_config& config;
  std::string_view model; ///< as named by the user
  std::string_view isa;
  std::uint32_t threads{1};
  std::string receipt{}; ///< the file it is in; empty: none
};

/// The document of `--json` (keys: DESIGN, docs/ARCHITECTURE.md).
[[nodiscard]] json document_of(const finished_run& run);

/// The cut as boxes, each with its layers and the memory of weights and KV cache.
[[nodiscard]] std::string picture_of(const std::vector<supervision::stage_report>& stages,
                                     std::uint32_t layers);

/// Picture, speed, restarts and digest, for people.
[[nodiscard]] std::string summary_of(const finished_run& run);

} // namespace ovir::apps
