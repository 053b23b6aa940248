#include "actors/audit/audit_intake_actor.hpp"

#include "actors/audit/conviction_news_actor.hpp"
#include "actors/audit/log_draws_actor.hpp"
#include "actors/audit/window_inputs_actor.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <string_view>

namespace ovir::actors {

std::set<node_id> signers_of(const receipt& r) {
  std::set<node_id> all{r.lead.node};
  for (const stage_records& stage : r.stages) {
    all.insert(stage.signer.node);
    for (const statement& s : stage.statements) {
      for (const unit_citation& c : s.cited) {
        all.insert(c.author);
      }
    }
  }
  return all;
}

std::vector<node_id> verifiers_there(verifier_pointer self, const digest& about) {
  std::vector<node_id> there;
  for (const member& m : *self->state.members) {
    if (m.node != self->state.environment.key->id() && m.health == member_health::alive &&
        m.advert.roles.has(role::verifier) && is_verifier(self, m.node)) {
      there.push_back(m.node);
    }
  }
  std::sort(there.begin(), there.end());
  if (!there.empty()) {
    std::rotate(there.begin(), there.begin() + about.bytes[0] % there.size(), there.end());
  }
  return there;
}

bool may_have(verifier_pointer self, const node_id& verifier, const digest& model,
              layer_range layers) {
  if (verifier == self->state.environment.key->id()) {
    return model_with(self, model, layers).has_value();
  }
  const auto& members = *self->state.members;
  const auto m = std::find_if(members.begin(), members.end(),
                              [&](const member& other) { return other.node == verifier; });
  if (m == members.end() || !m->advert.roles.has(role::worker)) {
    return m != members.end();
  }
  std::set<layer_index> missing;
  for (layer_index layer = layers.first; layer < layers.last; ++layer) {
    missing.insert(layer);
  }
  for (const auto* const list : {&m->advert.held, &m->advert.spares}) {
    for (const held_segment& segment : *list) {
      if (segment.model == model) {
        missing.erase(missing.lower_bound(segment.layers.first),
                      missing.lower_bound(segment.layers.last));
      }
    }
  }
  return missing.empty();
}

namespace {

/// Of all verifiers in turn, those that are the first to serve a stage's layers; where none does,
/// one that may have them all the same.
struct chosen_verifiers {
  std::set<node_id> nodes;
  bool complete{true};
};
chosen_verifiers choose(verifier_pointer self, const receipt& r, const digest& name) {
  std::vector<node_id> able = verifiers_there(self, name);
  if (self->state.environment.audits) {
    able.push_back(self->state.environment.key->id());
  }
  if (!able.empty()) {
    std::rotate(able.begin(), able.begin() + name.bytes[1] % able.size(), able.end());
  }
  chosen_verifiers chosen;
  for (const stage_records& stage : r.stages) {
    const auto can = [&](const node_id& verifier) {
      return verifier != stage.signer.node &&
             may_have(self, verifier, r.asked.model, stage.signer.layers);
    };
    if (std::any_of(chosen.nodes.begin(), chosen.nodes.end(), can)) {
      continue;
    }
    const auto first = std::find_if(able.begin(), able.end(), can);
    if (first != able.end()) {
      chosen.nodes.insert(*first);
      continue;
    }
    chosen.complete = false;
    // What others serve is known, and not what is on their disks: one looks with what it has.
    const auto other = [&](const node_id& verifier) { return verifier != stage.signer.node; };
    const auto any = std::find_if(able.begin(), able.end(), other);
    if (any != able.end() && std::none_of(chosen.nodes.begin(), chosen.nodes.end(), other)) {
      chosen.nodes.insert(*any);
    }
  }
  return chosen;
}

} // namespace

std::vector<node_id> verifiers_of(verifier_pointer self, std::span<const std::byte> receipt,
                                  const audit_place& place) {
  std::vector<node_id> there = verifiers_there(self, receipt_digest(receipt));
  const auto r = decode_receipt(receipt);
  const auto at = r ? compute::window_of(*r, place) : std::nullopt;
  if (at) {
    std::erase_if(there, [&](const node_id& verifier) {
      return !may_have(self, verifier, r->asked.model, r->stages[at->stage].signer.layers);
    });
  }
  return there;
}

void send_offer(verifier_pointer self, const node_id& verifier, const receipt& r,
                audit_offer what) {
  if (verifier == self->state.environment.key->id()) {
    return take_receipt(self, verifier, std::move(what));
  }
  // It may never have met the signers: a node that avoids a verifier is audited all the same.
  show_tokens(self, verifier, signers_of(r));
  send_audit(self, verifier, what);
}

void offer_by_layers(verifier_pointer self, const verifier_state::receipt_bytes& bytes,
                     bool suspect) {
  const auto r = decode_receipt(*bytes);
  if (!r) {
    return;
  }
  const chosen_verifiers chosen = choose(self, *r, receipt_digest(*bytes));
  self->state.count.unaudited += chosen.complete ? 0 : 1;
  for (const node_id& verifier : chosen.nodes) {
    send_offer(self, verifier, *r, audit_offer{suspect, *bytes});
  }
}

void offer(verifier_pointer self, const receipt_finished& done) {
  const auto r = decode_receipt(*done.bytes);
  // Of a salted one the tokens are for its asker, and for whom that shows it to.
  if (!r || r->asked.salt || done.bytes->size() > limits::audit_receipt_bytes_max) {
    ++self->state.count.unaudited;
    return;
  }
  if (done.suspect || !waits_for_draw(self, *r, done.bytes)) {
    offer_by_layers(self, done.bytes, done.suspect);
  }
}

void take_receipt(verifier_pointer self, const node_id& from, audit_offer&& what) {
  verifier_state& state = self->state;
  waiting_receipt one;
  one.from = from;
  one.suspect = what.suspect;
  one.drawn = what.drawn;
  one.bytes = std::make_shared<const std::vector<std::byte>>(std::move(what.receipt));
  if (one.bytes->size() > limits::audit_receipt_bytes_max ||
      !state.waiting.push(std::move(one), state.environment.env->now())) {
    ++state.count.unaudited;
    return;
  }
  call_to_work(self);
}

/// Other verifiers alone ask, each at its own share.
void take_question(verifier_pointer self, const node_id& from, audit_question&& q) {
  verifier_state& state = self->state;
  if (!is_verifier(self, from)) {
    return blame(self, from, "asks what only a verifier asks of another");
  }
  if (!state.environment.audits) {
    return; // it is no verifier any more
  }
  if (state.waiting.push(waiting_question{from, std::move(q)}, state.environment.env->now())) {
    call_to_work(self);
  }
}

void call_to_work(verifier_pointer self) {
  verifier_state& state = self->state;
  if (!state.called && state.under_way.count < limits::audits_under_way_max &&
      state.waiting.ready(state.environment.env->now())) {
    state.called = true;
    self->send(self, verifier_work{});
  }
}

void charge_for(verifier_pointer self, const node_id& from, std::uint32_t windows) {
  self->state.waiting.charge(from, std::uint64_t{windows} * limits::window_positions,
                             self->state.environment.env->now());
}

std::optional<node_id> stranger_among(verifier_pointer self, const receipt& r) {
  for (const node_id& signer : signers_of(r)) {
    if (!self->state.environment.access->was_member(signer)) {
      return signer;
    }
  }
  return std::nullopt;
}

bool is_token(std::span<const std::byte> bytes) {
  constexpr std::string_view magic = "OVJ1"; // a message of the schema begins with four zeros
  return bytes.size() >= magic.size() &&
         std::equal(magic.begin(), magic.end(), bytes.begin(),
                    [](char c, std::byte b) { return std::byte(c) == b; });
}

void take_token(verifier_pointer self, const node_id& from, std::span<const std::byte> bytes) {
  const auto& around = self->state.environment;
  const auto counts = around.access->show(bytes, around.env->unix_seconds());
  if (counts || counts.error().code == errc::not_found) {
    return; // of an admin that others have: no fault of who shows it
  }
  if (counts.error().code == errc::over_limit || counts.error().code == errc::io_failed) {
    return around.journal->say(log_level::debug, std::nullopt, "a token is not kept: {}",
                               counts.error().message);
  }
  blame(self, from, "shows a join token that does not count: " + counts.error().message);
}

void blame(verifier_pointer self, const node_id& from, const std::string& what) {
  const auto& around = self->state.environment;
  around.journal->say(log_level::warn, std::nullopt, "{} {}", short_name(from), what);
  if (from != around.key->id() && self->state.senders.blame(from, around.env->now())) {
    around.journal->say(log_level::error, std::nullopt,
                        "{} is disconnected, and not listened to about audits for {} minutes",
                        short_name(from), limits::audit_mute.count());
    around.links->disconnect(from, {errc::over_limit, "too many messages about convictions that do "
                                                      "not count; look at this node"});
  }
}

} // namespace ovir::actors
