#pragma once

#include "compute/forward/pooled_rows.hpp"
#include "compute/text/sampler.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace ovir::compute {

/// What makes two requests the same one: everything that decides what a client is told. How fast it
/// comes, and by when, does not.
struct request_terms {
  const digest& model;
  std::span<const token_id> prompt;
  const sampling_params& sampling;
  std::uint32_t max_tokens{0};
  std::span<const std::string> stop;
  std::optional<std::uint32_t> logprobs;
  std::optional<pooling> embedding;
  bool receipt{false};
};

/// Two requests are the same when this is equal; the only comparison of requests there is.
[[nodiscard]] digest digest_of(const request_terms& terms);

} // namespace ovir::compute
