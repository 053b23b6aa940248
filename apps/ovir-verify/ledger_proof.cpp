#include "apps/ovir-verify/ledger_proof.hpp"

#include "ledger/rules/command.hpp"
#include "ledger/rules/proof.hpp"

#include <array>
#include <optional>
#include <vector>

namespace ovir::apps {

namespace {

std::string_view kind_of_proof(const ledger::any_proof& p) {
  constexpr std::array names{"signed head", "promise", "evidence of a fork", "proof of consistency",
                             "proof of an entry"};
  return names[p.index()];
}

struct finding {
  std::string what;
  std::optional<node_id> signer;
};

/// A keeper whom nobody vouched for may have signed anything: its word alone is no proof.
void check_keepers(const ledger::any_proof& p, const compute::signer_policy& keepers,
                   std::vector<finding>& found) {
  using kind = compute::signer_policy::kind;
  for (const ledger::signed_head& h : heads_in(p)) {
    if (keepers.who == kind::unknown) {
      found.push_back(
          {"signers unknown: say whose word counts, the ledger's keeper, with --signers "
           "FILE or --any-signer",
           std::nullopt});
      return;
    }
    if (keepers.who == kind::listed && !keepers.listed.contains(h.keeper)) {
      found.push_back({fmt::format("the head of {} entries names a keeper that is not in the list",
                                   h.head.size),
                       h.keeper});
    }
  }
}

json document_of(const ledger::any_proof& p, const std::vector<finding>& found) {
  json failures = json::array();
  for (const finding& f : found) {
    failures.push_back({{"what", f.what},
                        {"signer", f.signer ? json(to_hex(*f.signer)) : json(nullptr)},
                        {"unit", nullptr}});
  }
  const ledger::signed_head last = heads_in(p).back();
  json document{{"ok", found.empty()},
                {"tier", "ledger"},
                {"failures", std::move(failures)},
                {"proof", std::string{kind_of_proof(p)}},
                {"ledger", to_hex(last.head.ledger)},
                {"keeper", to_hex(last.keeper)},
                {"size", last.head.size},
                {"root", to_hex(last.head.root)}};
  if (const auto* const e = std::get_if<ledger::entry_proof>(&p)) {
    const auto said = ledger::decode_entry(e->entry);
    document["entry"] = e->in.index;
    document["kind"] = said ? json(std::string{to_string(ledger::kind_of(said->what))}) : json();
    document["id"] = said ? json(to_hex(ledger::id_of(said->what))) : json();
  } else if (const auto* const a = std::get_if<ledger::acknowledgement>(&p)) {
    document["entry"] = a->entry.index;
    document["leaf"] = to_hex(a->entry.leaf);
  } else if (std::holds_alternative<ledger::fork_evidence>(p)) {
    document["convicts"] = found.empty();
  }
  return document;
}

std::string text_of(const ledger::any_proof& p, const std::vector<finding>& found) {
  std::string text;
  for (const finding& f : found) {
    text += fmt::format("wrong: {}\n", f.what);
  }
  if (!found.empty()) {
    return text;
  }
  const ledger::signed_head last = heads_in(p).back();
  if (std::holds_alternative<ledger::fork_evidence>(p)) {
    return fmt::format("convicts: {} signed two logs of the ledger {}\n", to_hex(last.keeper),
                       to_hex(last.head.ledger));
  }
  return fmt::format("right: a {} of the ledger {}, {} entries, signed by {}\n", kind_of_proof(p),
                     to_hex(last.head.ledger), last.head.size, to_hex(last.keeper));
}

} // namespace

bool is_ledger_proof(std::string_view bytes) {
  return ledger::begins_like_proof(std::as_bytes(std::span{bytes}));
}

result<exit_code> verify_ledger_proof(const std::string& name, std::string_view bytes,
                                      const compute::signer_policy& keepers, bool as_json) {
  const auto p = ledger::proof_from(std::as_bytes(std::span{bytes}));
  if (!p) {
    return in_context(name, p.error());
  }
  std::vector<finding> found;
  for (std::string& what : ledger::check_proof(*p)) {
    found.push_back({std::move(what), heads_in(*p).back().keeper});
  }
  check_keepers(*p, keepers, found);
  OVIR_TRY(as_json ? write_document(document_of(*p, found)) : write_output(text_of(*p, found)));
  return found.empty() ? exit_code::done : exit_code::wrong;
}

} // namespace ovir::apps
