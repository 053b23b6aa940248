#include "ledger/rules/split.hpp"

#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <numeric>

namespace ovir::ledger {

namespace {

result<wide> sum_of_weights(std::span<const weighted> cohort) {
  if (cohort.empty() || cohort.size() > limits::ledger_participants_max) {
    return fail(errc::invalid_argument, "an amount is divided among 1 to {} participants, not {}",
                limits::ledger_participants_max, cohort.size());
  }
  wide sum = 0;
  for (std::size_t i = 0; i < cohort.size(); ++i) {
    if (cohort[i].weight > limits::ledger_weight_max) {
      return fail(errc::invalid_argument, "the weight {} of {} is above {}", cohort[i].weight,
                  short_name(cohort[i].participant), limits::ledger_weight_max);
    }
    for (std::size_t k = 0; k < i; ++k) {
      if (cohort[k].participant == cohort[i].participant) {
        return fail(errc::invalid_argument, "{} takes part twice; add its weights up first",
                    to_hex(cohort[i].participant));
      }
    }
    sum += cohort[i].weight;
  }
  if (sum == 0) {
    return fail(errc::invalid_argument, "all weights are 0: there is nobody to pay");
  }
  return sum;
}

} // namespace

result<std::vector<micro_credits>> split(micro_credits amount, std::span<const weighted> cohort) {
  OVIR_ASSIGN(const wide sum, sum_of_weights(cohort));
  std::vector<micro_credits> shares(cohort.size());
  std::vector<wide> remainders(cohort.size());
  micro_credits left = amount;
  for (std::size_t i = 0; i < cohort.size(); ++i) {
    const wide product = wide{amount} * cohort[i].weight;
    shares[i] = static_cast<micro_credits>(product / sum);
    remainders[i] = product % sum;
    left -= shares[i];
  }
  if (left == 0) {
    return shares;
  }
  std::vector<std::size_t> order(cohort.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return remainders[a] != remainders[b] ? remainders[a] > remainders[b]
                                          : cohort[a].participant < cohort[b].participant;
  });
  // Remainders are below the sum each, so fewer units are left than there are participants.
  OVIR_CHECK(left < order.size(), left);
  for (std::size_t i = 0; i < left; ++i) {
    ++shares[order[i]];
  }
  return shares;
}

} // namespace ovir::ledger
