#pragma once

#include "apps/exit_code.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <cstdint>
#include <string>

/// `ovir-verify prepare`: the secret vectors with which an auditor checks products without weights.
namespace ovir::apps {

struct prepare_orders {
  std::string model;
  std::string output;
  std::uint32_t threads{1};
};

/// Draws them, multiplies them with every matrix of the model, and writes the file for its owner
/// alone. `unsupported` where a matrix is none of integers. A file that is there is not touched.
[[nodiscard]] result<exit_code> prepare(const prepare_orders& orders, storage::env& environment);

} // namespace ovir::apps
