#include "ledger/rules/state_bytes.hpp"

#include "messages/limits/audit.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/wire/fields.hpp"

#include <limits>

namespace ovir::ledger {

namespace {

/// Counts are believed as far as there are bytes for them.
constexpr std::size_t any_number = std::numeric_limits<std::size_t>::max();

} // namespace

template <class Io, of_type<unlocking> T>
void fields(Io& io, T& u) {
  io(u.amount, u.due, u.nonce);
}
template <class Io, of_type<audit_chain> T>
void fields(Io& io, T& c) {
  io(c.first, c.links, c.known, c.last);
}
template <class Io, of_type<account> T>
void fields(Io& io, T& a) {
  io(a.free, a.pending, a.stake, a.earned, a.nonce, a.minute, a.actions, a.assigned_units,
     a.valid_units, a.consecutive, a.last_active, a.pending_windows, a.open_requests, a.ejected,
     a.missed_links);
  io.template list<std::uint8_t>(a.unlockings, "amounts called back", any_number);
  io.template list<std::uint8_t>(a.chains, "hash chains", any_number);
}
template <class Io, of_type<epoch_verifier> T>
void fields(Io& io, T& v) {
  io(v.node, v.weight, v.link);
}
template <class Io, of_type<epoch_state> T>
void fields(Io& io, T& e) {
  io(e.number, e.entries, e.accruals, e.units, e.first_accrual, e.closed_at, e.worked);
  io.template list<std::uint32_t>(e.verifiers, "verifiers", limits::epoch_verifiers_max);
  io.template list<std::uint32_t>(e.closed, "verifiers", limits::epoch_verifiers_max);
}
template <class Io, of_type<pending_share> T>
void fields(Io& io, T& s) {
  io(s.node, s.amount, s.units, s.on_time, s.statement);
}
template <class Io, of_type<window_record> T>
void fields(Io& io, T& w) {
  io(w.phase);
  io.expect(w.phase >= window_phase::pending && w.phase <= window_phase::voided,
            "a window is in no phase that there is");
  io(w.accrued_at, w.gross, w.fee, w.refund, w.withheld);
  io.template list<std::uint32_t>(w.shares, "shares", any_number);
}
template <class Io, of_type<request_record> T>
void fields(Io& io, T& q) {
  io(q.payer, q.scheduler, q.open, q.ended, q.prompt_accounted, q.rate, q.prompt, q.completion_max,
     q.accounted, q.expires, q.reserved, q.accrued, q.cache_refunded, q.returned, q.held,
     q.unsettled, q.layers, q.audit_fees, q.voucher);
  io.template list<std::uint32_t>(q.path, "nodes", any_number);
  io.template list<std::uint32_t>(q.windows, "windows", any_number);
  io.template list<std::uint32_t>(q.compensations, "fees of audits", any_number);
}

template <class Io, of_type<voucher_record> T>
void fields(Io& io, T& v) {
  io(v.account, v.key, v.limit, v.reserved, v.spent, v.expires, v.open_requests, v.revoked);
  io.template list<std::uint8_t>(v.schedulers, "schedulers", limits::voucher_schedulers_max);
}

void write_account(byte_writer& w, const account& a) { field_writer{w}(a); }

account read_account(byte_reader& r) {
  account a;
  field_reader{r}(a);
  return a;
}

void write_request(byte_writer& w, const request_record& q) { field_writer{w}(q); }

void write_epochs(byte_writer& w, const epoch_state& e) { field_writer{w}(e); }

bool read_epochs(byte_reader& r, epoch_state& e) {
  e = {};
  field_reader{r}(e);
  return r.sound();
}

void write_voucher(byte_writer& w, const voucher_record& v) { field_writer{w}(v); }

bool read_voucher(byte_reader& r, voucher_record& v) {
  v = {};
  field_reader{r}(v);
  return r.sound();
}

bool read_request(byte_reader& r, request_record& q) {
  q = {};
  field_reader{r}(q);
  return r.sound();
}

} // namespace ovir::ledger
