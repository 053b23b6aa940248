#pragma once

#include "apps/console.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ovir::chaos {

/// A request and what one process alone answers.
struct expected_answer {
  apps::json arguments; ///< of the admin command `run`, without a request id
  std::uint32_t max_tokens{0};
  std::vector<std::uint32_t> tokens;
  std::string text;
  std::string transcript;
};

/// What of an answer differs from the expected one; empty when nothing does.
[[nodiscard]] std::string difference(const expected_answer& expected, const apps::json& data);

/// `count` requests of different lengths, half of them drawn at random with a seed, answered by
/// `ovir run` in one process each. `model` is a path or "embedded". Throws where that fails.
[[nodiscard]] std::vector<expected_answer> make_workload(const std::string& model,
                                                         std::uint32_t count,
                                                         std::uint32_t tokens_max,
                                                         std::uint64_t seed);

} // namespace ovir::chaos
