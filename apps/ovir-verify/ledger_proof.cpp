#include "apps/ovir-verify/ledger_proof.hpp"

#include "ledger/rules/command.hpp"
#include "ledger/rules/proof.hpp"

#include <algorithm>
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

/// Without a list of keepers that the user trusts, a proof shows only that its own keepers signed
/// it.
void check_head(const ledger::signed_head& h, const std::vector<node_id>& keepers,
                std::vector<finding>& found) {
  const std::vector<node_id> signers = signers_of(h);
  const auto stranger = std::find_if(signers.begin(), signers.end(), [&](const node_id& signer) {
    return !std::binary_search(keepers.begin(), keepers.end(), signer);
  });
  if (stranger != signers.end()) {
    found.push_back(
        {fmt::format("the head of {} entries names a keeper that is not in the list", h.head.size),
         *stranger});
  } else if (2 * signers.size() <= keepers.size()) {
    found.push_back(
        {fmt::format("the head of {} entries is signed by {} of {} keepers in the list; "
                     "list the ledger's keepers and no other keys: more than half of "
                     "them must have signed",
                     h.head.size, signers.size(), keepers.size()),
         std::nullopt});
  }
}

/// Whom evidence convicts, of those in the list, or of everybody.
result<std::vector<node_id>> convicted_by(const ledger::fork_evidence& fork,
                                          const compute::signer_policy& who) {
  const std::vector<node_id> keepers =
      who.who == compute::signer_policy::kind::listed
          ? std::vector<node_id>{who.listed.begin(), who.listed.end()}
          : signers_of(fork.first);
  return check_fork(fork, fork.first.head.ledger, keepers);
}

void check_keepers(const ledger::any_proof& p, const compute::signer_policy& who,
                   std::vector<finding>& found) {
  using kind = compute::signer_policy::kind;
  if (who.who == kind::unknown) {
    found.push_back({"signers unknown: say whose word counts, the ledger's keepers, with --signers "
                     "FILE or --any-signer",
                     std::nullopt});
    return;
  }
  if (who.who != kind::listed) {
    return;
  }
  if (const auto* const fork = std::get_if<ledger::fork_evidence>(&p)) {
    if (const auto guilty = convicted_by(*fork, who); !guilty) {
      found.push_back({guilty.error().message, std::nullopt});
    }
    return;
  }
  const std::vector<node_id> keepers{who.listed.begin(), who.listed.end()};
  for (const ledger::signed_head& h : heads_in(p)) {
    check_head(h, keepers, found);
  }
}

json list_of_keys(const std::vector<node_id>& keys) {
  json list = json::array();
  for (const node_id& key : keys) {
    list.push_back(to_hex(key));
  }
  return list;
}

std::string keys_text(const std::vector<node_id>& keys) {
  std::string text;
  for (const node_id& key : keys) {
    text += (text.empty() ? "" : ", ") + to_hex(key);
  }
  return text;
}

json document_of(const ledger::any_proof& p, const compute::signer_policy& who,
                 const std::vector<finding>& found) {
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
                {"signed_by", list_of_keys(signers_of(last))},
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
  } else if (const auto* const fork = std::get_if<ledger::fork_evidence>(&p)) {
    const auto guilty = convicted_by(*fork, who);
    document["convicts"] = found.empty();
    document["guilty"] = list_of_keys(found.empty() && guilty ? *guilty : std::vector<node_id>{});
  }
  return document;
}

std::string text_of(const ledger::any_proof& p, const compute::signer_policy& who,
                    const std::vector<finding>& found) {
  std::string text;
  for (const finding& f : found) {
    text += fmt::format("wrong: {}\n", f.what);
  }
  if (!found.empty()) {
    return text;
  }
  const ledger::signed_head last = heads_in(p).back();
  if (const auto* const fork = std::get_if<ledger::fork_evidence>(&p)) {
    return fmt::format("convicts: {} signed two logs of the ledger {}\n",
                       keys_text(convicted_by(*fork, who).value()), to_hex(last.head.ledger));
  }
  return fmt::format("right: a {} of the ledger {}, {} entries, signed by {}\n", kind_of_proof(p),
                     to_hex(last.head.ledger), last.head.size, keys_text(signers_of(last)));
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
  const std::vector<node_id> signers = signers_of(heads_in(*p).back());
  std::vector<finding> found;
  for (std::string& what : ledger::check_proof(*p)) {
    found.push_back(
        {std::move(what), signers.size() == 1 ? std::optional{signers.front()} : std::nullopt});
  }
  check_keepers(*p, keepers, found);
  OVIR_TRY(as_json ? write_document(document_of(*p, keepers, found))
                   : write_output(text_of(*p, keepers, found)));
  return found.empty() ? exit_code::done : exit_code::wrong;
}

} // namespace ovir::apps
