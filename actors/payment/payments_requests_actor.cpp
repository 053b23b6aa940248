#include "actors/payment/payments_parts_actor.hpp"
#include "actors/stage/lead_evidence.hpp"
#include "ledger/rules/attest.hpp"
#include "ledger/rules/equivocation.hpp"
#include "messages/caf/errors.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/mutant.hpp"
#include "messages/wire/frame.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <charconv>

// The payment of this node's requests: reserved, paid window by window, settled.

namespace ovir::actors {

namespace {

using paid = payments_state::paid;

/// Refusals of one command in a row, each after another look at what the keeper has.
constexpr std::uint32_t refusals_max = 4;
/// How often a reservation is signed under another nonce.
constexpr std::uint32_t signed_anew_max = 8;
constexpr std::size_t request_digits = 16;
constexpr std::uint64_t reservation_file_bytes_max = 32U << 10U;

// What is reserved, on disk

std::string file_of(const payments_state& state, request_id request) {
  return fmt::format("{}/{:016x}", state.environment.folder, request.value);
}

result<void> keep_reservation(payments_pointer self, request_id request, const paid& p) {
  const auto bytes = ledger::to_bytes({request.value, ledger::submit{p.reservation, {}}});
  OVIR_ASSIGN(const auto file, self->state.environment.env->stage(file_of(self->state, request)));
  OVIR_TRY(file->append(bytes));
  return file->commit();
}

void forget(payments_pointer self, request_id request) {
  const auto found = self->state.requests.find(request);
  const bool kept = !found->second.reservation.empty();
  const auto gone =
      kept ? self->state.environment.env->remove(file_of(self->state, request)) : result<void>{};
  if (!gone) {
    self->state.environment.journal->say(log_level::warn, request, "a settled reservation: {}",
                                         gone.error().message);
  }
  const paid& p = found->second;
  self->state.driven.emplace_back(request, p.core ? p.core->paid_positions() : p.paid_before);
  self->state.requests.erase(found);
  if (self->state.driven.size() > limits::payments_open_max) {
    self->state.driven.pop_front();
  }
}

result<ledger::reserve> reservation_in(const std::vector<std::byte>& entry) {
  OVIR_ASSIGN(ledger::entry e, ledger::decode_entry(entry));
  auto* const r = std::get_if<ledger::reserve>(&e.what);
  if (r == nullptr) {
    return fail(errc::malformed, "a file of a reservation holds another command");
  }
  return std::move(*r);
}

} // namespace

/// What an earlier life of this node reserved: sent again, and settled unless its lead comes back.
void load_reservations(payments_pointer self) {
  payments_state& state = self->state;
  const auto names = state.environment.env->list(state.environment.folder);
  for (const std::string& name : names ? *names : std::vector<std::string>{}) {
    request_id id;
    const char* const end = name.data() + name.size();
    const auto [rest, wrong] = std::from_chars(name.data(), end, id.value, 16);
    if (name.size() != request_digits || wrong != std::errc{} || rest != end) {
      continue; // a file that was being written
    }
    const auto text = state.environment.env->read(state.environment.folder + "/" + name,
                                                  reservation_file_bytes_max);
    const auto read = text ? ledger::message_from(std::as_bytes(std::span{*text}))
                           : result<ledger::message>{text.error()};
    const auto* const kept = read ? std::get_if<ledger::submit>(&read->body) : nullptr;
    if (kept == nullptr || !reservation_in(kept->entry)) {
      state.environment.journal->say(log_level::warn, id,
                                     "its reservation cannot be read; what it holds comes back "
                                     "when its time is over");
      continue;
    }
    paid p;
    p.reservation = kept->entry;
    p.resumed = true; // what was paid of it, the keeper knows
    p.since = now_of(self);
    state.requests.emplace(id, std::move(p));
  }
}

void make_core(payments_pointer self, paid& p) {
  const payments_state& state = self->state;
  if (p.core) {
    return;
  }
  const auto r = reservation_in(p.reservation);
  OVIR_CHECK(r.has_value());
  const evidence_terms terms =
      p.asked ? terms_of(facts_of(p.asked->request, p.asked->layers)) : evidence_terms{};
  p.core.emplace(terms, *r, state.rules, p.rewards, state.environment.operator_of);
  p.core->paid_before(p.paid_before);
}

namespace {

// Reserving

void refuse(payments_pointer self, request_id request, error why) {
  const auto found = self->state.requests.find(request);
  self->state.environment.journal->say(log_level::warn, request, "{}: {}",
                                       found->second.free ? "not entered" : "not paid for",
                                       why.message);
  self->state.count.unentered += found->second.free ? 1 : 0;
  if (found->second.answer.pending()) {
    found->second.answer.deliver(to_caf(why));
  }
  forget(self, request);
}

bool is_redeemed(const paid& p) {
  const auto r = reservation_in(p.reservation);
  return r && r->voucher != digest{};
}

void send_reservation(payments_pointer self, request_id request, paid& p) {
  const auto what = reservation_in(p.reservation);
  if (!what) {
    return refuse(self, request, what.error());
  }
  p.under_way = make_sent(self, *what, p.reservation);
  submit(self, *p.under_way);
}

} // namespace

void send_reserved(payments_pointer self, request_id request, paid& p, const ledger::reserve& r,
                   const signature& proof) {
  p.reservation = entry_of(r, proof);
  if (const auto kept = keep_reservation(self, request, p); !kept) {
    return refuse(self, request, kept.error());
  }
  send_reservation(self, request, p);
}

namespace {

void take_plan(payments_pointer self, request_id request, const path_description& planned) {
  payments_state& state = self->state;
  const auto found = state.requests.find(request);
  if (found == state.requests.end() || !found->second.asked || !found->second.reservation.empty()) {
    return;
  }
  paid& p = found->second;
  p.planning = false;
  const node_id& me = state.environment.key->id();
  auto r = planned.planned
               ? reservation_for(self, *p.asked, planned, p.payer.empty() ? me : p.payer)
               : result<ledger::reserve>{planned.planned.error()};
  if (r && !ready(state)) {
    r = fail(errc::peer_lost, "the ledger's keeper went away");
  }
  if (!r) {
    return refuse(self, request, r.error());
  }
  p.rewards = rewards_of(self, *p.asked, planned);
  p.path = places_of(planned);
  if (p.voucher != digest{}) {
    r->scheduler = me;
    r->voucher = p.voucher;
  }
  r->nonce = ++state.own.nonce;
  if (p.core) {
    p.core->reserve_anew(*r); // the first path was refused
  }
  send_reserved(self, request, p, *r,
                ledger::sign_action(*state.environment.key, *state.ledger, *r));
}

void ask_for_plan(payments_pointer self, request_id request, paid& p) {
  if (!std::exchange(p.planning, true)) {
    find_plan(self, *p.asked, p.since, [self, request](const path_description& planned) {
      take_plan(self, request, planned);
    });
  }
}

void grant(payments_pointer self, paid& p) {
  make_core(self, p);
  if (p.answer.pending()) {
    p.answer.deliver(credit_reserved{true, p.path});
  }
}

/// A worker says that a scheduler died in the middle of this. Its log may be invented, and going on
/// costs this node's credits: the ledger must hold a reservation for the same request and content,
/// which its payer signed, and that a scheduler drives.
void doubt(payments_pointer self, request_id request, paid& p) {
  p.doubted = true;
  const auto id = self->state.next_id++;
  p.under_way = sent_command{id, {}, {}, {}, now_of(self)};
  say(self, id, ledger::ask_request{about_of(*p.asked)});
  self->state.environment.journal->say(log_level::debug, request, "was it reserved for?");
}

void take_doubted(payments_pointer self, request_id request, paid& p,
                  const ledger::request_report& news) {
  payments_state& state = self->state;
  p.under_way.reset();
  p.doubted = false;
  const auto& drives = state.environment.drives;
  if (!news.known || !news.open || !drives || !drives(news.scheduler)) {
    ++state.count.unordered;
    return refuse(self, request,
                  fail(errc::busy,
                       "another node asks to go on with it, and no scheduler reserved for it; try "
                       "again"));
  }
  // What the stages stated for that one they state to this node again.
  p.paid_before = news.prompt_accounted ? news.prompt + news.accounted : 0;
  ask_for_plan(self, request, p);
}

/// Where a client signed what this node offered it, that is reserved and nothing else.
void reserve_signed(payments_pointer self, request_id request, paid& p) {
  auto offered = take_signed(self, *p.asked);
  if (!offered) {
    return refuse(self, request, offered.error());
  }
  const auto e = ledger::decode_entry(*p.asked->request.payment);
  p.rewards = std::move(offered->rewards);
  p.path = std::move(offered->path);
  send_reserved(self, request, p, std::get<ledger::reserve>(e->what), e->proof);
}

/// A request that begins while no keeper can be asked, or none is believed.
caf::result<credit_reserved> without_keeper(payments_state& state) {
  const bool contradicts = state.signed_by_keepers.contradicts;
  if (state.environment.serves_unpaid && !contradicts) {
    ++state.count.unentered;
    return credit_reserved{};
  }
  if (!state.ledger && !contradicts) { // since this node began
    return to_caf(fail(errc::busy,
                       "requests are paid for here, and {} that keeps the ledger cannot be reached "
                       "yet; try again in a moment",
                       short_name(state.at.node)));
  }
  return to_caf(fail(errc::unsupported,
                     "requests are paid for here, and {} that keeps the ledger {}; try again when "
                     "it is back, or ask a node that serves without",
                     short_name(state.at.node),
                     contradicts ? "contradicted itself" : "cannot be reached"));
}

} // namespace

caf::result<credit_reserved> reserve(payments_pointer self, reserve_credit& asked) {
  payments_state& state = self->state;
  const request_id id = asked.request.id;
  if (state.ledger && ledger::is_free(state.rules) && asked.request.payment == nullptr) {
    return begin_free(self, asked);
  }
  const auto known = state.requests.find(id);
  if (known != state.requests.end()) { // an earlier lead of this node began it
    paid& p = known->second;
    p.asked = std::move(asked);
    p.core.reset(); // it goes on from what the keeper has
    p.lead = {};
    // Nothing is promised yet. What an earlier life asked a voucher for may be refused.
    if (p.reservation.empty() || (!p.reserved && (!p.resumed || is_redeemed(p)))) {
      if (p.answer.pending()) {
        p.answer.deliver(to_caf(fail(errc::cancelled, "another lead of the request asks")));
      }
      p.since = now_of(self);
      p.answer = self->make_response_promise<credit_reserved>();
      keep_ticking(self);
      return p.answer;
    }
    p.resumed = true;
    p.reported = false;
    make_core(self, p);
    keep_ticking(self);
    return credit_reserved{true, {}};
  }
  if (!ready(state)) {
    return without_keeper(state);
  }
  if (state.requests.size() >= limits::payments_open_max) {
    return to_caf(fail(errc::busy, "{} requests wait to be settled by the ledger's keeper",
                       state.requests.size()));
  }
  paid& p = state.requests[id];
  p.since = now_of(self);
  p.asked = std::move(asked);
  p.answer = self->make_response_promise<credit_reserved>();
  const auto answer = p.answer;
  const auto before = std::find_if(state.driven.rbegin(), state.driven.rend(),
                                   [id](const auto& one) { return one.first == id; });
  p.paid_before = before == state.driven.rend() ? 0 : before->second;
  if (p.asked->request.payment != nullptr) {
    p.by_client = true;
    reserve_signed(self, id, p);
  } else if (p.asked->request.generation > 0 && before == state.driven.rend()) {
    doubt(self, id, p);
  } else if (p.asked->request.budget) {
    ask_for_budget(self, id, p);
  } else {
    ask_for_plan(self, id, p);
  }
  keep_ticking(self);
  return answer;
}

/// The keeper takes an account's nonces in ascending order. A reservation that arrived after a
/// later command is not in the ledger; this signs it again under a higher nonce. A request whose
/// reservation was refused for another reason fails.
void sign_refused_anew(payments_pointer self, std::uint64_t nonce_used) {
  payments_state& state = self->state;
  std::vector<request_id> all;
  for (const auto& [id, p] : state.requests) {
    if (p.refused_for) {
      all.push_back(id);
    }
  }
  for (const request_id id : all) {
    paid& p = state.requests.at(id);
    const error why = *std::exchange(p.refused_for, std::nullopt);
    auto r = reservation_in(p.reservation);
    if (!r || r->nonce > nonce_used || OVIR_MUTANT("payments_never_sign_anew")) {
      refuse(self, id, why);
      continue;
    }
    ++p.signed_anew;
    r->nonce = ++state.own.nonce;
    if (p.core) {
      p.core->reserve_anew(*r); // it keeps what was stated, and whether it is over
    }
    send_reserved(self, id, p, *r, ledger::sign_action(*state.environment.key, *state.ledger, *r));
  }
}

namespace {

// Paying

void advance(payments_pointer self, request_id request) {
  payments_state& state = self->state;
  const auto found = state.requests.find(request);
  if (found == state.requests.end()) {
    return;
  }
  paid& p = found->second;
  if (!p.reserved || p.under_way || !ready(state)) {
    return;
  }
  make_core(self, p);
  if (!p.reported) {
    const auto id = state.next_id++;
    p.under_way = sent_command{id, {}, {}, {}, now_of(self)};
    say(self, id, ledger::ask_request{p.core->escrow()});
    return;
  }
  if (p.core->over() || (OVIR_MUTANT("payments_settle_nothing") && p.core->ended())) {
    return forget(self, request);
  }
  p.core->use(state.rules);
  if (auto what = p.core->next(state.ejected)) {
    const signature proof = sign_as_scheduler(self, *what);
    auto entry = entry_of(*what, proof);
    p.under_way = make_sent(self, std::move(*what), std::move(entry));
    submit(self, *p.under_way);
  }
}

} // namespace

void take_stated(payments_pointer self, const work_stated& news) {
  payments_state& state = self->state;
  auto found = state.requests.find(news.request);
  if (found != state.requests.end() && found->second.free && found->second.reservation.empty()) {
    enter_free(self, news.request, found->second, news.path);
    found = state.requests.find(news.request);
  }
  if (found == state.requests.end() || !found->second.core) {
    return;
  }
  const auto view = decode_frame(*news.evidence);
  auto batch = view ? decode_evidence(view->tensor) : result<evidence_batch>{view.error()};
  if (batch) {
    found->second.core->take(news.path, std::move(*batch), state.environment.env->unix_seconds());
    advance(self, news.request);
  }
}

void end_request(payments_pointer self, request_id request) {
  const auto found = self->state.requests.find(request);
  if (found == self->state.requests.end()) {
    return;
  }
  paid& p = found->second;
  if (p.reservation.empty() && (p.free || !p.core)) {
    return forget(self, request); // nothing was computed
  }
  make_core(self, p);
  if (p.core) {
    p.core->end();
  }
  advance(self, request);
  keep_ticking(self);
}

void lead_down(payments_pointer self, const caf::down_msg& message) {
  for (auto& [id, p] : self->state.requests) {
    if (p.lead == message.source) {
      return end_request(self, id); // what was stated is paid, no more
    }
  }
}

void take_promise(payments_pointer self, request_id request, const ledger::promise& news) {
  paid& p = self->state.requests.at(request);
  if (p.under_way->entry.empty() || !holds(self, *p.under_way, news)) {
    return;
  }
  const sent_command done = std::move(*p.under_way);
  p.under_way.reset();
  p.refusals = 0;
  if (!p.reserved) {
    p.reserved = true;
    p.reported = !p.resumed && p.asked.has_value(); // a new one has nothing accounted
    if (p.by_client && p.answer.pending()) {
      p.reported = false; // unless it was shown before: the keeper promises a retry, too
      make_core(self, p);
    } else {
      grant(self, p);
    }
  } else if (p.core) {
    p.core->applied(done.what);
    if (const auto* const paid = std::get_if<ledger::accrue>(&done.what)) {
      doubt_newcomers(self, *paid);
    }
  }
  advance(self, request);
}

void take_refusal(payments_pointer self, request_id request, const error& why) {
  payments_state& state = self->state;
  paid& p = state.requests.at(request);
  ++state.count.refused;
  const auto refused = std::exchange(p.under_way, std::nullopt);
  if (!p.reserved) {
    ask_for_account(self); // its nonce, or who is convicted, may be why
    const auto r = reservation_in(p.reservation);
    if (why.code == errc::busy && p.free && ++p.refusals < refusals_max) {
      return; // the next tick sends it again
    }
    if (why.code == errc::busy && r && p.asked && !p.by_client && !p.free &&
        !std::exchange(p.planned_anew, true)) {
      doubt_standing(self, r->stages); // a newcomer may have got its last window meanwhile
      p.reservation.clear();
      return ask_for_plan(self, request, p);
    }
    if (why.code == errc::invalid_argument && r && p.asked && !p.by_client &&
        p.signed_anew < signed_anew_max) { // its nonce may be why
      p.refused_for = why;
      return;
    }
    return refuse(self, request, why);
  }
  const auto* const named = refused ? std::get_if<ledger::reroute>(&refused->what) : nullptr;
  if (named != nullptr && p.core && ++p.refusals >= refusals_max) { // others are paid nevertheless
    state.environment.journal->say(log_level::warn, request,
                                   "stages that it was rerouted to are not paid: {}", why.message);
    p.core->leave_out(named->stages);
    p.refusals = 0;
    return advance(self, request);
  }
  if (why.code == errc::busy) {
    return; // the next tick sends it again
  }
  state.environment.journal->say(log_level::warn, request, "the ledger's keeper refuses: {}",
                                 why.message);
  const auto* const window = refused ? std::get_if<ledger::accrue>(&refused->what) : nullptr;
  if (window != nullptr && why.code == errc::superseded && p.core) { // paid, and not by this
    const auto r = reservation_in(p.reservation);
    p.paid_before = r->prompt + window->frontier;
    p.core->paid_before(p.paid_before);
  }
  if (named == nullptr && ++p.refusals >= refusals_max) {
    state.environment.journal->say(log_level::error, request,
                                   "its reservation is left to its end: {}", why.message);
    return forget(self, request);
  }
  ask_for_account(self);
  p.reported = false; // what the keeper has decides
  advance(self, request);
}

void take_report(payments_pointer self, request_id request, const ledger::request_report& news) {
  paid& p = self->state.requests.at(request);
  if (p.doubted) {
    return take_doubted(self, request, p, news);
  }
  if (!p.core || news.request != p.core->escrow()) {
    return;
  }
  p.under_way.reset();
  p.reported = true;
  if (p.by_client && p.answer.pending()) {
    if (!news.known || !news.open || news.windows > 0 || news.prompt_accounted) {
      return refuse(self, request,
                    fail(errc::invalid_argument,
                         "this payment was used before; sign a new one for another request"));
    }
    grant(self, p);
  }
  p.core->follow(news);
  advance(self, request);
}

void refuse_request(payments_pointer self, request_id request, error why) {
  refuse(self, request, std::move(why));
}

void plan_request(payments_pointer self, request_id request, paid& p) {
  ask_for_plan(self, request, p);
}

void tend_request(payments_pointer self, request_id id, paid& p) {
  payments_state& state = self->state;
  const auto now = now_of(self);
  if (p.answer.pending() && now - p.since > limits::reserve_wait) {
    // The keeper may have it: it is settled when it answers, or time ends it.
    p.answer.deliver(
        to_caf(fail(errc::timed_out, "{} that keeps the ledger did not answer within {} ms",
                    short_name(state.at.node), limits::reserve_wait.count())));
    if (p.reservation.empty() || p.refused_for) {
      return forget(self, id);
    }
    p.asked.reset(); // nobody drives it
    p.core.reset();
    return;
  }
  if (p.reservation.empty()) {
    return; // it is being planned
  }
  // Nobody goes on with what an earlier life of this node reserved.
  if (!p.asked && now - p.since > limits::payment_orphan_wait && state.ledger) {
    make_core(self, p);
    p.core->end();
  }
  if (!state.at.linked) {
    return;
  }
  if (p.refused_for) {
    if (now - state.at.asked_account > limits::payment_retry) {
      ask_for_account(self);
    }
    return;
  }
  if (!p.under_way && !p.reserved) {
    return send_reservation(self, id, p);
  }
  if (p.under_way && now - p.under_way->at > limits::payment_retry) {
    if (OVIR_MUTANT("payments_send_once")) {
      return;
    }
    if (p.under_way->entry.empty()) {
      p.under_way.reset(); // a question, asked again below
    } else {
      submit_again(self, *p.under_way);
    }
  }
  advance(self, id);
}

} // namespace ovir::actors
