#include "ledger/rules/chain_step.hpp"
#include "ledger/rules/rules.hpp"
#include "ledger/rules/standing.hpp"
#include "messages/limits/audit.hpp"

#include <algorithm>

// Epochs: hash chains committed to, links published, epochs closed.
namespace ovir::ledger {

namespace {

/// Whether a link of `c` for `epoch` can still be checked.
bool in_reach(const audit_chain& c, std::uint64_t epoch) {
  return epoch - c.first + 1 - c.known <= limits::audit_links_behind_max;
}

/// Whoever owed a link of the epoch that becomes final loses standing.
void count_missed(books& b) {
  for (const epoch_verifier& v : b.epochs.closed) {
    if (v.link == digest{}) {
      account& a = b.at(v.node);
      ++a.missed_links;
      a.consecutive = 0;
    }
  }
}

/// Chains that owe nothing from `oldest` on: another took their place, they are used up, or silent
/// for too long.
void forget_chains(books& b, const node_id& node, std::uint64_t oldest) {
  const account& seen = *b.find(node);
  const auto is_over = [&](std::size_t i) {
    const audit_chain& c = seen.chains[i];
    return (i + 1 < seen.chains.size() && seen.chains[i + 1].first <= oldest) ||
           c.first + c.links <= oldest || (c.first <= oldest && !in_reach(c, oldest)) ||
           (seen.ejected && find_verifier(b.epochs.closed, node) == nullptr);
  };
  std::size_t over = 0;
  while (over < seen.chains.size() && is_over(over)) {
    ++over;
  }
  if (over > 0) {
    account& a = b.at(node);
    a.chains.erase(a.chains.begin(), a.chains.begin() + static_cast<long>(over));
  }
}

std::vector<epoch_verifier> verifiers_now(const books& b) {
  std::vector<epoch_verifier> all;
  for (const node_id& node : b.committed) {
    const account& a = *b.find(node);
    const audit_chain* const c = chain_for(a, b.epochs.number);
    if (check_verifier(node, &a, b.origin.rules) && c != nullptr && in_reach(*c, b.epochs.number)) {
      all.push_back({node, audit_weight(a, b.now, b.origin.rules), {}});
    }
  }
  return all;
}

} // namespace

result<void> run(books& b, const chain_commit& x) {
  const account* const found = b.find(x.verifier);
  if (found != nullptr && found->ejected) {
    return fail(errc::invalid_argument, "{} was convicted and audits no more",
                short_name(x.verifier));
  }
  if (b.committed.size() >= limits::epoch_verifiers_max && !b.committed.contains(x.verifier)) {
    return fail(errc::busy, "{} verifiers have hash chains, as many as may; try again later",
                b.committed.size());
  }
  std::vector<audit_chain>& chains = b.at(x.verifier).chains;
  if (!chains.empty() && chains.back().first > b.epochs.number) {
    chains.pop_back(); // it has not begun
  }
  chains.push_back({b.epochs.number + 2, x.links, 0, x.anchor});
  b.committed.insert(x.verifier);
  return {};
}

result<void> run(books& b, const chain_link& x) {
  if (x.epoch + 1 != b.epochs.number) {
    return fail(errc::invalid_argument,
                "epoch {} is not the one that was closed last and is not final; the current one is "
                "{}",
                x.epoch, b.epochs.number);
  }
  epoch_verifier* const its = find_verifier(b.epochs.closed, x.verifier);
  const account* const found = b.find(x.verifier);
  const audit_chain* const chain = found == nullptr ? nullptr : chain_for(*found, x.epoch);
  if (its == nullptr || chain == nullptr) {
    return fail(errc::invalid_argument, "{} is no verifier of epoch {}", short_name(x.verifier),
                x.epoch);
  }
  const auto number = static_cast<std::uint32_t>(x.epoch - chain->first + 1);
  if (number <= chain->known || !in_reach(*chain, x.epoch) ||
      link_before(x.link, number - chain->known) != chain->last) {
    return fail(errc::invalid_argument,
                "this is not link {} of the hash chain of {}; link {} does not follow from it",
                number, short_name(x.verifier), chain->known);
  }
  its->link = x.link;
  const auto place = static_cast<std::size_t>(chain - found->chains.data());
  audit_chain& c = b.at(x.verifier).chains[place];
  c.known = number;
  c.last = x.link;
  return {};
}

result<void> run(books& b, const epoch_end& x) {
  epoch_state& e = b.epochs;
  if (x.number != e.number) {
    return fail(errc::invalid_argument, "epoch {} is the current one, not {}", e.number, x.number);
  }
  if (!is_due(e, b.origin.rules, b.now)) {
    return fail(errc::invalid_argument, "epoch {} is not due: it has {} entries and {} accruals",
                e.number, e.entries, e.accruals);
  }
  count_missed(b);
  e.closed = std::move(e.verifiers);
  e.closed_at = b.now;
  e.worked = e.accruals > 0;
  e.entries = e.accruals = e.units = e.first_accrual = 0;
  ++e.number;
  for (auto at = b.committed.begin(); at != b.committed.end();) {
    forget_chains(b, *at, x.number);
    at = b.find(*at)->chains.empty() ? b.committed.erase(at) : std::next(at);
  }
  e.verifiers = verifiers_now(b);
  return {};
}

} // namespace ovir::ledger
