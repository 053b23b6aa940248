#pragma once

#include "apps/ovir/base/command.hpp"
#include "compute/text/sampler.hpp"

#include <cstdint>
#include <string>
#include <vector>

/// `ovir run --profile fast`: one process, OpenBLAS, results that another machine need not repeat.
namespace ovir::apps {

struct fast_orders {
  std::vector<token_id> prompt;
  sampling_params sampling;
  std::uint32_t max_tokens{0};
  std::string receipt; ///< file of a signed record; empty: none
  bool as_json{false};
};

/// Streams the text (or prints the document), and writes the record.
[[nodiscard]] result<exit_code> run_fast(const fast_orders& orders, const ready_model& model,
                                         surroundings& around);

} // namespace ovir::apps
