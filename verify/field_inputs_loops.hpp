#pragma once

#include "verify/field_lanes.hpp"
#include "verify/field_sums.hpp"

#include <cstring>

/// `field_sums::weigh_inputs` for sets without products of four bytes at once; beside
/// field_sums_loops.hpp, and included the same way.
namespace ovir::compute {

namespace {

void weigh_inputs(const std::int8_t* q, const std::int32_t* scales, std::size_t n,
                  std::size_t tokens, const std::int64_t* weights, std::int64_t* out) {
  using eight_bytes = std::int8_t __attribute__((vector_size(8)));
  for (std::size_t block = 0; block < n / 32; ++block) {
    eight totals[4] = {};
    for (std::size_t t = 0; t < tokens; ++t) {
      const eight scale = all_of(scales[t * (n / 32) + block]);
      const eight weight = all_of(weights[t]);
      for (std::size_t part = 0; part < 4; ++part) {
        eight_bytes bytes;
        std::memcpy(&bytes, q + t * n + block * 32 + part * 8, sizeof(bytes));
        // Of 7 and 18 bits, so that the first product has 32, too.
        totals[part] += times(times(__builtin_convertvector(bytes, eight), scale), weight);
      }
    }
    std::memcpy(out + block * 32, totals, sizeof(totals));
  }
}

} // namespace

} // namespace ovir::compute
