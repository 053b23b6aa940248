#include "ledger/rules/command.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/audit.hpp"
#include "messages/limits/carriage.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

error refuse(std::string_view what) { return error{errc::invalid_argument, std::string{what}}; }

result<void> check_amount(micro_credits amount) {
  if (amount == 0 || amount > limits::ledger_supply_max) {
    return fail(errc::invalid_argument, "the amount is {} micro-credits; it must be 1 to {}",
                amount, limits::ledger_supply_max);
  }
  return {};
}

result<void> check_node(const node_id& node, std::string_view what) {
  return node.empty() ? fail(errc::invalid_argument, "{} is not named; give its public key", what)
                      : result<void>{};
}

/// Below 2^31: the upper half numbers compensations.
result<void> check_window(std::uint32_t window) {
  return window >> 31U == 0 ? result<void>{} : refuse("a window's number is at most 2^31 - 1");
}

/// A statement is paid for once: no share without one, and no two with the same.
result<void> check_statements(const accrue& a) {
  std::vector<digest> seen;
  for (const std::vector<window_share>* shares : {&a.computed, &a.served}) {
    for (const window_share& s : *shares) {
      if (s.statement == digest{}) {
        return fail(errc::invalid_argument,
                    "the share of {} names no statement that it pays for; name its digest",
                    short_name(s.node));
      }
      seen.push_back(s.statement);
    }
  }
  std::sort(seen.begin(), seen.end());
  return std::adjacent_find(seen.begin(), seen.end()) == seen.end()
             ? result<void>{}
             : refuse("two shares are for the same statement; it is paid for once");
}

result<void> check_stages(const std::vector<path_stage>& stages) {
  if (stages.empty() || stages.size() > limits::ledger_participants_max) {
    return fail(errc::invalid_argument, "a path has 1 to {} stages, this one {}",
                limits::ledger_participants_max, stages.size());
  }
  for (const path_stage& s : stages) {
    OVIR_TRY(check_node(s.node, "a stage"));
  }
  return {};
}

/// 1 to `most` keys, ascending, all different, none empty.
bool are_keys(const std::vector<node_id>& keys, std::size_t most) {
  return !keys.empty() && keys.size() <= most && !keys.front().empty() &&
         std::adjacent_find(keys.begin(), keys.end(), [](const node_id& a, const node_id& b) {
           return !(a < b);
         }) == keys.end();
}

struct form {
  result<void> operator()(const genesis& g) const {
    OVIR_TRY(check_ranges(g.rules));
    if (!are_keys(g.mint_keys, limits::ledger_mint_keys_max)) {
      return fail(errc::invalid_argument,
                  "a ledger has 1 to {} different mint keys, in ascending order",
                  limits::ledger_mint_keys_max);
    }
    // An even number survives no more losses than one keeper less.
    if (!are_keys(g.keepers, limits::ledger_keepers_max) || g.keepers.size() % 2 == 0) {
      return fail(errc::invalid_argument,
                  "a ledger has an odd number of different keepers, at most {}, in ascending order",
                  limits::ledger_keepers_max);
    }
    return {};
  }
  result<void> operator()(const mint& m) const {
    OVIR_TRY(check_amount(m.amount));
    if (m.target == mint_target::participant) {
      return check_node(m.to, "who gets new credits");
    }
    if ((m.target != mint_target::assurance && m.target != mint_target::treasury) ||
        !m.to.empty()) {
      return refuse("new credits go to a participant, to assurance or to the treasury");
    }
    return {};
  }
  result<void> operator()(const transfer& t) const {
    OVIR_TRY(check_amount(t.amount));
    OVIR_TRY(check_node(t.to, "who is paid"));
    return t.from == t.to ? refuse("a transfer to oneself moves nothing") : result<void>{};
  }
  result<void> operator()(const lock& l) const { return check_amount(l.amount); }
  result<void> operator()(const unlock& u) const { return check_amount(u.amount); }
  result<void> operator()(const reserve& r) const {
    if (r.prompt > limits::ledger_tokens_max || r.completion_max > limits::ledger_tokens_max ||
        r.prompt + r.completion_max == 0) {
      return fail(errc::invalid_argument,
                  "{} prompt and {} completion tokens; together at least one, each at most {}",
                  r.prompt, r.completion_max, limits::ledger_tokens_max);
    }
    if (r.voucher != digest{}) {
      OVIR_TRY(check_node(r.payer, "who pays"));
    } else if (r.scheduler == r.payer) {
      return refuse("a reservation names its payer as the scheduler; leave that out");
    }
    if (r.expires > limits::ledger_seconds_max) {
      return refuse("a reservation ends after the year 2100; give it an earlier end");
    }
    return check_stages(r.stages);
  }
  result<void> operator()(const accrue& a) const {
    OVIR_TRY(check_window(a.window));
    if (a.cached_ppm > limits::ppm_one || a.frontier > limits::ledger_tokens_max) {
      return fail(errc::invalid_argument,
                  "{} ppm of a window came from a cache and {} tokens are done; at most {} and {}",
                  a.cached_ppm, a.frontier, limits::ppm_one, limits::ledger_tokens_max);
    }
    for (const std::vector<window_share>* shares : {&a.computed, &a.served}) {
      if (shares->size() > limits::ledger_participants_max) {
        return fail(errc::invalid_argument, "{} shares; at most {} are allowed", shares->size(),
                    limits::ledger_participants_max);
      }
      for (const window_share& s : *shares) {
        OVIR_TRY(check_node(s.node, "a participant"));
        if (s.on_time > s.units) {
          return refuse("a share has more units on time than it has units");
        }
        const bool may_be_late = shares == &a.computed && s.units > 0;
        if (s.late_ppm > (may_be_late ? limits::ppm_one : 0)) {
          return fail(errc::invalid_argument,
                      "{} ppm of a share of {} units are late; only what was computed can be, and "
                      "{} ppm at most",
                      s.late_ppm, s.units, limits::ppm_one);
        }
      }
    }
    return check_statements(a);
  }
  result<void> operator()(const convict& x) const {
    OVIR_TRY(check_window(x.window));
    OVIR_TRY(check_node(x.guilty, "the convicted"));
    OVIR_TRY(check_node(x.finder, "the finder"));
    if (x.finder == x.guilty) {
      return refuse("nobody is paid for convicting himself");
    }
    if (x.evidence == digest{}) {
      return refuse("a conviction needs evidence; name the digest of its capsule");
    }
    if (x.kind < evidence_kind::replay || x.kind > evidence_kind::double_charge) {
      return refuse("evidence is a replay, an equivocation or a double charge");
    }
    const std::size_t least = x.kind == evidence_kind::replay ? 2 : 0;
    if (x.verdicts.size() < least || x.verdicts.size() > limits::ledger_verdicts_max) {
      return fail(errc::invalid_argument,
                  "{} verdicts; a replay needs those of two different hosts, and {} are the most",
                  x.verdicts.size(), limits::ledger_verdicts_max);
    }
    for (std::size_t i = 0; i < x.verdicts.size(); ++i) {
      if (x.verdicts[i].verifier == x.guilty ||
          (i > 0 && !(x.verdicts[i - 1].verifier < x.verdicts[i].verifier))) {
        return refuse("verdicts are of different hosts, in ascending order, none the convicted's");
      }
    }
    return {};
  }
  result<void> operator()(const compensate& x) const {
    if (x.amount != 0) { // 0 notes the audit, where nothing is charged
      OVIR_TRY(check_amount(x.amount));
    }
    if (x.receipt == digest{}) {
      return refuse("a fee is for one audit; name the digest of the receipt that was audited");
    }
    OVIR_TRY(check_node(x.signer, "whose work was audited"));
    return check_node(x.to, "who is compensated");
  }
  result<void> operator()(const chain_commit& x) const {
    if (x.links == 0 || x.links > limits::audit_chain_links_max) {
      return fail(errc::invalid_argument, "a hash chain of {} links; it has 1 to {}", x.links,
                  limits::audit_chain_links_max);
    }
    return x.anchor == digest{} ? refuse("a hash chain has an end; name it") : result<void>{};
  }
  result<void> operator()(const chain_link& x) const {
    OVIR_TRY(check_node(x.verifier, "the verifier"));
    return x.link == digest{} ? refuse("no link of a hash chain is zero") : result<void>{};
  }
  result<void> operator()(const voucher& v) const {
    OVIR_TRY(check_amount(v.limit));
    if (v.key == digest{}) {
      return refuse("a voucher is for one API key; name it by its digest");
    }
    if (v.expires > limits::ledger_seconds_max) {
      return refuse("a voucher ends after the year 2100; give it an earlier end");
    }
    return are_keys(v.schedulers, limits::voucher_schedulers_max)
               ? result<void>{}
               : fail(errc::invalid_argument,
                      "a voucher names 1 to {} different schedulers, in ascending order",
                      limits::voucher_schedulers_max);
  }
  result<void> operator()(const revoke& x) const {
    return x.voucher == digest{} ? refuse("no voucher is called zero; name the one to revoke")
                                 : result<void>{};
  }
  result<void> operator()(const carriage& x) const {
    const counted_stream& s = x.carried.what;
    OVIR_TRY(check_node(s.sender, "who sent a stream"));
    OVIR_TRY(check_node(s.receiver, "who received a stream"));
    if (s.sender == s.receiver || s.relay == s.sender || s.relay == s.receiver) {
      return refuse("a relay is paid for what it carries between two others; these are not three");
    }
    if (s.bytes > limits::carried_bytes_max || bytes_of_part(s.bytes, x.carried.part) == 0) {
      return fail(errc::invalid_argument,
                  "part {} of a stream is asked for, of which {} bytes are counted; that has {} "
                  "parts of {} bytes",
                  x.carried.part, s.bytes,
                  (s.bytes + limits::relay_part_bytes - 1) / limits::relay_part_bytes,
                  limits::relay_part_bytes);
    }
    return {};
  }
  result<void> operator()(const reroute& x) const { return check_stages(x.stages); }
  result<void> operator()(const release&) const { return {}; }
  result<void> operator()(const unlocked&) const { return {}; }
  result<void> operator()(const settle&) const { return {}; }
  result<void> operator()(const cancel&) const { return {}; }
  result<void> operator()(const expire&) const { return {}; }
  result<void> operator()(const epoch_end&) const { return {}; }
};

} // namespace

result<void> check_form(const command& c) {
  if (const node_id* const signer = signer_of(c); signer != nullptr) {
    OVIR_TRY(check_node(*signer, "the signer"));
  }
  if (nonce_of(c) == 0) {
    return refuse("nonces begin at 1");
  }
  return std::visit(form{}, c);
}

} // namespace ovir::ledger
