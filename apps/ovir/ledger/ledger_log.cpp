// `ovir ledger log | verify | head | prove`.
#include "apps/ovir/ledger/ledger_commands.hpp"
#include "apps/ovir/ledger/ledger_folder.hpp"
#include "ledger/keeper/verify.hpp"
#include "ledger/rules/double_charge.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/proof.hpp"
#include "messages/limits/credit.hpp"

#include <algorithm>
#include <map>
#include <memory>

namespace ovir::apps {

namespace {

constexpr std::uint64_t entries_default = 1'000;

struct log_options {
  std::string folder;
  std::vector<std::string> heads;
  std::vector<std::string> promises;
  std::string output;
  std::string since_head; ///< file with a signed head
  std::uint64_t first{0};
  std::uint64_t count{entries_default};
  std::uint64_t index{0};
  std::uint64_t size{0};
  bool skip_signatures{false};
  bool as_csv{false};
  bool as_json{false};
};

result<exit_code> show_log(const log_options& given, surroundings&) {
  json list = json::array();
  std::string text =
      given.as_csv ? "entry,time,kind,id,movement,from,to,amount,request,window\n" : "";
  OVIR_TRY(walk_ledger(given.folder, [&](std::uint64_t index, const ledger::entry& e,
                                         const std::vector<ledger::posting>& effects) {
    if (index < given.first || index - given.first >= given.count) {
      return;
    }
    const std::string kind{to_string(ledger::kind_of(e.what))};
    const std::string id = to_hex(ledger::id_of(e.what));
    json moves = json::array();
    text += given.as_csv ? "" : fmt::format("{:>8}  {}  {}\n", index, e.time, kind);
    for (const ledger::posting& p : effects) {
      moves.push_back(posting_json(p));
      text += given.as_csv
                  ? fmt::format("{},{},{},{},{},{},{},{},{},{}\n", index, e.time, kind, id,
                                to_string(p.kind), place_text(p.from), place_text(p.to), p.amount,
                                p.request == digest{} ? "" : to_hex(p.request), p.window)
                  : fmt::format("{:>22}  {} -> {}  {}\n", credits_text(p.amount),
                                place_text(p.from), place_text(p.to), to_string(p.kind));
    }
    json one{{"entry", index},
             {"time", e.time},
             {"kind", kind},
             {"id", id},
             {"movements", std::move(moves)}};
    if (const auto* const rules = std::get_if<ledger::genesis>(&e.what)) {
      one["keepers"] = keys_json(rules->keepers);
      for (const node_id& keeper : rules->keepers) {
        text += given.as_csv ? "" : fmt::format("{:>22}  {}\n", "keeper", to_hex(keeper));
      }
    }
    list.push_back(std::move(one));
  }));
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"entries", std::move(list)}}));
  } else {
    OVIR_TRY(write_output(text));
  }
  return exit_code::done;
}

/// The reservation of a request, by reading the log again: convictions are rare.
result<ledger::reserve> reservation_in(const std::string& folder,
                                       const ledger::escrow_id& request) {
  OVIR_ASSIGN(const auto file, open_ledger_log(folder));
  std::optional<ledger::reserve> found;
  ledger::log_report report;
  OVIR_TRY(ledger::entry_log::read(
      *file,
      [&](std::uint64_t, std::span<const std::byte> bytes) -> result<void> {
        OVIR_ASSIGN(ledger::entry e, ledger::decode_entry(bytes));
        if (auto* const r = std::get_if<ledger::reserve>(&e.what);
            r != nullptr && escrow_of(*r) == request) {
          found = std::move(*r);
        }
        return {};
      },
      report));
  if (!found) {
    return fail(errc::not_found, "the log has no reservation {}", to_hex(request).substr(0, 8));
  }
  return std::move(*found);
}

/// Whether both accruals are signed, and the log is as a double charge takes it to be.
result<void> replay_double_charge(const std::string& folder, const ledger::convict& x,
                                  std::span<const std::byte> bytes) {
  OVIR_ASSIGN(const ledger::double_charge e, ledger::double_charge_from(bytes));
  const auto& first = std::get<ledger::accrue>(e.first.what).request;
  std::map<digest, ledger::logged_entry> there{
      {id_of(e.first.what), {}},
      {ledger::reservation_id(x.request), {}},
      {id_of(ledger::settle{first}), {}},
      {id_of(ledger::expire{first}), {}},
      {id_of(ledger::cancel{first, {}, 0}), {}},
  };
  digest name;
  OVIR_ASSIGN(const auto file, open_ledger_log(folder));
  ledger::log_report report;
  OVIR_TRY(ledger::entry_log::read(
      *file,
      [&](std::uint64_t index, std::span<const std::byte> entry) -> result<void> {
        name = index == 0 ? ledger::leaf_hash(entry) : name;
        OVIR_ASSIGN(const ledger::entry one, ledger::decode_entry(entry));
        if (const auto at = there.find(id_of(one.what)); at != there.end()) {
          at->second = {index, {entry.begin(), entry.end()}};
        }
        return {};
      },
      report));
  return ledger::check_double_charge(
      name, x, bytes, [&](const digest& id) -> std::optional<ledger::logged_entry> {
        const auto at = there.find(id);
        return at == there.end() || at->second.bytes.empty() ? std::nullopt
                                                             : std::optional{at->second};
      });
}

/// Replays what a keeper's folder has of a conviction's evidence, where that needs nothing else:
/// equivocations and double charges. Whether it did.
result<bool> replay_evidence(storage::env& environment, const std::string& folder,
                             const ledger::convict& x) {
  if (x.kind == ledger::evidence_kind::replay) {
    return false; // its capsule is for ovir-verify
  }
  const std::string path = folder + "/evidence/" + to_hex(x.evidence);
  OVIR_ASSIGN(const std::string text, environment.read(path, limits::credit_evidence_bytes_max));
  const auto checked = [&]() -> result<void> {
    if (x.kind == ledger::evidence_kind::double_charge) {
      return replay_double_charge(folder, x, bytes_of(text));
    }
    OVIR_ASSIGN(const ledger::reserve reservation, reservation_in(folder, x.request));
    return ledger::check_equivocation(x, reservation, bytes_of(text));
  }();
  if (!checked) {
    return in_context(path, checked.error());
  }
  return true;
}

json verified_json(const ledger::verify_report& seen,
                   const std::optional<ledger::signed_head>& kept, std::uint64_t replayed) {
  json fault = nullptr;
  if (seen.fault) {
    fault = {{"entry", seen.fault->entry ? json(*seen.fault->entry) : json(nullptr)},
             {"what", seen.fault->what}};
  }
  return {{"ok", !seen.fault},
          {"head", head_json(seen.head)},
          {"keepers", keys_json(seen.keepers)},
          {"signed_by", keys_json(kept ? signers_of(*kept) : std::vector<node_id>{})},
          {"torn_bytes", seen.tail.torn_bytes},
          {"convictions", seen.convictions},
          {"evidence_replayed", replayed},
          {"fault", std::move(fault)}};
}

std::string verified_text(const ledger::verify_report& seen,
                          const std::optional<ledger::signed_head>& kept, std::uint64_t replayed) {
  if (seen.fault) {
    return fmt::format("WRONG{}: {}\n",
                       seen.fault->entry ? fmt::format(" at entry {}", *seen.fault->entry) : "",
                       seen.fault->what);
  }
  std::string text =
      fmt::format("{} entries, all as they were written; root {}\nkept by {}", seen.head.size,
                  to_hex(seen.head.root), ledger::names_of(seen.keepers));
  text += kept ? fmt::format("; the head of {} entries is signed by {}\n", kept->head.size,
                             ledger::names_of(signers_of(*kept)))
               : "; no signed head is here\n";
  if (seen.tail.torn) {
    text += fmt::format("behind them {} of a batch that was never finished\n",
                        bytes_text(seen.tail.torn_bytes));
  }
  if (seen.convictions > 0) {
    text += fmt::format("{} convictions; the evidence of {} was replayed here\n", seen.convictions,
                        replayed);
  }
  return text;
}

result<exit_code> verify_all(const log_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string folder, ledger_folder_from(given.folder));
  OVIR_ASSIGN(const auto file, open_ledger_log(folder));
  ledger::verify_options how;
  how.signatures = !given.skip_signatures;
  OVIR_ASSIGN(const auto kept, kept_head(around.environment, folder));
  if (kept) {
    how.heads.push_back(*kept);
  }
  for (const std::string& path : given.heads) {
    OVIR_ASSIGN(const std::string text, read_proof_file(around.environment, path));
    OVIR_ASSIGN(const ledger::signed_head head, ledger::signed_head_from(bytes_of(text)));
    how.heads.push_back(head);
  }
  for (const std::string& path : given.promises) {
    OVIR_ASSIGN(const std::string text, read_proof_file(around.environment, path));
    OVIR_ASSIGN(ledger::acknowledgement promise, ledger::acknowledgement_from(bytes_of(text)));
    how.heads.push_back(promise.head);
    how.promises.push_back(std::move(promise));
  }
  std::uint64_t replayed = 0;
  OVIR_ASSIGN(const auto beside, around.environment.list(folder));
  if (std::find(beside.begin(), beside.end(), "evidence") != beside.end()) {
    how.evidence = [&](const ledger::convict& x) -> result<void> {
      OVIR_ASSIGN(const bool done, replay_evidence(around.environment, folder, x));
      replayed += done ? 1 : 0;
      return {};
    };
  }
  OVIR_ASSIGN(const ledger::verify_report seen, ledger::verify_log(*file, how));
  OVIR_TRY(given.as_json ? write_document(verified_json(seen, kept, replayed))
                         : write_output(verified_text(seen, kept, replayed)));
  return seen.fault ? exit_code::wrong : exit_code::done;
}

std::vector<node_id> signers_whose_word_holds(const ledger::signed_head& h) {
  std::vector<node_id> all;
  for (const ledger::head_signature& s : h.signatures) {
    if (ledger::holds(s, h.head)) {
      all.push_back(s.keeper);
    }
  }
  return all;
}

result<exit_code> show_head(const log_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string folder, ledger_folder_from(given.folder));
  OVIR_ASSIGN(const auto kept, kept_head(around.environment, folder));
  if (!kept) {
    return fail(errc::not_found, "{}: there is no signed head; see ovir ledger create", folder);
  }
  if (!given.output.empty()) {
    OVIR_TRY(write_proof_file(around.environment, given.output, to_bytes(*kept)));
  }
  OVIR_ASSIGN(const auto log, open_ledger_log(folder));
  OVIR_ASSIGN(const ledger_origin origin, origin_of(*log));
  const std::vector<node_id>& keepers = origin.rules.keepers;
  const bool of_this_log = kept->head.ledger == origin.name;
  const bool good = of_this_log && ledger::signed_by_majority(*kept, keepers);
  const std::vector<node_id> signers = signers_whose_word_holds(*kept);
  if (given.as_json) {
    json document = head_json(kept->head);
    document["keepers"] = keys_json(keepers);
    document["signed_by"] = keys_json(signers);
    document["signed"] = good;
    OVIR_TRY(write_document(document));
  } else {
    std::string text = fmt::format("ledger {}\nsize   {}\nroot   {}\n", to_hex(kept->head.ledger),
                                   kept->head.size, to_hex(kept->head.root));
    for (const node_id& keeper : keepers) {
      const bool did = std::binary_search(signers.begin(), signers.end(), keeper);
      text +=
          fmt::format("keeper {}, who {} this\n", to_hex(keeper), did ? "signed" : "did NOT sign");
    }
    text += of_this_log ? "" : "NOT of the ledger whose log is here\n";
    text += good || !of_this_log ? ""
                                 : "NOT signed by more than half of the keepers, and by no other\n";
    OVIR_TRY(write_output(text));
  }
  return good ? exit_code::done : exit_code::wrong;
}

json path_json(const std::vector<digest>& path) {
  json list = json::array();
  for (const digest& d : path) {
    list.push_back(to_hex(d));
  }
  return list;
}

/// For others to check with ovir-verify: under the head that the keeper signed last.
result<void> write_proof(const log_options& given, surroundings& around, const std::string& folder,
                         const ledger::ledger& book) {
  OVIR_ASSIGN(const auto head, kept_head(around.environment, folder));
  if (!head || head->head.size <= given.index) {
    return fail(errc::not_found, "no signed head holds entry {} yet; have the keeper sign one",
                given.index);
  }
  if (given.since_head.empty()) {
    OVIR_ASSIGN(ledger::inclusion in, book.prove(given.index, head->head.size));
    OVIR_ASSIGN(std::vector<std::byte> entry, book.log().entry_at(given.index));
    return write_proof_file(around.environment, given.output,
                            to_bytes(ledger::entry_proof{std::move(entry), std::move(in), *head}));
  }
  OVIR_ASSIGN(const std::string text, read_proof_file(around.environment, given.since_head));
  OVIR_ASSIGN(const ledger::signed_head first, ledger::signed_head_from(bytes_of(text)));
  OVIR_ASSIGN(std::vector<digest> path, book.prove_consistency(first.head.size, head->head.size));
  return write_proof_file(around.environment, given.output,
                          to_bytes(ledger::consistency{first, *head, std::move(path)}));
}

result<exit_code> prove(const log_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string folder, ledger_folder_from(given.folder));
  OVIR_ASSIGN(ledger_folder open, ledger_folder::open(around.environment, folder));
  const ledger::ledger& book = open.book();
  const std::uint64_t size = book.log().size();
  OVIR_ASSIGN(const ledger::inclusion in, book.prove(given.index, size));
  json document{{"ledger", to_hex(book.id())},       {"entry", given.index},
                {"leaf", to_hex(in.leaf)},           {"size", size},
                {"root", to_hex(book.log().root())}, {"path", path_json(in.path)}};
  if (given.size > 0) {
    OVIR_ASSIGN(const std::vector<digest> proof, book.prove_consistency(given.size, size));
    document["consistent_with"] = given.size;
    document["consistency"] = path_json(proof);
  }
  if (!given.output.empty()) {
    OVIR_TRY(write_proof(given, around, folder, book));
  }
  if (given.as_json) {
    OVIR_TRY(write_document(document));
    return exit_code::done;
  }
  std::string text = fmt::format("entry {} of {}\nleaf {}\nroot {}\n", given.index, size,
                                 to_hex(in.leaf), to_hex(book.log().root()));
  for (const digest& d : in.path) {
    text += "path " + to_hex(d) + "\n";
  }
  OVIR_TRY(write_output(text));
  return exit_code::done;
}

} // namespace

void add_ledger_log(CLI::App& ledger, chosen_command& chosen) {
  const auto log = std::make_shared<log_options>();
  CLI::App* const logged =
      add_ledger_command(ledger, chosen, "log", "Entries with their movements", log, show_log);
  logged->add_option("--from", log->first, "First entry")->capture_default_str();
  logged->add_option("--max", log->count, "At most so many")->capture_default_str();
  logged->add_flag("--csv", log->as_csv, "Comma-separated, amounts in micro-credits");

  const auto checked = std::make_shared<log_options>();
  CLI::App* const verified = add_ledger_command(
      ledger, chosen, "verify",
      "Every byte, signature, rule and invariant of the log (exit code 1 if one is wrong)", checked,
      verify_all);
  verified->add_option("--head", checked->heads,
                       "File with a signed head seen earlier (repeatable)");
  verified->add_option("--promise", checked->promises, "File with an acknowledgement (repeatable)");
  verified->add_flag("--skip-signatures", checked->skip_signatures,
                     "Leave the signatures of clients unchecked: some twenty times as fast");

  const auto head = std::make_shared<log_options>();
  add_ledger_command(ledger, chosen, "head", "The last head that the keepers signed", head,
                     show_head)
      ->add_option("-o,--output", head->output, "File for its bytes, for verify --head");

  const auto proof = std::make_shared<log_options>();
  CLI::App* const proved = add_ledger_command(
      ledger, chosen, "prove", "That an entry is in the log, and that it only grew", proof, prove);
  proved->add_option("ENTRY", proof->index, "Its index")->required();
  proved->add_option("--since-size", proof->size,
                     "Prove also that the log begins with its first so many entries");
  proved->add_option("-o,--output", proof->output,
                     "File for the proof, for ovir-verify: the entry and its way to the last head");
  proved->add_option("--since-head", proof->since_head,
                     "File with an earlier signed head: the proof in --output is that the log only "
                     "grew since");
}

} // namespace ovir::apps
