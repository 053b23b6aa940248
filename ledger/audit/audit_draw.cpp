#include "ledger/audit/audit_draw.hpp"

#include "ledger/rules/chain_step.hpp"
#include "messages/limits/audit.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

using limits::ppm_one;

constexpr std::uint32_t mark_every = 256;

} // namespace

result<hash_chain> hash_chain::make(const digest& seed, std::uint32_t links) {
  if (links == 0 || links > limits::audit_chain_links_max) {
    return fail(errc::invalid_argument, "a hash chain of {} links; it has 1 to {}", links,
                limits::audit_chain_links_max);
  }
  hash_chain chain;
  chain.links_ = links;
  digest link = seed;
  for (std::uint32_t left = links;; left -= mark_every) {
    chain.marks_.push_back(link);
    if (left <= mark_every) {
      chain.anchor_ = link_before(link, left);
      break;
    }
    link = link_before(link, mark_every);
  }
  return chain;
}

result<digest> hash_chain::link(std::uint32_t index) const {
  if (index > links_) {
    return fail(errc::over_limit, "link {} of a hash chain of {}; commit to a new chain", index,
                links_);
  }
  const std::uint32_t back = links_ - index;
  const std::size_t mark = std::min<std::size_t>(back / mark_every, marks_.size() - 1);
  return link_before(marks_[mark], back - static_cast<std::uint32_t>(mark) * mark_every);
}

bool follows(const digest& anchor, std::uint32_t index, const digest& link) {
  return index <= limits::audit_chain_links_max && link_before(link, index) == anchor;
}

std::uint64_t audit_draw(const digest& link, const digest& head, const digest& unit) {
  const digest d = hasher{"ovir/audit/v1/draw"}.update(link).update(head).update(unit).finish();
  std::uint64_t drawn = 0;
  for (std::size_t i = 0; i < sizeof(drawn); ++i) { // little-endian, whatever the machine
    drawn |= std::uint64_t{d.bytes[i]} << (8 * i);
  }
  return drawn;
}

bool is_sampled(std::uint64_t drawn, std::uint64_t rate_ppm) noexcept {
  // drawn / 2^64 < rate / 10^6, in integers: a rate of 10^6 or more takes all.
  return wide{drawn} * ppm_one < (wide{rate_ppm} << 64U);
}

std::optional<std::size_t> planted_among(std::size_t drawn, std::uint64_t rate_ppm,
                                         std::uint64_t chance) noexcept {
  // Where all of them together are likelier than certain, one of them is certain.
  const bool certain = wide{drawn} * rate_ppm >= ppm_one;
  const wide scaled =
      certain ? wide{chance} * drawn : wide{chance} * ppm_one / (rate_ppm == 0 ? 1 : rate_ppm);
  const auto which = static_cast<std::uint64_t>(scaled >> 64U);
  return rate_ppm > 0 && which < drawn ? std::optional<std::size_t>{which} : std::nullopt;
}

result<std::uint64_t> least_audit_rate_ppm(deterrence_terms t) {
  const auto deters = [&](std::uint64_t rate) -> result<bool> {
    t.audit_rate_ppm = rate;
    OVIR_ASSIGN(const auto found, examine(t));
    for (const deterrence_finding& f : found) {
      if (f.theorem == "provider" && !f.holds) {
        return false;
      }
    }
    return true;
  };
  OVIR_ASSIGN(const bool possible, deters(ppm_one));
  if (!possible) {
    OVIR_TRY(require_deterrence(t));
  }
  // It holds at `high` and all above: more audits never deter less.
  std::uint64_t low = 0;
  std::uint64_t high = ppm_one;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    OVIR_ASSIGN(const bool enough, deters(middle));
    (enough ? high : low) = enough ? middle : middle + 1;
  }
  return high;
}

} // namespace ovir::ledger
