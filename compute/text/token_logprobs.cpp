#include "compute/text/token_logprobs.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/text/sampler.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>

namespace ovir::compute {

namespace {

__extension__ typedef unsigned __int128 uint128;

constexpr float two_to_62 = 0x1p+62F;
constexpr unsigned dropped_bits = 20; // so that the sum of all weights fits 64 bits
static_assert(limits::vocabulary_max <= std::uint64_t{1} << dropped_bits);

/// ln of the sum of e^(logit - highest). Each weight is a whole number of 2^-62, so the sum does
/// not depend on an order.
double log_of_weights(std::span<const float> logits, float highest) {
  uint128 sum = 0;
  for (const float logit : logits) {
    const float weight = exact_exp(logit - highest);
    sum += weight <= 1 ? static_cast<std::uint64_t>(weight * two_to_62) : 0; // else no number
  }
  const auto least = static_cast<uint128>(two_to_62); // the highest's own
  const auto high = static_cast<std::uint64_t>(std::max(sum, least) >> dropped_bits);
  return exact_log(static_cast<double>(high) * 0x1p-42);
}

} // namespace

token_logprobs logprobs_of(std::span<const float> logits, token_id drawn, std::uint32_t top) {
  OVIR_CHECK(drawn < logits.size());
  const float highest = logits[highest_of(logits)];
  const double all = log_of_weights(logits, highest);
  const auto logprob = [&](token_id id) {
    // The first difference is rounded to binary64, not binary32: it may be large.
    const double below = static_cast<double>(logits[id]) - static_cast<double>(highest);
    constexpr double least = std::numeric_limits<float>::lowest();
    return static_cast<float>(below - all > least ? below - all : least);
  };
  token_logprobs out{logprob(drawn), {}};
  std::vector<token_id> ids(logits.size());
  std::iota(ids.begin(), ids.end(), token_id{0});
  const auto end =
      ids.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(top, ids.size()));
  std::partial_sort(ids.begin(), end, ids.end(), [&](token_id a, token_id b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  });
  for (auto id = ids.begin(); id != end; ++id) {
    out.top.push_back({*id, logprob(*id)});
  }
  return out;
}

} // namespace ovir::compute
