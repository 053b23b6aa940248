#include "tests/swarm/economy/market.hpp"

#include "messages/limits/ledger.hpp"
#include "tests/swarm/tiny_model.hpp"

#include <array>
#include <utility>

namespace ovir::swarm {

namespace {

constexpr std::array<std::string_view, market_plays> play_names{
    "honest", "lazy", "lying",    "impatient", "colluding", "sybil",
    "keys",   "late", "hoarding", "unpaying",  "settling"};

// The seven numbers of a policy below that are not those of config/ledger.toml: its hours would be
// hours of idle nodes here.
constexpr std::uint64_t audit_window = 60;
constexpr std::uint64_t epoch_length = 2;
constexpr std::uint64_t actions_a_minute = 100'000;
constexpr std::uint64_t seldom_rate_ppm = 500;
constexpr std::uint64_t seldom_audit_window = 3;
constexpr std::uint64_t seldom_saved = 16'000;
constexpr std::uint64_t seldom_audit_cost = 100;

constexpr std::size_t keeper_number = market_nodes - 1;
constexpr std::size_t workers_first = 5;
constexpr std::uint32_t place_layers = 2;
constexpr std::uint32_t seat_place = 1;
/// Of the workers from `workers_first` on.
constexpr std::array<std::uint32_t, market_nodes - workers_first> places{0, seat_place, seat_place,
                                                                         2, 2,          3};
/// The most that schedulers take.
constexpr std::uint32_t hoarding_ask_ppm = limits::ledger_ask_ppm_usual_max;

} // namespace

std::string_view to_string(market_play p) noexcept {
  return play_names.at(static_cast<std::size_t>(p));
}

bool schedules(market_play p) noexcept {
  return p == market_play::unpaying || p == market_play::settling;
}

bool states_wrongly(market_play p) noexcept {
  switch (p) {
  case market_play::lazy:
  case market_play::lying:
  case market_play::impatient:
  case market_play::colluding:
  case market_play::sybil: return true;
  default: return false;
  }
}

ledger::policy market_rules(const market_terms& terms) {
  ledger::policy p;
  p.audit_window_s = audit_window;
  p.epoch_s = epoch_length;
  p.actions_per_minute_max = actions_a_minute;
  ledger::deterrence_terms& t = p.deterrence;
  t.unit_fee = 32 * ledger::credit;
  t.audit_fee = 8 * ledger::credit;
  t.planted_ppm = 50'000;
  if (terms.seldom) {
    p.audit_window_s = seldom_audit_window;
    t.audit_rate_ppm = seldom_rate_ppm;
    t.saved = seldom_saved;
    t.stake = ledger::credit;
    t.audit_cost = seldom_audit_cost;
    t.auditor_stake = ledger::credit;
    return p;
  }
  t.audit_rate_ppm = 150'000;
  t.saved = 256 * ledger::credit / 10;
  t.stake = 160 * ledger::credit;
  t.audit_cost = 64 * ledger::credit / 10;
  t.auditor_stake = 160 * ledger::credit;
  return p;
}

role_set market_roles(std::size_t number, bool keeper_alone) {
  role_set roles;
  if (number < 2) {
    roles.add(role::scheduler);
  } else if (number < workers_first) {
    roles.add(role::verifier);
  } else {
    const bool keeps = number == keeper_number;
    if (keeps) {
      roles.add(role::ledger);
    }
    if (!keeps || !keeper_alone) {
      roles.add(role::worker);
    }
  }
  return roles;
}

void arrange_market(std::size_t number, const market_terms& terms, supervision::node_options& o) {
  const bool works = o.roles.has(role::worker);
  if (works) {
    std::uint32_t place = number < market_nodes ? places.at(number - workers_first) : seat_place;
    if (terms.keeper_alone && number + 1 == keeper_number) {
      place = places.back();
    }
    o.models.front().layers = layer_range{place * place_layers, (place + 1) * place_layers};
  }
  const bool of_the_seat = number == market_seat || number >= market_nodes;
  if (terms.dear && of_the_seat) {
    o.ledger.ask_ppm = hoarding_ask_ppm;
  }
  if ((works || o.roles.has(role::verifier)) && !(terms.keys && of_the_seat)) {
    o.ledger.stake = market_rules(terms).deterrence.stake;
  }
}

std::set<std::size_t> market_verifiers(market_play p) {
  std::set<std::size_t> all;
  for (std::size_t who = 0; who < market_nodes; ++who) {
    if (market_roles(who).has(role::verifier) &&
        !(p == market_play::colluding && who == market_colluder)) {
      all.insert(who);
    }
  }
  return all;
}

std::set<std::size_t> market_operator(market_play p) {
  if (schedules(p)) {
    return {market_scheduler};
  }
  std::set<std::size_t> all{market_seat};
  for (std::size_t i = 0; i < market_further_keys; ++i) {
    all.insert(market_nodes + i);
  }
  if (p == market_play::colluding) {
    all.insert(market_colluder);
  }
  return all;
}

} // namespace ovir::swarm
