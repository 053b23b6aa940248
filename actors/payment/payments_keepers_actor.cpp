#include "actors/payment/payments_parts_actor.hpp"
#include "messages/limits/keepers.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

// Which keeper of several is asked, and what follows when that is another one than before.

namespace ovir::actors {

namespace {

bool is_reached(const payments_state& state, const node_id& keeper) {
  return keeper == state.environment.key->id() || state.linked_nodes.contains(keeper);
}

void say_to(payments_pointer self, const node_id& keeper, std::uint64_t id,
            const payments_state::said_body& body) {
  self->state.environment.links->send_credit(keeper, ledger::to_bytes(ledger::message{id, body}));
}

/// By this, too, it knows who is to be told of heads, and that it leads.
void greet(payments_pointer self, const node_id& keeper) {
  say_to(self, keeper, 0, ledger::ask_account{self->state.environment.key->id()});
}

void turn_to(payments_pointer self, const node_id& keeper) {
  auto& at = self->state.at;
  if (keeper != at.node) {
    at.turned = now_of(self);
    self->state.environment.journal->say(log_level::debug, std::nullopt,
                                         "asks the ledger's keeper {}", short_name(keeper));
  }
  at.node = keeper;
  at.linked = is_reached(self->state, keeper);
  at.waits.reset();
  if (at.linked) {
    ask_for_account(self);
    send_again(self);
  }
  keep_ticking(self);
}

/// To the next one that can be reached.
void turn(payments_pointer self) {
  auto& at = self->state.at;
  const auto here = std::ranges::find(at.all, at.node);
  const auto from = static_cast<std::size_t>(here - at.all.begin());
  for (std::size_t i = 1; i <= at.all.size(); ++i) {
    const node_id& next = at.all[(from + i) % at.all.size()];
    if (next != at.node && is_reached(self->state, next)) {
      return turn_to(self, next);
    }
  }
}

void ask_another_soon(payments_pointer self) {
  if (!std::exchange(self->state.at.resends, true)) {
    self->delayed_send(self, limits::keeper_leaderless, ask_again{});
  }
}

void take_leader(payments_pointer self, const node_id& from, const ledger::message& m) {
  payments_state& state = self->state;
  const node_id& leader = std::get<ledger::leader_news>(m.body).keeper;
  if (m.id == 0 && leader == from) {
    return turn_to(self, from);
  }
  if (from != state.at.node) {
    return; // the answer to what was sent elsewhere since
  }
  // While keepers elect, each may name another, or none: not more often than now and then.
  const bool is_new =
      leader != state.at.node && may_ask(state, leader) && is_reached(state, leader);
  if (is_new && now_of(self) - state.at.turned > limits::keeper_leaderless) {
    return turn_to(self, leader);
  }
  ask_another_soon(self);
}

/// As if it had been sent long ago.
storage::env::time_point long_ago(payments_pointer self) {
  return now_of(self) - 2 * limits::claim_again;
}

template <class Waiting>
void ask_all_again(payments_pointer self, const Waiting& all) {
  for (const auto& [id, question] : all) {
    say(self, id, question.what);
  }
}

} // namespace

void begin_with_keepers(payments_pointer self) {
  payments_state& state = self->state;
  auto& at = state.at;
  at.all = state.environment.keepers;
  OVIR_CHECK(!at.all.empty());
  const node_id& me = state.environment.key->id();
  at.node = may_ask(state, me) ? me : at.all.front();
  at.linked = at.node == me;
}

void know_keepers(payments_pointer self) {
  payments_state& state = self->state;
  for (const node_id& keeper : state.signed_by_keepers.who) {
    if (!may_ask(state, keeper)) {
      state.at.all.push_back(keeper);
      if (is_reached(state, keeper)) {
        greet(self, keeper);
      }
    }
  }
  std::erase_if(state.at.all, [&](const node_id& one) {
    return !std::ranges::binary_search(state.signed_by_keepers.who, one);
  });
}

bool may_ask(const payments_state& state, const node_id& node) {
  return std::ranges::find(state.at.all, node) != state.at.all.end();
}

void say_to_all(payments_pointer self, std::uint64_t id, const payments_state::said_body& body) {
  for (const node_id& keeper : self->state.at.all) {
    if (keeper != self->state.at.node) {
      say_to(self, keeper, id, body);
    }
  }
}

bool is_heard(payments_pointer self, const node_id& from, const ledger::message& m) {
  payments_state& state = self->state;
  if (!may_ask(state, from)) {
    return false;
  }
  if (from == state.at.node) {
    state.at.waits.reset();
  }
  if (std::holds_alternative<ledger::leader_news>(m.body)) {
    take_leader(self, from, m);
    return false;
  }
  return from == state.at.node || std::holds_alternative<ledger::promise>(m.body);
}

void link_to_keeper(payments_pointer self, const link_changed& news) {
  payments_state& state = self->state;
  if (!news.up) {
    if (news.node == state.at.node) {
      state.at.linked = false;
      turn(self);
    }
    return;
  }
  if (news.node == state.at.node || !state.at.linked) {
    return turn_to(self, news.node);
  }
  greet(self, news.node);
}

void leave_silent(payments_pointer self) {
  payments_state& state = self->state;
  auto& at = state.at;
  if (!at.linked) {
    return at.waits.reset();
  }
  if (at.waits && now_of(self) - *at.waits > limits::keeper_silent) {
    at.waits.reset();
    turn(self);
  }
}

void ask_another(payments_pointer self) {
  auto& at = self->state.at;
  if (!std::exchange(at.resends, false)) {
    return; // one that leads said so meanwhile
  }
  const node_id before = at.node;
  turn(self);
  if (at.node == before) {
    send_again(self);
  }
}

void tend_commands(payments_pointer self) {
  payments_state& state = self->state;
  std::vector<request_id> all;
  for (const auto& [id, p] : state.requests) {
    all.push_back(id);
  }
  for (const request_id id : all) {
    if (const auto found = state.requests.find(id); found != state.requests.end()) {
      tend_request(self, id, found->second);
    }
  }
  for (auto& [id, order] : state.orders) {
    if (now_of(self) - order.what.at > limits::payment_retry) {
      submit_again(self, order.what);
    }
  }
}

void send_again(payments_pointer self) {
  payments_state& state = self->state;
  state.at.resends = false;
  if (!state.at.linked) {
    return;
  }
  const auto before = long_ago(self);
  for (auto& [id, p] : state.requests) {
    if (p.under_way) {
      p.under_way->at = before;
    }
  }
  for (auto& [id, order] : state.orders) {
    order.what.at = before;
  }
  for (auto& [guilty, c] : state.convictions) {
    c.at = before;
  }
  for (auto& [place, c] : state.asked.claims) {
    c.at = before;
  }
  for (const auto& [id, a] : state.accusations) {
    say(self, id, ledger::ask_request{a.about});
  }
  ask_all_again(self, state.asked.accounts);
  ask_all_again(self, state.asked.statements);
  ask_all_again(self, state.asked.log_pages);
  tend_commands(self);
  tend_convictions(self);
  tend_claims(self);
}

} // namespace ovir::actors
