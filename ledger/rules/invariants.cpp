#include "ledger/rules/invariants.hpp"

#include "ledger/rules/tariff.hpp"
#include "messages/limits/ledger.hpp"

#include <map>

namespace ovir::ledger {

namespace {

template <class... Args>
error broken(int number, fmt::format_string<Args...> text, Args&&... args) {
  return fail(errc::internal, "invariant {} is broken: {}", number,
              fmt::format(text, std::forward<Args>(args)...));
}

struct pending_of {
  micro_credits amount{0};
  std::uint64_t windows{0};
};

struct request_walk {
  std::map<node_id, pending_of> pending;
  std::map<node_id, std::uint64_t> open;
  struct drawn {
    wide held{0};
    std::uint64_t open{0};
  };
  std::map<digest, drawn> by_voucher; ///< of open requests
  wide held{0};
};

result<void> check_windows(const std::string& name, const request_record& q, request_walk& walk) {
  micro_credits gross = 0;
  micro_credits refund = 0;
  std::uint32_t unsettled = 0;
  for (const std::vector<window_record>* windows : {&q.windows, &q.compensations}) {
    for (const window_record& w : *windows) {
      gross += w.gross;
      refund += w.refund;
      wide parts = wide{w.fee} + w.refund + w.withheld;
      for (const pending_share& s : w.shares) {
        parts += s.amount;
        if (w.phase == window_phase::pending) {
          walk.pending[s.node].amount += s.amount;
          ++walk.pending[s.node].windows;
        }
      }
      if (windows == &q.windows && parts != w.gross) {
        return broken(5, "a window of {} was divided into more or less than its price", name);
      }
      unsettled += w.phase == window_phase::pending ? 1 : 0;
    }
  }
  if (gross != q.accrued + q.cache_refunded || refund != q.cache_refunded ||
      unsettled != q.unsettled) {
    return broken(5, "the windows of {} do not add up to what it accrued", name);
  }
  return {};
}

result<void> check_request(const escrow_id& id, const request_record& q, request_walk& walk) {
  const std::string name = to_hex(id).substr(0, 8);
  if (wide{q.accrued} + q.cache_refunded + q.returned + q.held != q.reserved) {
    return broken(3, "request {}: accrued {}, refunded {} and {}, held {}, reserved {}", name,
                  q.accrued, q.cache_refunded, q.returned, q.held, q.reserved);
  }
  const auto price = token_price(q.prompt_accounted ? q.prompt : 0, q.accounted, q.rate);
  if (!price || q.accrued + q.cache_refunded != *price) {
    return broken(5,
                  "request {}: accrued {} and refunded {} for cache hits, but its tokens cost {}",
                  name, q.accrued, q.cache_refunded, price ? *price : 0);
  }
  OVIR_TRY(check_windows(name, q, walk));
  walk.held += q.held;
  walk.open[q.payer] += q.open && !q.ended ? 1 : 0;
  if (q.open && q.voucher != digest{}) {
    request_walk::drawn& of = walk.by_voucher[q.voucher];
    of.held += q.held;
    ++of.open;
  }
  return {};
}

/// What vouchers have reserved is in the escrows of their requests, and none has paid too much.
result<void> check_vouchers(const state& s, request_walk& walk) {
  std::map<node_id, std::size_t> owned;
  for (const auto& [id, v] : s.vouchers().all()) {
    const std::string name = to_hex(id).substr(0, 8);
    if (wide{v.reserved} + v.spent > v.limit) {
      return broken(11, "voucher {}: reserved {}, spent {}, limit {}", name, v.reserved, v.spent,
                    v.limit);
    }
    const request_walk::drawn of = walk.by_voucher[id];
    if (of.held != v.reserved || of.open != v.open_requests) {
      return broken(
          11, "voucher {} has {} reserved for {} requests; these hold {}, and {} are open", name,
          v.reserved, v.open_requests, static_cast<std::uint64_t>(of.held), of.open);
    }
    if (++owned[v.account] > limits::vouchers_max) {
      return broken(11, "{} has more than {} vouchers", short_name(v.account),
                    limits::vouchers_max);
    }
  }
  for (const auto& [id, q] : s.requests()) {
    const voucher_record* const v = s.vouchers().find(q.voucher);
    if (q.open && q.voucher != digest{} &&
        (v == nullptr || v->account != q.payer || !v->may_reserve(q.scheduler))) {
      return broken(11, "request {} is paid by a voucher that does not pay for it",
                    to_hex(id).substr(0, 8));
    }
  }
  return {};
}

/// One that was convicted since keeps its chains until its epochs are over.
result<void> check_epoch(const state& s, std::uint64_t epoch,
                         const std::vector<epoch_verifier>& verifiers) {
  for (std::size_t i = 0; i < verifiers.size(); ++i) {
    const epoch_verifier& v = verifiers[i];
    const account* const a = s.find(v.node);
    const audit_chain* const c = a == nullptr ? nullptr : chain_for(*a, epoch);
    if (c == nullptr || v.weight == 0 || (i > 0 && !(verifiers[i - 1].node < v.node))) {
      return broken(10, "{} is in the set of epoch {} and has no hash chain for it",
                    short_name(v.node), epoch);
    }
    const bool is_known = c->known == epoch - c->first + 1;
    if (is_known != (v.link != digest{}) || (is_known && c->last != v.link)) {
      return broken(10, "the link of {} for epoch {} is not the last that is known of its chain",
                    short_name(v.node), epoch);
    }
  }
  return {};
}

result<void> check_epochs(const state& s) {
  const epoch_state& e = s.epochs();
  std::size_t committed = 0;
  for (const auto& [node, a] : s.accounts()) {
    committed += a->chains.empty() ? 0 : 1;
    for (std::size_t i = 0; i < a->chains.size(); ++i) {
      const audit_chain& c = a->chains[i];
      if (c.first > e.number + 2 || c.known > c.links ||
          (c.known > 0 && c.first + c.known > e.number) ||
          (i > 0 && c.first <= a->chains[i - 1].first)) {
        return broken(10, "{} has a hash chain that cannot be", short_name(node));
      }
    }
  }
  if (committed != s.committed().size()) {
    return broken(10, "{} accounts have hash chains, not {}", committed, s.committed().size());
  }
  if (!e.closed.empty() && e.number == 0) {
    return broken(10, "an epoch was closed before the first");
  }
  if (e.number > 0) {
    OVIR_TRY(check_epoch(s, e.number - 1, e.closed));
  }
  return check_epoch(s, e.number, e.verifiers);
}

} // namespace

result<void> check_invariants(const state& s) {
  request_walk walk;
  for (const auto& [id, q] : s.requests()) {
    OVIR_TRY(check_request(id, q, walk));
  }
  const totals& t = s.sums();
  wide sum = walk.held + t.assurance + t.treasury + t.burnt;
  for (const auto& [node, a] : s.accounts()) {
    sum += wide{a->free} + a->pending + a->stake;
    const pending_of expected = walk.pending[node];
    if (s.earning().contains(node) != (a->pending_windows > 0)) {
      return broken(2, "{} has {} windows pending and is listed wrongly", short_name(node),
                    a->pending_windows);
    }
    if (a->pending != (a->ejected ? 0 : expected.amount) ||
        a->pending_windows != expected.windows) {
      return broken(2, "{} has {} pending in {} windows, its windows say {} in {}",
                    short_name(node), a->pending, a->pending_windows, expected.amount,
                    expected.windows);
    }
    wide leaving = 0;
    for (const unlocking& u : a->unlockings) {
      leaving += u.amount;
    }
    if (leaving > a->stake) {
      return broken(2, "{} calls back more stake than it has", short_name(node));
    }
    if (a->open_requests != walk.open[node]) {
      return broken(2, "{} has {} open requests, not {}", short_name(node), walk.open[node],
                    a->open_requests);
    }
  }
  if (sum != t.minted) {
    return broken(1, "{} were minted, but all balances together are {}", t.minted,
                  static_cast<std::uint64_t>(sum));
  }
  if (s.ids() != s.entries()) {
    return broken(4, "{} entries, but {} ids", s.entries(), s.ids());
  }
  OVIR_TRY(check_vouchers(s, walk));
  return check_epochs(s);
}

result<void> check_slash(const state& before, const std::vector<posting>& effects) {
  std::map<digest, wide> lost;
  for (const posting& p : effects) {
    if (p.from.kind == purse::stake && p.kind != posting_kind::unlock) {
      lost[p.from.of] += p.amount;
    }
  }
  for (const auto& [of, amount] : lost) {
    const account* const a = before.find(node_id{of.bytes});
    if (a == nullptr || amount > a->stake) {
      return broken(7, "{} lost more stake than it had", short_name(node_id{of.bytes}));
    }
  }
  return {};
}

} // namespace ovir::ledger
