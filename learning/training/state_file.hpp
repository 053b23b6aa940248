#pragma once

#include "learning/adapter/adapter_file.hpp"
#include "learning/training/optimiser.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// Checkpoints of training: docs/formats/learn-state.md.
namespace ovir::learning {

/// The mean loss of the examples held back, in nats for each token, before step `step`.
struct evaluation {
  std::uint32_t step;
  double loss;

  friend bool operator==(const evaluation&, const evaluation&) = default;
};

/// All that training goes on from: a value.
struct training_state {
  adapter is;
  provenance from; ///< `steps` of it are done
  moments kept;
  std::vector<double> losses; ///< of each step
  std::vector<evaluation> evaluations;
};

/// The file's bytes: the same for the same values.
[[nodiscard]] std::string to_file(const training_state& state);

/// `malformed`, `unsupported` or `over_limit` as `adapter_from`; `digest_mismatch` where the file's
/// own digest is of something else.
[[nodiscard]] result<training_state> state_from(std::span<const std::byte> file);

} // namespace ovir::learning
