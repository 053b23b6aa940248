// The shell's `ledger prove` and `ledger verify`: what others check without trusting the keeper,
// and a check of its whole log. At the node that keeps the ledger; others say where that is.
#include "actors/operator/admin_call_actor.hpp"
#include "actors/payment/ledger_keeper_actor.hpp"
#include "actors/payment/payments_actor.hpp"
#include "ledger/rules/proof.hpp"
#include "messages/caf/errors.hpp"
#include "messages/hex.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/limits/ledger_check.hpp"

#include <algorithm>
#include <charconv>
#include <span>

namespace ovir::actors {

namespace {

constexpr std::string_view since_head = "since";

json proof_json(const std::vector<std::byte>& bytes) {
  json shown{{"proof", to_hex(std::span<const std::byte>{bytes})}};
  const auto proof = ledger::proof_from(bytes);
  if (!proof) {
    return shown;
  }
  if (const auto* const e = std::get_if<ledger::entry_proof>(&*proof)) {
    shown["entry"] = e->in.index;
    shown["leaf"] = to_hex(e->in.leaf);
  } else if (const auto* const c = std::get_if<ledger::consistency>(&*proof)) {
    shown["since"] = c->first.head.size;
  }
  const auto heads = ledger::heads_in(*proof);
  shown["size"] = heads.back().head.size;
  shown["root"] = to_hex(heads.back().head.root);
  shown["signed_by"] = json::array();
  for (const node_id& keeper : ledger::signers_of(heads.back())) {
    shown["signed_by"].push_back(to_hex(keeper));
  }
  return shown;
}

json check_json(const log_check& c) {
  json fault = nullptr;
  if (c.fault) {
    fault = {{"entry", c.fault->entry ? json(*c.fault->entry) : json(nullptr)},
             {"what", c.fault->what}};
  }
  return {{"ok", !c.fault},
          {"size", c.head.size},
          {"root", to_hex(c.head.root)},
          {"convictions", c.convictions},
          {"fault", std::move(fault)}};
}

json key_or_null(const node_id& key) { return key.empty() ? json(nullptr) : json(to_hex(key)); }

/// The keepers, who leads them, and how far each is known to be.
json keepers_json(const keeper_report& r, const node_id& self) {
  json keepers = json::array();
  if (!r.group) {
    keepers.push_back({{"keeper", to_hex(self)}, {"signed", r.entries}});
    return {{"keepers", std::move(keepers)},
            {"leader", to_hex(self)},
            {"entries", r.entries},
            {"signed", r.entries}};
  }
  for (const auto& one : r.group->keepers) {
    keepers.push_back({{"keeper", to_hex(one.keeper)}, {"signed", one.signed_size}});
  }
  return {{"keepers", std::move(keepers)},
          {"leader", key_or_null(r.group->leader.value_or(node_id{}))},
          {"leads", r.group->leads},
          {"recovering", r.group->recovering},
          {"term", r.group->term},
          {"agreed", r.group->agreed},
          {"hand_overs", r.group->hand_overs},
          {"entries", r.entries},
          {"signed", r.head_entries}};
}

/// As one who uses the ledger knows them.
json keepers_json(const payments_report& r) {
  json keepers = json::array();
  for (const node_id& one : r.keepers) {
    keepers.push_back({{"keeper", to_hex(one)}, {"signed", nullptr}});
  }
  return {{"keepers", std::move(keepers)},
          {"leader", nullptr},
          {"asks", key_or_null(r.asked)},
          {"signed", r.head_entries}};
}

void ask_for_proof(const admin_call& c, const caf::actor& keeper, prove_ledger asked) {
  c.self->request(keeper, admin_ask_wait, std::move(asked))
      .then([c](const ledger_proof& proof) { c.done(proof_json(proof.bytes)); },
            [c](const caf::error& e) { c.refuse(from_caf(e)); });
}

void refuse_elsewhere(const admin_call& c, const node_id& node) {
  const auto& members = *c.self->state.members;
  const auto known =
      std::find_if(members.begin(), members.end(), [&](const member& m) { return m.node == node; });
  const std::string address = known == members.end() ? "" : known->advert.admin_address;
  c.refuse_with(
      json{{"code", "elsewhere"},
           {"message", fmt::format("ask node {}, which keeps the ledger{}{}", short_name(node),
                                   address.empty() ? "" : ", at ", address)},
           {"node", to_hex(node)},
           {"address", address}});
}

} // namespace

void show_keepers(const admin_call& c, const caf::actor& payments) {
  const auto refuse = [c](const caf::error& e) { c.refuse(from_caf(e)); };
  if (const caf::actor keeper = find_actor(c, "ledger")) {
    c.self->request(keeper, admin_ask_wait, describe_keeper{})
        .then(
            [c](const keeper_report& r) {
              c.done(keepers_json(r, c.self->state.environment.self));
            },
            refuse);
    return;
  }
  c.self->request(payments, admin_ask_wait, describe_payments{})
      .then([c](const payments_report& r) { c.done(keepers_json(r)); }, refuse);
}

result<void> prove_or_verify(const admin_call& c, const std::string& action,
                             const std::string& subject, const std::string& given) {
  const caf::actor keeper = find_actor(c, "ledger");
  if (!keeper) {
    refuse_elsewhere(c, c.self->state.environment.keeper);
    return {};
  }
  if (action == "verify") {
    c.self->request(keeper, limits::ledger_check_wait, check_ledger{})
        .then([c](const log_check& check) { c.done(check_json(check)); },
              [c](const caf::error& e) { c.refuse(from_caf(e)); });
    return {};
  }
  prove_ledger asked;
  if (subject == since_head) {
    OVIR_ASSIGN(const std::vector<std::byte> bytes,
                bytes_from_hex(given, "a head", limits::ledger_entry_bytes_max));
    OVIR_ASSIGN(asked.since, ledger::signed_head_from(bytes));
  } else {
    const char* const end = subject.data() + subject.size();
    const auto read = std::from_chars(subject.data(), end, asked.entry);
    if (subject.empty() || read.ec != std::errc{} || read.ptr != end) {
      return fail(errc::invalid_argument,
                  "'{}' is no entry; give its number, or 'since' and a head that was seen earlier",
                  subject.substr(0, 32));
    }
  }
  ask_for_proof(c, keeper, std::move(asked));
  return {};
}

} // namespace ovir::actors
