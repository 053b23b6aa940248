#include "ledger/keeper/keeper.hpp"

#include "ledger/keeper/reports.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/replay_evidence.hpp"
#include "ledger/rules/standing.hpp"
#include "messages/limits/conviction.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/keepers.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ovir::ledger {

keeper::keeper(ledger book, keeper_surroundings around, std::vector<std::byte> genesis)
    : book_(std::move(book)), around_(std::move(around)), genesis_(std::move(genesis)) {
  const std::optional<signed_head>& last = around_.last_head;
  if (last && signed_by_majority(*last, book_.view().origin().keepers) &&
      last->head.size <= book_.log().size() && book_.extends(last->head)) {
    head_ = last;
  }
  learn();
}

/// What is looked up often, from the ledger.
void keeper::learn() {
  unlearned_ = false;
  ejected_.clear();
  escrows_.clear();
  for (const auto& [node, a] : book_.view().accounts()) {
    if (a->ejected) {
      ejected_.insert(node);
    }
  }
  for (const auto& [request, record] : book_.view().requests()) {
    if (const auto r = reservation_of(request)) {
      escrows_[r->about] = request;
    }
  }
}

result<keeper> keeper::make(ledger book, keeper_surroundings around) {
  const genesis& rules = book.view().origin();
  if (!std::ranges::binary_search(rules.keepers, around.key->id())) {
    return fail(errc::invalid_argument,
                "this ledger is kept by {} and this node is {}; give the node a keeper's key, or "
                "another folder",
                names_of(rules.keepers), short_name(around.key->id()));
  }
  OVIR_TRY(check(rules.rules));
  OVIR_ASSIGN(std::vector<std::byte> first, book.log().entry_at(0));
  return keeper{std::move(book), std::move(around), std::move(first)};
}

result<void> keeper::replace(ledger book) {
  OVIR_CHECK(waiting_.empty(), waiting_.size());
  if (book.id() != book_.id() || book.log().size() < told_) {
    return fail(errc::digest_mismatch,
                "the ledger {} of {} entries is not the one that is kept, of {}",
                to_hex(book.id()).substr(0, 8), book.log().size(), told_);
  }
  book_ = std::move(book);
  own_head_.reset();
  learn();
  return {};
}

const signed_head& keeper::own_head() {
  if (!own_head_ || own_head_->head.size != book_.log().size()) {
    own_head_ = sign(*around_.key, book_.head());
  }
  return *own_head_;
}

const signed_head& keeper::head() {
  OVIR_CHECK(has_head());
  return is_alone() ? own_head() : *head_;
}

void keeper::take(const node_id& from, role_set roles, message question,
                  std::vector<keeper_answer>& answers) {
  const std::uint64_t id = question.id;
  const auto answer = [&](auto body) { answers.push_back({from, {id, std::move(body)}}); };
  if (askers_.size() < limits::keeper_askers_max) {
    askers_.insert(from);
  }
  if (!has_head()) {
    return answer(refusal{fail(errc::busy, "most keepers have signed nothing yet; ask again")});
  }
  if (auto* const asked = std::get_if<submit>(&question.body)) {
    queue(from, roles, id, *asked, answers);
  } else if (const auto* const account = std::get_if<ask_account>(&question.body)) {
    answer(report_on(account->who));
  } else if (const auto* const request = std::get_if<ask_request>(&question.body)) {
    answer(report_on_request(request->request));
  } else if (const auto* const entries = std::get_if<ask_entries>(&question.body)) {
    if (auto run = entries_from(entries->first)) {
      answer(std::move(*run));
    } else {
      answer(refusal{run.error()});
    }
  } else if (auto* const word = std::get_if<vouch>(&question.body)) {
    take_vouch(from, roles, id, *word, answers);
  } else if (const auto* const budget = std::get_if<ask_voucher>(&question.body)) {
    answer(report_on_voucher(book_.view(), *budget, from, now_));
  } else if (const auto* const spent = std::get_if<ask_voucher_statement>(&question.body)) {
    auto page = statement_of_voucher(book_, *spent);
    page ? answer(std::move(*page)) : answer(refusal{page.error()});
  } else if (const auto* const statement = std::get_if<ask_statement>(&question.body)) {
    if (auto page = statement_of(*statement)) {
      answer(std::move(*page));
    } else {
      answer(refusal{page.error()});
    }
  }
}

void keeper::queue(const node_id& from, role_set roles, std::uint64_t id, submit& asked,
                   std::vector<keeper_answer>& answers) {
  const auto refuse = [&](error why) {
    ++counts_.refused;
    answers.push_back({from, {id, refusal{std::move(why)}}});
  };
  if (waiting_.size() >= limits::ledger_waiting_max ||
      waiting_of_[from] >= limits::ledger_waiting_per_node_max) {
    return refuse(fail(errc::busy, "{} commands wait, {} of them yours; send it again later",
                       waiting_.size(), waiting_of_[from]));
  }
  auto admitted = admit(from, roles, asked);
  if (!admitted) {
    return refuse(admitted.error());
  }
  if (!has_room_for(asked.evidence.size())) {
    return refuse(fail(errc::busy, "much evidence waits to be kept; send it again later"));
  }
  ++waiting_of_[from];
  evidence_waiting_ += asked.evidence.size();
  waiting_.push_back({from, id, std::move(*admitted), std::move(asked.evidence)});
}

result<void> keeper::enter_claimed(command what) {
  OVIR_CHECK(is_claimed(what));
  if (waiting_.size() >= limits::ledger_waiting_max) {
    return fail(errc::busy, "{} commands wait", waiting_.size());
  }
  OVIR_ASSIGN(authentic_command one, by_log_keeper(book_.id(), std::move(what)));
  waiting_.push_back({around_.key->id(), 0, std::move(one), {}});
  return {};
}

result<authentic_command> keeper::admit(const node_id& from, role_set roles, submit& asked) const {
  OVIR_ASSIGN(entry e, decode_entry(asked.entry));
  if (e.time != 0) {
    return fail(errc::invalid_argument, "a command comes with the time {}; the keeper gives it one",
                e.time);
  }
  const bool convicts = std::holds_alternative<convict>(e.what);
  if (!asked.evidence.empty() && !convicts) {
    return fail(errc::invalid_argument, "a {} comes with evidence; only convictions have any",
                to_string(kind_of(e.what)));
  }
  if (signer_of(e.what) != nullptr) {
    if (const reroute* const x = std::get_if<reroute>(&e.what)) {
      OVIR_TRY(admit_reroute(*x));
    } else if (const chain_commit* const c = std::get_if<chain_commit>(&e.what)) {
      OVIR_TRY(admit_chain(*c));
    }
    return authenticate(book_.id(), std::move(e.what), e.proof);
  }
  if (const convict* const x = std::get_if<convict>(&e.what)) {
    OVIR_ASSIGN(asked.evidence, admit_conviction(roles, *x, asked.evidence));
  } else {
    OVIR_TRY(admit_unsigned(from, roles, e.what));
  }
  return by_log_keeper(book_.id(), std::move(e.what));
}

result<void> keeper::admit_unsigned(const node_id& from, role_set roles,
                                    const command& what) const {
  if (const compensate* const x = std::get_if<compensate>(&what)) {
    if (!roles.has(role::verifier) || x->to != from) {
      return fail(errc::invalid_argument, "an audit pays the verifier that asks for it");
    }
    return {}; // for which unit and how much follows from the log (state::check_audited)
  }
  if (std::holds_alternative<chain_link>(what)) {
    return {}; // it proves itself, whoever sends it
  }
  if (is_claimed(what) && OVIR_MUTANT("keeper_lets_anyone_settle")) {
    return {};
  }
  return fail(errc::invalid_argument, "a {} {}", to_string(kind_of(what)),
              is_claimed(what) ? "is signed by who drives its request; sign it"
                               : "follows from time or from the rules; nobody sends it");
}

/// A scheduler may spend another's credits: it names members that compute, no key it thought of.
result<void> keeper::admit_reroute(const reroute& x) const {
  for (const path_stage& s : x.stages) {
    if (!around_.roles_of || !around_.roles_of(s.node).has(role::worker)) {
      // A member that was let in elsewhere just now is known here in a moment.
      return fail(errc::busy, "{} is no worker that this keeper knows; name members, or try again",
                  short_name(s.node));
    }
  }
  return {};
}

/// Who is in no set of verifiers is drawn by nobody: identities alone give no part of the draw.
result<void> keeper::admit_chain(const chain_commit& x) const {
  if (!around_.roles_of || !around_.roles_of(x.verifier).has(role::verifier)) {
    return fail(errc::busy, "{} is no verifier that this keeper knows; its role decides that",
                short_name(x.verifier));
  }
  return {};
}

result<reserve> keeper::reservation_of(const escrow_id& request) const {
  const auto index = book_.view().index_of(reservation_id(request));
  if (!index) {
    return fail(errc::not_found, "there was never a reservation {}", to_hex(request).substr(0, 8));
  }
  OVIR_ASSIGN(const std::vector<std::byte> bytes, book_.log().entry_at(*index));
  OVIR_ASSIGN(entry e, decode_entry(bytes));
  return std::get<reserve>(std::move(e.what));
}

result<std::vector<std::byte>> keeper::admit_conviction(role_set roles, const convict& x,
                                                        std::span<const std::byte> evidence) const {
  if (x.kind == evidence_kind::double_charge) {
    OVIR_TRY(check_double_charge(book_.id(), x, evidence, lookup_in(book_)));
    return std::vector<std::byte>{evidence.begin(), evidence.end()};
  }
  OVIR_ASSIGN(const reserve reservation, reservation_of(x.request));
  if (x.kind == evidence_kind::equivocation) {
    OVIR_TRY(check_equivocation(x, reservation, evidence));
    const auto examined = examined_here(x);
    if (examined && is_admitted(*examined, reservation)) {
      return fail(errc::invalid_argument, "{} admitted a fault in this request and loses no stake",
                  short_name(x.guilty));
    }
    return std::vector<std::byte>{evidence.begin(), evidence.end()};
  }
  if (!roles.has(role::verifier)) {
    return fail(errc::invalid_argument, "a conviction by replay comes from a verifier");
  }
  for (const verdict& v : x.verdicts) {
    if (!around_.roles_of || !around_.roles_of(v.verifier).has(role::verifier)) {
      return fail(errc::invalid_argument, "{} gave a verdict and is no verifier here",
                  short_name(v.verifier));
    }
  }
  if (!evidence.empty() && evidence_digest(evidence) != x.evidence) {
    return fail(errc::invalid_argument,
                "the evidence is not the one that the conviction names by its digest");
  }
  OVIR_ASSIGN(std::vector<std::byte> examined, examined_here(x));
  OVIR_TRY(check_replay(x, reservation, examined, around_.roles_of, around_.operators));
  return examined;
}

result<std::vector<std::byte>> keeper::examined_here(const convict& x) const {
  if (!around_.conviction_of) {
    return fail(errc::unsupported, "convictions by replay are not examined here");
  }
  return around_.conviction_of(x);
}

/// Whether as much more evidence may wait for the next batch.
bool keeper::has_room_for(std::size_t evidence) const {
  return evidence_waiting_ + evidence <= limits::ledger_evidence_waiting_bytes_max;
}

/// A verifier that vouches for much loses the oldest of it: no other is kept from being heard.
void keeper::make_room_for(const node_id& verifier) {
  std::size_t its = 0;
  auto oldest = vouched_.end();
  for (auto it = vouched_.begin(); it != vouched_.end(); ++it) {
    if (it->second.what.verdicts.front().verifier == verifier) {
      ++its;
      oldest = oldest == vouched_.end() || it->second.said < oldest->second.said ? it : oldest;
    }
  }
  if (its >= limits::ledger_vouched_per_verifier_max) {
    vouched_.erase(oldest);
  }
}

void keeper::take_vouch(const node_id& from, role_set roles, std::uint64_t id, vouch& asked,
                        std::vector<keeper_answer>& answers) {
  const auto refuse = [&](error why) {
    ++counts_.refused;
    answers.push_back({from, {id, refusal{std::move(why)}}});
  };
  convict& x = asked.what;
  if (ejected_.contains(x.guilty)) {
    return answers.push_back({from, {id, report_on(from)}});
  }
  if (x.verdicts.front().verifier != from) {
    return refuse(fail(errc::invalid_argument, "a verifier vouches with its own verdict alone"));
  }
  const state& now = book_.view();
  if (const auto may = check_verifier(from, now.find(from), now.origin().rules); !may) {
    return refuse(may.error());
  }
  if (const auto is_signed = check_signatures(book_.id(), x, {}); !is_signed) {
    return refuse(is_signed.error());
  }
  auto evidence = admit_conviction(roles, x, {});
  if (!evidence) {
    return refuse(evidence.error());
  }
  if (!has_room_for(evidence->size())) {
    return refuse(fail(errc::busy, "much evidence waits to be kept; vouch again later"));
  }
  std::vector<std::byte> said = verdict_bytes(book_.id(), x);
  const auto finder = std::as_bytes(std::span{x.finder.key});
  said.insert(said.end(), finder.begin(), finder.end());
  const digest name = hash("ovir/ledger/v1/vouched", said);
  const auto known = vouched_.find(name);
  if (known == vouched_.end()) {
    make_room_for(from);
    if (vouched_.size() >= limits::ledger_vouched_max) {
      return refuse(fail(errc::busy, "{} convictions wait for a second verdict; try again later",
                         vouched_.size()));
    }
    vouched_.emplace(name, vouched{std::move(x), now_});
    return; // until another verifier says so, too
  }
  if (known->second.what.verdicts.front().verifier == from) {
    known->second.said = now_;
    return;
  }
  convict whole = std::move(known->second.what);
  vouched_.erase(known);
  whole.verdicts.push_back(x.verdicts.front());
  std::sort(whole.verdicts.begin(), whole.verdicts.end(),
            [](const verdict& a, const verdict& b) { return a.verifier < b.verifier; });
  auto ready = by_log_keeper(book_.id(), std::move(whole));
  if (!ready) {
    return refuse(ready.error());
  }
  ++waiting_of_[from];
  evidence_waiting_ += evidence->size();
  waiting_.push_back({from, id, std::move(*ready), std::move(*evidence)});
}

result<gathered_commands> keeper::gather(std::uint64_t now, const due_allowance& due) {
  gathered_commands all{std::exchange(waiting_, {}), {}, {}};
  waiting_of_.clear();
  evidence_waiting_ = 0;
  now_ = now;
  std::erase_if(vouched_, [now](const auto& one) {
    return one.second.said + limits::ledger_vouch_lasts_s < now;
  });
  for (const asked_command& one : all.asked) {
    OVIR_TRY(keep_evidence_of(one));
  }
  for (const auto& [guilty, charge] : accused_) {
    OVIR_TRY(keep_evidence_of({self(), 0, charge.what, charge.evidence}));
    all.accused.push_back(charge);
  }
  if (due.most > 0) {
    const bool links_could_come = due.up_s >= book_.view().origin().rules.epoch_s;
    for (command& c :
         book_.view().due(std::min(due.by, now), due.most, links_could_come ? now : 0)) {
      OVIR_ASSIGN(authentic_command one, by_log_keeper(book_.id(), std::move(c)));
      all.due.push_back(std::move(one));
    }
  }
  return all;
}

result<void> keeper::keep_evidence_of(const asked_command& one) const {
  const auto* const x = std::get_if<convict>(&one.what.what());
  OVIR_CHECK(x == nullptr || !one.evidence.empty());
  if (x == nullptr || !around_.keep_evidence) {
    return {};
  }
  return around_.keep_evidence(x->evidence, one.evidence);
}

result<batch_outcome> keeper::enter(std::span<const authentic_command> batch, std::uint64_t now,
                                    std::vector<keeper_answer>& answers) {
  if (unlearned_) {
    learn();
  }
  OVIR_ASSIGN(batch_outcome done, book_.commit(batch, now));
  bool convicted = false;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    convicted = note(batch[i], done.commands[i]) || convicted;
  }
  if (convicted && has_head()) {
    for (const node_id& node : askers_) {
      answers.push_back({node, {0, report_on(node)}});
    }
  }
  return done;
}

/// Counts what came of a command, and learns from it; whether it convicted.
bool keeper::note(const authentic_command& asked, const command_outcome& one) {
  const command& what = asked.what();
  if (is_proved_by_charges(what)) {
    accused_.erase(std::get<convict>(what).guilty); // whatever came of it comes of it again
  }
  if (!one.done) {
    ++counts_.refused;
    if (one.why.code == errc::superseded) {
      accuse_of_charging_twice(asked);
    }
    return false;
  }
  if (one.done->how == apply_outcome::applied) {
    ++counts_.entries[kind_of(what)];
  }
  if (const reserve* const r = std::get_if<reserve>(&what)) {
    note_escrow(*r);
  }
  const convict* const x = std::get_if<convict>(&what);
  return x != nullptr && ejected_.insert(x->guilty).second;
}

/// The conviction waits for the next batch; of several keepers, for that of the one that leads.
void keeper::accuse_of_charging_twice(const authentic_command& refused) {
  auto found = find_double_charge(book_, refused, self());
  if (found && accused_.size() < limits::keeper_accused_max) {
    accused_.emplace(std::get<convict>(found->what.what()).guilty, std::move(*found));
  }
}

result<std::size_t> keeper::commit(std::uint64_t now, const due_allowance& due,
                                   std::vector<keeper_answer>& answers) {
  OVIR_ASSIGN(gathered_commands all, gather(now, due));
  std::vector<authentic_command> batch;
  batch.reserve(all.asked.size() + all.due.size());
  for (const asked_command& one : all.asked) {
    batch.push_back(one.what);
  }
  std::ranges::move(all.due, std::back_inserter(batch));
  std::ranges::transform(all.accused, std::back_inserter(batch), &found_charge::what);
  if (batch.empty()) {
    return all.due.size();
  }
  std::vector<keeper_answer> news;
  OVIR_ASSIGN(const batch_outcome done, enter(batch, now, news));
  for (std::size_t i = 0; i < all.asked.size(); ++i) {
    const asked_command& asked = all.asked[i];
    const command_outcome& one = done.commands[i];
    answers.push_back({asked.from, one.done ? promised(asked.id, one.done->index)
                                            : message{asked.id, refusal{one.why}}});
  }
  std::ranges::move(news, std::back_inserter(answers));
  return all.due.size();
}

result<void> keeper::follow(std::span<const std::vector<std::byte>> entries,
                            const signed_head& head, std::span<const digest> path) {
  OVIR_TRY(book_.follow(entries, head, {}, path));
  unlearned_ = true;
  if (book_.log().size() < head.head.size) {
    return {};
  }
  head_ = head;
  learn();
  std::erase_if(accused_, [this](const auto& one) { return ejected_.contains(one.first); });
  return {};
}

result<void> keeper::admits(const command& what, std::span<const std::byte> evidence) const {
  if (is_claimed(what)) {
    return around_.claims_say
               ? around_.claims_say(what)
               : fail(errc::busy,
                      "no claim of a stage is known here, and a {} without a signature "
                      "follows from claims alone",
                      to_string(kind_of(what)));
  }
  if (const convict* const x = std::get_if<convict>(&what)) {
    std::vector<std::byte> known{evidence.begin(), evidence.end()};
    if (x->kind == evidence_kind::equivocation && around_.evidence_of) {
      OVIR_ASSIGN(known, around_.evidence_of(x->evidence));
    }
    OVIR_ASSIGN(const std::vector<std::byte> kept,
                admit_conviction(role_set{}.add(role::verifier), *x, known));
    return around_.keep_evidence ? around_.keep_evidence(x->evidence, kept) : result<void>{};
  }
  if (const compensate* const fee = std::get_if<compensate>(&what)) {
    const role_set roles = around_.roles_of ? around_.roles_of(fee->to) : role_set{};
    return admit_unsigned(fee->to, roles, what);
  }
  return {};
}

result<promise> keeper::promise_of(std::uint64_t index) {
  promise made;
  OVIR_ASSIGN(made.time, book_.time_of(index));
  OVIR_ASSIGN(made.entry, book_.acknowledge(index, head()));
  return made;
}

message keeper::promised(std::uint64_t id, std::uint64_t index) {
  if (auto made = promise_of(index)) {
    return {id, std::move(*made)};
  } else {
    return {id, refusal{made.error()}};
  }
}

void keeper::tell_head(std::vector<keeper_answer>& answers) {
  if (!has_head()) {
    return;
  }
  if (const signed_head& now = head(); now.head.size != told_) {
    told_ = now.head.size;
    for (const node_id& node : askers_) {
      answers.push_back({node, {0, head_news{now}}});
    }
  }
}

account_report keeper::report_on(const node_id& who) {
  const state& s = book_.view();
  account_report report = report_on_account(s, who);
  report.genesis = genesis_;
  report.head = head();
  report.time = std::max(now_, s.last_time());
  for (const node_id& node : ejected_) {
    if (report.ejected.size() < limits::credit_ejected_max) {
      report.ejected.push_back(node);
    }
  }
  return report;
}

result<statement_report> keeper::statement_of(const ask_statement& asked) {
  OVIR_ASSIGN(statement_page page,
              book_.statement(asked.who, asked.from, limits::statement_lines_max));
  statement_report report{asked.who, std::move(page.lines), page.more, {}};
  std::map<escrow_id, node_id> payers;
  for (const statement_line& l : report.lines) {
    if (l.what.request != digest{} && !payers.contains(l.what.request)) {
      OVIR_ASSIGN(const reserve reservation, reservation_of(l.what.request));
      payers.emplace(l.what.request, reservation.payer);
    }
  }
  for (const auto& [request, payer] : payers) {
    report.payers.push_back({request, payer});
  }
  return report;
}

/// Forgets those that are over once there are twice as many as requests.
void keeper::note_escrow(const reserve& r) {
  if (escrows_.size() > 2 * book_.view().requests().size() + limits::ledger_waiting_max) {
    std::erase_if(escrows_, [&](const auto& known) {
      return book_.view().find_request(known.second) == nullptr;
    });
  }
  // What it is about is the payer's word: who says the same later does not take its place.
  const auto known = escrows_.find(r.about);
  if (known == escrows_.end() || book_.view().find_request(known->second) == nullptr) {
    escrows_[r.about] = escrow_of(r);
  }
}

request_report keeper::report_on_request(const digest& request) const {
  const auto about = escrows_.find(request);
  return ovir::ledger::report_on_request(book_.view(),
                                         about == escrows_.end() ? request : about->second);
}

result<entry_run> keeper::entries_from(std::uint64_t first) {
  entry_run run;
  run.first = first;
  run.head = head();
  std::size_t bytes = 0;
  for (std::uint64_t i = first; i < run.head.head.size; ++i) {
    OVIR_ASSIGN(std::vector<std::byte> entry, book_.log().entry_at(i));
    bytes += entry.size() + sizeof(std::uint32_t);
    if (run.entries.size() >= limits::credit_entries_max ||
        bytes > limits::credit_entries_bytes_max) {
      break;
    }
    run.entries.push_back(std::move(entry));
  }
  return run;
}

} // namespace ovir::ledger
