#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// Divy's policy as it was published, in floating point: for comparison with the exact one of
/// `split.hpp` and `tariff.hpp`, which the ledger uses. Credits are plain credits here, not
/// micro-credits. Nothing in these functions fails: absurd inputs are clamped as the source does.
namespace ovir::ledger::reference {

/// One worker's part of a job.
struct assignment {
  std::string worker;
  std::uint64_t execution_ms{0};
  std::uint64_t capacity_units{0};
  std::uint64_t column_first{0}; ///< columns [first, last) of the model; last < first counts as one
  std::uint64_t column_last{0};
  std::uint64_t memory_bytes{0}; ///< available to it; 0: unknown, full pressure
};

struct job {
  std::uint64_t model_bytes{0};
  std::uint64_t columns{0};
  std::uint64_t prompt_tokens{0};
  std::uint64_t requested_tokens{0}; ///< completion tokens asked for: the quote
  std::uint64_t actual_tokens{0};    ///< completion tokens delivered: the settlement
  std::uint64_t frontier_tokens{0};  ///< completion tokens so far
  std::uint64_t accounted_tokens{0}; ///< of these, accounted before
  bool prompt_accounted{false};
  std::vector<assignment> assignments;
};

struct consumption {
  double model_size_factor{1};
  double prompt_credits{0};
  double completion_credits{0};
  double total_credits{0};
};

/// What one worker earned of a delta, and why.
struct contribution {
  double credits{0};
  double compute_share{0};
  double throughput_multiplier{0};
  double pressure_multiplier{0};
  double normalized_share{0};
  double service_rate{0};
  double reference_rate{0};
  double memory_pressure{0};
};

struct delta {
  std::uint64_t prompt_tokens{0};
  std::uint64_t completion_tokens{0};
  double budget{0}; ///< 0 when there is nobody to pay
  consumption spent;
  std::vector<contribution> contributions; ///< in the order of the assignments
};

[[nodiscard]] consumption quote(const job& j);
[[nodiscard]] consumption settlement(const job& j);
/// Nothing when no token is new.
[[nodiscard]] std::optional<delta> realtime_delta(const job& j);

} // namespace ovir::ledger::reference
