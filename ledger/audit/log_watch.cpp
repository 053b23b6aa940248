#include "ledger/audit/log_watch.hpp"

#include "messages/limits/audit.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace ovir::ledger {

namespace {

bool has(const std::vector<node_id>& all, const node_id& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

/// The newest ones stay.
template <class T>
void bound(std::vector<T>& all) {
  if (all.size() > 2 * limits::audit_duties_max) {
    all.erase(all.begin(), all.end() - static_cast<long>(limits::audit_duties_max));
  }
}

} // namespace

const log_watch::request* log_watch::find(const escrow_id& escrow) const {
  const auto found = requests_.find(escrow);
  return found == requests_.end() ? nullptr : &found->second;
}

void log_watch::note(const reserve& x) {
  const escrow_id escrow = escrow_of(x);
  const node_id& driver = x.scheduler.empty() ? x.payer : x.scheduler;
  if (!requests_.emplace(escrow, request{x.about, driver}).second) {
    return;
  }
  order_.push_back(escrow);
  if (order_.size() > limits::watched_requests_max) {
    requests_.erase(order_.front());
    order_.pop_front();
  }
}

void log_watch::note(const epoch_draw& d) {
  if (const auto waits = accrued_.find(d.number); waits != accrued_.end()) {
    auto& list = d.verifiers.empty() ? news_.undrawn : news_.drawn;
    list.insert(list.end(), waits->second.begin(), waits->second.end());
    accrued_.erase(waits);
  }
  d.each_drawn([&](const drawn_unit& u) {
    const request* const r = find(u.unit.request);
    if (r != nullptr && (is_mine(*r) || has(u.verifiers, self_))) {
      news_.duties.push_back({r->about, u.unit, u.verifiers, r->driver});
    }
  });
}

/// Chains and links of this node, as they are behind the last entry.
void log_watch::note_own(const state& after) {
  const account* const own = after.find(self_);
  std::vector<audit_chain> chains = own == nullptr ? std::vector<audit_chain>{} : own->chains;
  const epoch_state& epochs = after.epochs();
  const epoch_verifier* const v = find_verifier(epochs.closed, self_);
  const std::optional<std::uint64_t> owed =
      v != nullptr && v->link == digest{} ? std::optional{epochs.number - 1} : std::nullopt;
  const std::uint64_t rate = after.origin().rules.deterrence.audit_rate_ppm;
  if (chains != news_.chains || owed != news_.owed || rate != news_.least_rate_ppm) {
    news_.chains = std::move(chains);
    news_.owed = owed;
    news_.least_rate_ppm = rate;
    changed_ = true;
  }
}

void log_watch::take(std::uint64_t index, const entry& e, const digest& chain, const state& after) {
  std::visit(
      [&](const auto& x) {
        using kind = std::decay_t<decltype(x)>;
        if constexpr (std::is_same_v<kind, reserve>) {
          note(x);
        } else if constexpr (std::is_same_v<kind, accrue> || std::is_same_v<kind, settle> ||
                             std::is_same_v<kind, expire>) {
          const request* const r = find(x.request);
          if (r != nullptr && is_mine(*r)) {
            (std::is_same_v<kind, accrue> ? news_.accrued : news_.settled).push_back(r->about);
          }
          if (r != nullptr && is_mine(*r) && std::is_same_v<kind, accrue>) {
            auto& waits = accrued_[after.epochs().number];
            waits.push_back(r->about);
            bound(waits);
          }
        } else if constexpr (std::is_same_v<kind, compensate>) {
          const request* const r = find(x.request);
          if (r != nullptr && (is_mine(*r) || x.to == self_)) {
            news_.audits.push_back({r->about, x.request, x.window, x.signer, x.to, r->driver});
          }
        } else if constexpr (std::is_same_v<kind, genesis> || std::is_same_v<kind, epoch_end> ||
                             std::is_same_v<kind, chain_commit> ||
                             std::is_same_v<kind, chain_link>) {
          note_own(after);
        }
      },
      e.what);
  for (const epoch_draw& d : reader_.take(index, e, chain, after)) {
    note(d);
  }
  // An epoch that the reader did not see begin is told by nobody.
  while (!accrued_.empty() && accrued_.begin()->first + 2 < after.epochs().number) {
    const auto& lost = accrued_.begin()->second;
    news_.undrawn.insert(news_.undrawn.end(), lost.begin(), lost.end());
    accrued_.erase(accrued_.begin());
  }
  bound(news_.duties);
  bound(news_.audits);
  for (auto* const list : {&news_.accrued, &news_.drawn, &news_.undrawn, &news_.settled}) {
    bound(*list);
  }
}

std::optional<audit_news> log_watch::take_news() {
  if (news_.empty() && !changed_) {
    return std::nullopt;
  }
  changed_ = false;
  audit_news news = std::exchange(news_, {});
  news_.chains = news.chains;
  news_.owed = news.owed;
  news_.least_rate_ppm = news.least_rate_ppm;
  return news;
}

} // namespace ovir::ledger
