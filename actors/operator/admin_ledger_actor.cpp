// The shell's command `ledger`: this node's account, and what its cluster's keeper says.
#include "actors/operator/admin_call_actor.hpp"
#include "actors/payment/payments_actor.hpp"
#include "ledger/log/merkle.hpp"
#include "ledger/rules/deterrence.hpp"
#include "ledger/rules/policy_numbers.hpp"
#include "messages/caf/errors.hpp"
#include "messages/hex.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/ledger.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace ovir::actors {

namespace {

constexpr std::string_view looking =
    "balance, head, keepers, statement, log, policy, prove, verify, submit";
constexpr std::string_view writing = "mint, transfer, stake, unstake, convict";

json keys_json(const std::vector<node_id>& keys) {
  json list = json::array();
  for (const node_id& key : keys) {
    list.push_back(to_hex(key));
  }
  return list;
}

json head_json(const ledger::signed_head& head) {
  json signatures = json::array();
  for (const ledger::head_signature& s : head.signatures) {
    signatures.push_back({{"keeper", to_hex(s.keeper)},
                          {"signature", fmt::format("{:02x}", fmt::join(s.proof.bytes, ""))}});
  }
  return {{"ledger", to_hex(head.head.ledger)},
          {"size", head.head.size},
          {"root", to_hex(head.head.root)},
          {"chain", to_hex(head.head.chain)},
          {"time", head.head.time},
          {"signatures", std::move(signatures)}};
}

/// With its bytes, for `prove since` and for ovir-verify.
json head_document(const ledger::signed_head& head) {
  json shown = head_json(head);
  shown["proof"] = to_hex(std::span<const std::byte>{ledger::to_bytes(head)});
  return shown;
}

json account_json(const ledger::account_report& a) {
  return {{"account", to_hex(a.who)},
          {"free", a.free},
          {"pending", a.pending},
          {"stake", a.stake},
          {"leaving", a.leaving},
          {"earned", a.earned},
          {"nonce", a.nonce},
          {"reputation_ppm", a.reputation_ppm},
          {"influence", a.influence},
          {"ejected", std::binary_search(a.ejected.begin(), a.ejected.end(), a.who)}};
}

/// The rules, as the genesis entry has them, whose leaf is the ledger's name.
json policy_json(const ledger::account_report& report) {
  const auto first = ledger::decode_entry(report.genesis);
  const auto* const genesis = first ? std::get_if<ledger::genesis>(&first->what) : nullptr;
  if (genesis == nullptr) {
    return {{"ledger", to_hex(report.head.head.ledger)}};
  }
  const ledger::policy& p = genesis->rules;
  json document{{"ledger", to_hex(ledger::leaf_hash(report.genesis))},
                {"keepers", keys_json(genesis->keepers)},
                {"mint_keys", keys_json(genesis->mint_keys)},
                {"mode", std::string{to_string(p.deterrence.mode)}},
                {"refund", p.refund == ledger::refund_rule::window ? "window" : "request"},
                {"detection_ppm", ledger::detection_ppm(p.deterrence)},
                {"deters", ledger::check(p).has_value()}};
  for (const auto& table : {ledger::rule_numbers(), ledger::deterrence_numbers()}) {
    for (const ledger::policy_number& n : table) {
      document[std::string{n.key}] = n.get(p);
    }
  }
  return document;
}

/// A key, or what a member is called.
result<node_id> account_from(const admin_call& c, const std::string& name) {
  if (const auto key = node_id_from_hex(name)) {
    return *key;
  }
  return find_node(*c.self->state.members, name);
}

result<ledger::micro_credits> amount_from(const std::string& text) {
  std::uint64_t amount = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, wrong] = std::from_chars(text.data(), end, amount);
  if (wrong != std::errc{} || rest != end || amount == 0 || amount > limits::ledger_supply_max) {
    return fail(errc::invalid_argument, "'{}' is no amount; give whole micro-credits, 1 to {}",
                text.substr(0, 32), limits::ledger_supply_max);
  }
  return amount;
}

result<void> look(const admin_call& c, const caf::actor& payments, const std::string& action,
                  const std::string& subject) {
  describe_account asked;
  if (!subject.empty()) {
    OVIR_ASSIGN(asked.who, account_from(c, subject));
  }
  c.self->request(payments, 2 * limits::payment_action_wait, asked)
      .then(
          [c, action](const ledger::account_report& a) {
            c.done(action == "head"     ? head_document(a.head)
                   : action == "policy" ? policy_json(a)
                                        : account_json(a));
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
  return {};
}

json line_json(const ledger::statement_line& l, const node_id* payer) {
  const auto purse = [](const ledger::account_ref& ref) {
    return json{{"purse", std::string{to_string(ref.kind)}},
                {"of", ref.of == digest{} ? json(nullptr) : json(to_hex(ref.of))}};
  };
  const bool of_request = l.what.request != digest{};
  return {{"entry", l.index},
          {"time", l.time},
          {"direction", l.out ? "out" : "in"},
          {"amount", l.what.amount},
          {"kind", std::string{to_string(l.what.kind)}},
          {"from", purse(l.what.from)},
          {"to", purse(l.what.to)},
          {"request", of_request ? json(to_hex(l.what.request)) : json(nullptr)},
          {"window", of_request ? json(l.what.window) : json(nullptr)},
          {"payer", payer == nullptr ? json(nullptr) : json(to_hex(*payer))},
          {"reason", std::string{ledger::reason_of(l.what.kind)}}};
}

json statement_json(const ledger::statement_report& r, const ledger::statement_place& asked) {
  json lines = json::array();
  for (const ledger::statement_line& l : r.lines) {
    const auto payer =
        std::lower_bound(r.payers.begin(), r.payers.end(), l.what.request,
                         [](const auto& p, const digest& request) { return p.request < request; });
    const bool known = payer != r.payers.end() && payer->request == l.what.request;
    lines.push_back(line_json(l, known ? &payer->node : nullptr));
  }
  json next = nullptr;
  if (r.more && !asked.newest && !r.lines.empty()) { // an entry may go on with the next page
    const std::uint64_t last = r.lines.back().index;
    const auto seen = static_cast<std::uint64_t>(
        std::count_if(r.lines.begin(), r.lines.end(),
                      [last](const ledger::statement_line& l) { return l.index == last; }));
    next = fmt::format("{}+{}", last, seen + (last == asked.entry ? asked.skip : 0));
  }
  return {{"account", to_hex(r.who)},
          {"lines", std::move(lines)},
          {"more", r.more},
          {"next", std::move(next)}};
}

/// "17", an entry, or "17+3", so many of its movements behind; empty: the newest.
result<ledger::statement_place> place_from(const std::string& text) {
  ledger::statement_place place;
  if (text.empty()) {
    place.newest = true;
    return place;
  }
  const char* const end = text.data() + text.size();
  auto read = std::from_chars(text.data(), end, place.entry);
  if (read.ec == std::errc{} && read.ptr != end && *read.ptr == '+') {
    read = std::from_chars(read.ptr + 1, end, place.skip);
  }
  if (read.ec != std::errc{} || read.ptr != end) {
    return fail(errc::invalid_argument,
                "'{}' is no place in a statement; give the number of an entry, or what 'next' said",
                text.substr(0, 32));
  }
  return place;
}

json entry_json(std::uint64_t index, const std::vector<std::byte>& bytes) {
  json shown{{"entry", index}, {"bytes", to_hex(std::span<const std::byte>{bytes})}};
  const auto e = ledger::decode_entry(bytes);
  const node_id* const signer = e ? ledger::signer_of(e->what) : nullptr;
  shown["time"] = e ? json(e->time) : json(nullptr);
  shown["kind"] = e ? json(std::string{to_string(ledger::kind_of(e->what))}) : json(nullptr);
  shown["signer"] = signer == nullptr ? json(nullptr) : json(to_hex(*signer));
  shown["leaf"] = to_hex(ledger::leaf_hash(bytes));
  return shown;
}

/// From an entry on, so many as a message of the keeper holds, under a head it signed.
result<void> show_log(const admin_call& c, const caf::actor& payments, const std::string& from) {
  describe_log asked;
  const auto [rest, wrong] = std::from_chars(from.data(), from.data() + from.size(), asked.first);
  if (!from.empty() && (wrong != std::errc{} || rest != from.data() + from.size())) {
    return fail(errc::invalid_argument, "'{}' is no entry; give the number of the first one",
                from.substr(0, 32));
  }
  c.self->request(payments, 2 * limits::payment_action_wait, asked)
      .then(
          [c](const ledger::entry_run& run) {
            json entries = json::array();
            for (std::size_t i = 0; i < run.entries.size(); ++i) {
              entries.push_back(entry_json(run.first + i, run.entries[i]));
            }
            c.done({{"entries", std::move(entries)}, {"head", head_json(run.head)}});
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
  return {};
}

result<void> show_statement(const admin_call& c, const caf::actor& payments,
                            const std::string& subject, const std::string& from) {
  describe_statement asked;
  OVIR_ASSIGN(asked.from, place_from(from));
  if (!subject.empty()) {
    OVIR_ASSIGN(asked.who, account_from(c, subject));
  }
  c.self->request(payments, 2 * limits::payment_action_wait, asked)
      .then([c, from = asked.from](
                const ledger::statement_report& r) { c.done(statement_json(r, from)); },
            [c](const caf::error& e) { c.refuse(from_caf(e)); });
  return {};
}

template <class Order>
void order(const admin_call& c, const caf::actor& payments, Order asked) {
  c.self->request(payments, 2 * limits::payment_action_wait, std::move(asked))
      .then(
          [c](const ledger::promise& p) {
            c.done({{"entry", p.entry.entry.index},
                    {"time", p.time},
                    {"head", head_json(p.entry.head)}});
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
}

result<ledger::command> command_from(const admin_call& c, const std::string& action,
                                     const std::string& subject, const std::string& amount) {
  if (action == "stake" || action == "unstake") {
    OVIR_ASSIGN(const ledger::micro_credits much, amount_from(subject));
    return action == "stake" ? ledger::command{ledger::lock{{}, much, 0}}
                             : ledger::command{ledger::unlock{{}, much, 0}};
  }
  OVIR_ASSIGN(const ledger::micro_credits much, amount_from(amount));
  if (action == "mint" && (subject == "assurance" || subject == "treasury")) {
    return ledger::command{ledger::mint{{},
                                        subject == "assurance" ? ledger::mint_target::assurance
                                                               : ledger::mint_target::treasury,
                                        {},
                                        much,
                                        0}};
  }
  OVIR_ASSIGN(const node_id to, account_from(c, subject));
  return action == "mint"
             ? ledger::command{ledger::mint{{}, ledger::mint_target::participant, to, much, 0}}
             : ledger::command{ledger::transfer{{}, to, much, 0}};
}

} // namespace

result<void> use_ledger(const admin_call& c, admin_arguments& args) {
  OVIR_ASSIGN(const std::string action, args.text("action"));
  OVIR_ASSIGN(const std::string subject, args.text("subject", ""));
  OVIR_ASSIGN(const std::string amount, args.text("amount", ""));
  OVIR_TRY(args.done());
  const caf::actor payments = find_actor(c, "payments");
  if (!payments) {
    return fail(errc::unsupported,
                "this node uses no ledger; set ledger.keeper in its configuration, or ask another");
  }
  if (action == "prove" || action == "verify") {
    return prove_or_verify(c, action, subject, amount);
  }
  if (action == "keepers") {
    show_keepers(c, payments);
    return {};
  }
  if (action == "log") {
    return show_log(c, payments, subject);
  }
  if (action == "balance" || action == "head" || action == "policy") {
    return look(c, payments, action, subject);
  }
  if (action == "statement") {
    return show_statement(c, payments, subject, amount);
  }
  if (action == "submit") { // its signature says whose it is
    OVIR_ASSIGN(std::vector<std::byte> entry,
                bytes_from_hex(subject, "a command", limits::ledger_entry_bytes_max));
    order(c, payments, signed_order{std::move(entry)});
    return {};
  }
  if (action != "mint" && action != "transfer" && action != "stake" && action != "unstake" &&
      action != "convict") {
    return fail(errc::invalid_argument, "'{}' is none of {} and {}", action.substr(0, 32), looking,
                writing);
  }
  if (!c.self->state.clients.at(c.connection).peer.roles.has(role::operate)) {
    c.refuse("forbidden", fmt::format("'ledger {}' needs the role operator", action));
    return {};
  }
  if (action == "convict") {
    OVIR_ASSIGN(std::vector<std::byte> evidence,
                bytes_from_hex(subject, "evidence", limits::credit_evidence_bytes_max));
    order(c, payments, accuse{std::move(evidence)});
    return {};
  }
  OVIR_ASSIGN(ledger::command what, command_from(c, action, subject, amount));
  order(c, payments, credit_order{std::move(what), {}});
  return {};
}

} // namespace ovir::actors
