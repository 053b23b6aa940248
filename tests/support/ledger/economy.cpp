#include "tests/support/ledger/economy.hpp"

#include "ledger/rules/invariants.hpp"
#include "ledger/rules/split.hpp"
#include "ledger/rules/standing.hpp"
#include "ledger/rules/state.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/check.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <array>
#include <random>

namespace ovir::test {

using namespace ledger;

namespace {

constexpr std::uint64_t t0 = 1'700'000'000;
constexpr std::uint64_t request_seconds = 30;
constexpr std::uint64_t window_tokens = 32;
constexpr std::uint64_t windows = 4; // the prompt's, and three of completion
constexpr std::size_t stages = 3;    // of a path, equal slices of the model
constexpr std::uint32_t lazy_every = 5;
constexpr std::uint32_t newcomer_every = 20; // requests in which one newcomer is tried

node_id node_of(std::string_view what, std::uint64_t number) {
  return {hasher{"ovir/economy/v1/node"}.update_text(what).update_u64(number).finish().bytes};
}

struct provider {
  strategy plays{strategy::honest};
  node_id key;
  bool out{false};              ///< convicted, and not coming back
  std::uint64_t put_in{0};      ///< endowments of all its keys
  std::uint64_t left_behind{0}; ///< under keys of the past
  std::uint64_t computed{0};    ///< units
  std::uint64_t cheated{0};
  std::uint64_t identities{0};
  std::uint64_t convictions{0};
};

class market {
public:
  explicit market(const economy_options& o) : o_(o), random_(o.seed), book_(o.seed) {
    genesis g;
    g.rules = o.rules;
    g.rules.actions_per_minute_max = 1'000'000'000;
    g.mint_keys = {node_of("mint", 0)};
    g.keepers = {node_of("keeper", 0)};
    apply(g);
    mint_to(client_, limits::ledger_supply_max / 4);
    for (std::uint64_t v = 0; v < 2; ++v) { // their verdicts have to count
      const node_id verifier = node_of("verifier", v);
      const micro_credits stake =
          std::max(o.rules.deterrence.auditor_stake, o.rules.admission_stake);
      mint_to(verifier, stake);
      apply(ledger::lock{verifier, stake, ++nonce_});
    }
    for (std::size_t s = 0; s < strategies; ++s) {
      const std::uint32_t count = s == 0 ? o.honest : o.of_each_other;
      for (std::uint32_t i = 0; i < count; ++i) {
        providers_.push_back({});
        providers_.back().plays = static_cast<strategy>(s);
        enter(providers_.back());
      }
    }
    courses_.resize(strategies);
  }

  economy_result run() {
    for (std::uint64_t r = 0; r < o_.requests; ++r) {
      now_ += request_seconds;
      release_what_is_due();
      serve_request();
      if ((r + 1) * points / o_.requests != r * points / o_.requests) {
        OVIR_CHECK(check_invariants(book_).has_value());
        note_course();
      }
    }
    now_ += o_.rules.audit_window_s + o_.rules.reservation_s_max;
    release_what_is_due();
    OVIR_CHECK(check_invariants(book_).has_value());
    note_course();
    return summary();
  }

private:
  bool one_in(std::uint64_t ppm) { return random_() % limits::ppm_one < ppm; }

  void apply(command c) {
    const entry e{now_, std::move(c), {}};
    std::vector<std::byte> bytes;
    encode(e, bytes);
    effects_.clear();
    const auto done = book_.apply(e, bytes, book_.entries(), effects_);
    OVIR_CHECK(done.has_value() && done->how == apply_outcome::applied,
               done ? "a duplicate" : done.error().message.c_str());
  }
  void mint_to(const node_id& to, micro_credits amount) {
    apply(ledger::mint{node_of("mint", 0), mint_target::participant, to, amount, ++nonce_});
  }

  /// Under a new key, with the stake that the policy asks for.
  void enter(provider& p) {
    p.key = node_of("provider", ++keys_);
    ++p.identities;
    const micro_credits stake = o_.rules.deterrence.stake;
    if (stake > 0) {
      mint_to(p.key, stake);
      p.put_in += stake;
      apply(ledger::lock{p.key, stake, ++nonce_});
    }
  }

  void release_what_is_due() {
    for (auto due = book_.due(now_, limits::ledger_due_max); !due.empty();
         due = book_.due(now_, limits::ledger_due_max)) {
      for (command& c : due) {
        apply(std::move(c));
      }
    }
  }

  /// Stake or a first unit that stood; the others are asked seldom, or a liar who comes back under
  /// new keys would be as influential as he has keys.
  [[nodiscard]] bool is_known(const provider& p) const {
    const account* const a = book_.find(p.key);
    return a != nullptr && (a->valid_units > 0 ||
                            (a->firm_stake() > 0 && a->firm_stake() >= o_.rules.admission_stake));
  }

  std::vector<provider*> pick_path() {
    std::vector<provider*> known;
    std::vector<provider*> newcomers;
    for (provider& p : providers_) {
      if (!p.out && book_.check_admission(p.key)) {
        (is_known(p) ? known : newcomers).push_back(&p);
      }
    }
    std::vector<provider*> path;
    if (known.size() + newcomers.size() < stages) {
      return path; // newcomers wait for their audits
    }
    const auto take = [&](std::vector<provider*>& from) { // each as likely as any other
      const std::size_t at = random_() % from.size();
      path.push_back(from[at]);
      from.erase(from.begin() + static_cast<long>(at));
    };
    if (!newcomers.empty() && random_() % newcomer_every == 0) {
      take(newcomers);
    }
    while (path.size() < stages) {
      take(known.empty() ? newcomers : known);
    }
    return path;
  }

  [[nodiscard]] std::uint64_t audit_rate(const provider& p) const {
    const account* const a = book_.find(p.key);
    const std::uint64_t least = o_.rules.deterrence.audit_rate_ppm;
    return a == nullptr ? limits::ppm_one : audit_rate_ppm(*a, least);
  }

  bool cheats(const provider& p) {
    // Patience ends where more of it would change little: at the least rate, or at one in a
    // hundred.
    const bool seldom_audited =
        audit_rate(p) <= std::max<std::uint64_t>(o_.rules.deterrence.audit_rate_ppm, 10'000);
    switch (p.plays) {
    case strategy::honest: return false;
    case strategy::lazy: return seldom_audited && random_() % lazy_every == 0;
    case strategy::lying:
    case strategy::colluding:
    case strategy::patient: return seldom_audited;
    case strategy::impatient:
    case strategy::sybil: return true;
    }
    return false;
  }

  /// An audit takes place, an auditor that is not in league looks, and finds it.
  bool found(const provider& p) {
    const deterrence_terms& t = o_.rules.deterrence;
    if (!one_in(audit_rate(p))) {
      return false;
    }
    bool somebody_looks = p.plays != strategy::colluding;
    for (std::uint32_t m = 0; m < t.auditors && !somebody_looks; ++m) {
      somebody_looks = !one_in(t.colluding_share_ppm);
    }
    return somebody_looks && one_in(t.sensitivity_ppm);
  }

  void serve_request() {
    std::vector<provider*> path = pick_path();
    if (path.empty()) {
      return;
    }
    ledger::reserve r;
    r.payer = client_;
    r.about = node_digest(++requests_);
    r.rate = o_.rules.deterrence.unit_fee / window_tokens;
    r.prompt = window_tokens;
    r.completion_max = window_tokens * (windows - 1);
    r.expires = now_ + o_.rules.reservation_s_max;
    for (const provider* p : path) {
      r.stages.push_back({p->key, 1, limits::ppm_one});
    }
    r.nonce = ++nonce_;
    request_ = escrow_of(r);
    apply(r);
    std::vector<std::pair<std::uint32_t, std::size_t>> cheats_of_it;
    for (std::uint32_t w = 0; w < windows; ++w) {
      accrue_window(w, path);
      for (std::size_t s = 0; s < stages; ++s) {
        if (cheats(*path[s])) {
          ++path[s]->cheated;
          cheats_of_it.emplace_back(w, s);
        } else {
          ++path[s]->computed;
        }
      }
    }
    apply(ledger::settle{request_, client_});
    for (const auto& cheat : cheats_of_it) {
      provider& p = *path[cheat.second];
      // After one conviction a request may be forgotten: whoever else lied in it lost its pay there
      // with the first one's windows.
      const bool may_be_convicted =
          p.key == r.stages[cheat.second].node && !p.out && book_.find_request(request_) != nullptr;
      if (may_be_convicted && found(p)) {
        convict_provider(p, cheat.first);
      }
    }
  }

  static digest node_digest(std::uint64_t n) {
    return hasher{"ovir/economy/v1/request"}.update_u64(n).finish();
  }

  void accrue_window(std::uint32_t window, const std::vector<provider*>& path) {
    ledger::accrue a;
    a.request = request_;
    a.scheduler = client_;
    a.window = window;
    a.frontier = window * window_tokens;
    const std::uint64_t gross = book_.find_request(request_)->rate * window_tokens;
    std::vector<weighted> weights;
    weights.reserve(path.size());
    for (const provider* p : path) {
      weights.push_back({p->key, 1});
    }
    const auto parts =
        split(gross - scaled(gross, o_.rules.fee_ppm, limits::ppm_one), weights).value();
    for (std::size_t s = 0; s < path.size(); ++s) {
      a.computed.push_back(
          {path[s]->key, 1, parts[s], 1, 1, 0, node_digest(requests_ << 20U | window << 8U | s)});
    }
    apply(a);
  }

  void convict_provider(provider& p, std::uint32_t window) {
    ledger::convict x;
    x.request = request_;
    x.window = window;
    x.guilty = p.key;
    x.finder = node_of("verifier", 0);
    x.evidence = node_digest(requests_);
    x.verdicts = {{node_of("verifier", 0), {}}, {node_of("verifier", 1), {}}};
    std::sort(x.verdicts.begin(), x.verdicts.end(),
              [](const verdict& a, const verdict& b) { return a.verifier < b.verifier; });
    apply(x);
    ++p.convictions;
    p.left_behind += book_.find(p.key)->free;
    if (p.plays == strategy::sybil || p.plays == strategy::patient) {
      enter(p);
    } else {
      p.out = true;
    }
  }

  /// What it has, less what it put in and what computing cost it: credits.
  [[nodiscard]] double profit(const provider& p) const {
    const account* const a = book_.find(p.key);
    std::uint64_t has = p.left_behind;
    if (a != nullptr && !p.out) {
      has += a->free + a->pending + a->stake;
    }
    const double cost = static_cast<double>(p.computed) *
                        static_cast<double>(o_.rules.deterrence.saved) / double{stages};
    return (static_cast<double>(has) - static_cast<double>(p.put_in) - cost) / double{credit};
  }

  template <class Visit>
  void each_of(strategy s, const Visit& visit) const {
    for (const provider& p : providers_) {
      if (p.plays == s) {
        visit(p);
      }
    }
  }

  void note_course() {
    for (std::size_t s = 0; s < strategies; ++s) {
      double sum = 0;
      each_of(static_cast<strategy>(s), [&](const provider& p) { sum += profit(p); });
      courses_[s].push_back(sum / (s == 0 ? o_.honest : o_.of_each_other));
    }
  }

  [[nodiscard]] economy_result summary() const {
    economy_result out;
    for (std::size_t s = 0; s < strategies; ++s) {
      strategy_earnings e;
      e.what = static_cast<strategy>(s);
      each_of(e.what, [&](const provider& p) {
        e.most = e.operators == 0 ? profit(p) : std::max(e.most, profit(p));
        ++e.operators;
        e.units += p.computed + p.cheated;
        e.cheated += p.cheated;
        e.convictions += p.convictions;
        e.identities += p.identities;
      });
      e.course = courses_[s];
      e.mean = e.course.back();
      out.wrong_units_paid += e.cheated - std::min(e.cheated, e.convictions);
      out.honest_convicted += e.what == strategy::honest ? e.convictions : 0;
      out.by_strategy.push_back(std::move(e));
    }
    out.entries = book_.entries();
    out.burnt = book_.sums().burnt;
    return out;
  }

  const economy_options& o_;
  std::mt19937_64 random_;
  state book_;
  std::uint64_t now_{t0};
  std::uint64_t nonce_{0};
  std::uint64_t keys_{0};
  std::uint64_t requests_{0};
  escrow_id request_;
  node_id client_{node_of("client", 0)};
  std::vector<provider> providers_;
  std::vector<std::vector<double>> courses_;
  std::vector<posting> effects_;
};

policy market_policy() {
  policy p;
  deterrence_terms& t = p.deterrence;
  t.unit_fee = 32 * credit;
  t.saved = 256 * credit / 10;
  t.sensitivity_ppm = 990'000;
  t.colluding_share_ppm = 300'000;
  t.auditors = 2;
  t.audit_fee = 8 * credit;
  t.audit_cost = 64 * credit / 10;
  return p;
}

} // namespace

std::string_view to_string(strategy s) noexcept {
  constexpr std::array names{"honest",    "lazy",  "lying",        "impatient",
                             "colluding", "Sybil", "patient Sybil"};
  return names[static_cast<std::size_t>(s)];
}

policy bonded_policy() {
  policy p = market_policy();
  p.deterrence.mode = trust_mode::bonded;
  p.deterrence.audit_rate_ppm = 170'000;
  p.deterrence.stake = 160 * credit;
  p.deterrence.auditor_stake = 160 * credit;
  p.deterrence.planted_ppm = 50'000;
  return p;
}

policy zero_bond_policy() {
  policy p = market_policy();
  p.deterrence.mode = trust_mode::zero_bond;
  p.deterrence.audit_rate_ppm = 900'000;
  p.deterrence.planted_ppm = 850'000;
  return p;
}

policy seldom_audited(policy p) {
  p.deterrence.audit_rate_ppm = 500;
  p.deterrence.stake = p.deterrence.mode == trust_mode::bonded ? credit : 0;
  return p;
}

economy_result run_economy(const economy_options& o) { return market{o}.run(); }

} // namespace ovir::test
