#include "actors/audit/conviction_news_actor.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace ovir::actors {

namespace {

std::vector<node_id> convicted_keys(const verifier_state& state) {
  std::vector<node_id> keys;
  for (const auto& [node, view] : state.convicted) { // ascending
    keys.push_back(node);
  }
  return keys;
}

bool is_told(verifier_pointer self, const member& m) {
  return m.node != self->state.environment.key->id() && m.health == member_health::alive &&
         !self->state.convicted.contains(m.node);
}

/// Each member tells those that it has a link with.
bool is_linked(verifier_pointer self, const member& m) {
  return is_told(self, m) && self->state.environment.links->connected(m.node);
}

} // namespace

void send_audit(verifier_pointer self, const node_id& to, const audit_message& message) {
  if (auto bytes = encode_audit(message)) {
    self->state.environment.links->send_audit(to, std::move(*bytes));
  }
}

void show_tokens(verifier_pointer self, const node_id& to, const std::set<node_id>& of) {
  for (const node_id& node : of) {
    auto token = self->state.environment.access->token_of(node);
    if (!token.empty() && node != to) {
      self->state.environment.links->send_audit(to, std::move(token));
    }
  }
}

void send_conviction(verifier_pointer self, const node_id& to, const conviction& c) {
  std::set<node_id> named{c.guilty};
  for (const audit_verdict& v : c.verdicts) {
    named.insert(v.verifier);
  }
  show_tokens(self, to, named);
  send_audit(self, to, c);
}

audit_report describe_audits(const verifier_state& state) {
  audit_report report = state.count;
  report.waiting = state.waiting.size() + state.under_way.count;
  report.refused = state.waiting.refused();
  report.useless = state.senders.useless();
  if (state.draws.audits) {
    report.duties = state.draws.audits->duties();
    report.held = state.draws.audits->held();
  }
  report.open = state.hearings.size();
  for (const auto& [about, c] : state.cases) {
    report.open += state.book->is_planted(about) ? 0 : 1;
  }
  for (const node_id& node : state.records.known()) {
    const ledger::account& counts = *state.records.find(node);
    report.signers.push_back({node,
                              state.records.reputation(node, state.environment.env->unix_seconds()),
                              state.records.audit_rate(node, state.environment.how.least_rate_ppm),
                              counts.valid_units, counts.assigned_units});
  }
  for (const auto& [node, view] : state.convicted) {
    report.convictions.push_back(view);
  }
  return report;
}

bool is_verifier(verifier_pointer self, const node_id& node) {
  const auto& around = self->state.environment;
  if (node == around.key->id()) {
    return around.audits;
  }
  return around.access->roles_of(node).has(role::verifier);
}

namespace {

/// While another verifier is asked about what a node signed, what was told of that node before:
/// else who is asked would hear what was found before it answers.
audit_standing standing_now(verifier_pointer self) {
  verifier_state& state = self->state;
  std::set<node_id> asked_about;
  for (const auto& [about, c] : state.cases) {
    asked_about.insert(c.signers.begin(), c.signers.end());
  }
  audit_standing told;
  std::map<node_id, std::uint32_t> all;
  for (const node_id& node : state.records.known()) { // ascending
    const auto before = state.questions.standing.find(node);
    const bool held = asked_about.contains(node);
    if (all.size() >= limits::audit_convicted_max ||
        (held && before == state.questions.standing.end())) {
      continue;
    }
    all[node] = held ? before->second
                     : static_cast<std::uint32_t>(
                           state.records.reputation(node, state.environment.env->unix_seconds()));
    told.nodes.push_back(node);
    told.reputations_ppm.push_back(all[node]);
  }
  state.questions.standing = std::move(all);
  return told;
}

} // namespace

void tell_standing(verifier_pointer self) {
  verifier_state& state = self->state;
  const auto& around = state.environment;
  const auto now = around.env->now();
  if (!around.audits || now < state.standing_at) {
    return;
  }
  state.standing_at = now + limits::standing_told_every;
  const audit_standing told = standing_now(self);
  take_standing(self, around.key->id(), told);
  for (const member& m : *state.members) {
    if (is_told(self, m) && m.advert.roles.has(role::scheduler)) {
      send_audit(self, m.node, told);
    }
  }
}

void take_standing(verifier_pointer self, const node_id& from, const audit_standing& told) {
  if (!is_verifier(self, from)) {
    return;
  }
  standing_told news{from, {}};
  for (std::size_t i = 0; i < told.nodes.size(); ++i) {
    news.reputation_ppm[told.nodes[i]] = told.reputations_ppm[i];
  }
  for (const caf::actor& watcher : self->state.environment.watchers()) {
    self->send(watcher, news);
  }
}

void tell_those_who_came(verifier_pointer self, const members_view& now) {
  const verifier_state& state = self->state;
  for (const member& m : *now) {
    const auto before = std::find_if(state.members->begin(), state.members->end(),
                                     [&](const member& old) { return old.node == m.node; });
    const bool was = before != state.members->end() && before->health == member_health::alive;
    if (!was && is_linked(self, m) && !state.convicted.empty()) {
      send_audit(self, m.node, audit_known{false, convicted_keys(state)});
    }
  }
}

void tell_somebody(verifier_pointer self) {
  verifier_state& state = self->state;
  const auto now = state.environment.env->now();
  std::erase_if(state.sent, [&](const auto& entry) {
    return now - entry.second >= limits::conviction_sent_again;
  });
  if (now < state.tell_at || state.convicted.empty()) {
    return;
  }
  state.tell_at = now + limits::convictions_told_every;
  std::vector<node_id> there;
  for (const member& m : *state.members) {
    if (is_linked(self, m)) {
      there.push_back(m.node);
    }
  }
  if (there.empty()) {
    return;
  }
  std::uint64_t lot = 0;
  state.environment.env->random(std::as_writable_bytes(std::span{&lot, 1}));
  send_audit(self, there[lot % there.size()], audit_known{false, convicted_keys(state)});
}

void take_known(verifier_pointer self, const node_id& from, const audit_known& known) {
  verifier_state& state = self->state;
  const auto knows = [&](const node_id& node) {
    return std::binary_search(known.convicted.begin(), known.convicted.end(), node);
  };
  std::size_t sent = 0;
  for (const auto& [guilty, view] : state.convicted) {
    if (knows(guilty) || guilty == from || !state.files || sent >= limits::convictions_sent_max ||
        state.sent.contains({from, guilty})) {
      continue;
    }
    if (const auto c = state.files->read_conviction(guilty)) {
      send_conviction(self, from, *c);
      state.sent[{from, guilty}] = state.environment.env->now();
      ++sent;
    }
  }
  // A conviction of a key that is no member here would not be taken.
  const bool lacks =
      std::any_of(known.convicted.begin(), known.convicted.end(), [&](const auto& n) {
        return !state.convicted.contains(n) && state.environment.access->was_member(n);
      });
  if (lacks && !known.answer) {
    send_audit(self, from, audit_known{true, convicted_keys(state)});
  }
}

} // namespace ovir::actors
