#include "ledger/rules/state_bytes.hpp"

namespace ovir::ledger {

void write_account(byte_writer& w, const account& a) {
  for (const std::uint64_t n :
       {a.free, a.pending, a.stake, a.earned, a.nonce, a.minute, a.actions, a.assigned_units,
        a.valid_units, a.consecutive, a.last_active, a.pending_windows, a.open_requests}) {
    w.number(n);
  }
  w.number(static_cast<std::uint8_t>(a.ejected));
  w.number(static_cast<std::uint8_t>(a.unlockings.size()));
  for (const unlocking& u : a.unlockings) {
    w.number(u.amount);
    w.number(u.due);
    w.number(u.nonce);
  }
}

account read_account(byte_reader& r) {
  account a;
  for (std::uint64_t* n : {&a.free, &a.pending, &a.stake, &a.earned, &a.nonce, &a.minute,
                           &a.actions, &a.assigned_units, &a.valid_units, &a.consecutive,
                           &a.last_active, &a.pending_windows, &a.open_requests}) {
    *n = r.number<std::uint64_t>();
  }
  a.ejected = r.number<std::uint8_t>() != 0;
  a.unlockings.resize(r.number<std::uint8_t>());
  for (unlocking& u : a.unlockings) {
    u.amount = r.number<micro_credits>();
    u.due = r.number<std::uint64_t>();
    u.nonce = r.number<std::uint64_t>();
  }
  return a;
}

namespace {

void write_windows(byte_writer& w, const std::vector<window_record>& windows) {
  w.number(static_cast<std::uint32_t>(windows.size()));
  for (const window_record& x : windows) {
    w.number(static_cast<std::uint8_t>(x.phase));
    for (const std::uint64_t n : {x.accrued_at, x.gross, x.fee, x.refund}) {
      w.number(n);
    }
    w.number(static_cast<std::uint32_t>(x.shares.size()));
    for (const pending_share& s : x.shares) {
      w.write(s.node);
      w.number(s.amount);
      w.number(s.units);
      w.number(s.on_time);
    }
  }
}

/// Counts are believed as far as there are bytes for them.
bool read_windows(byte_reader& r, std::vector<window_record>& windows) {
  constexpr std::size_t window_bytes = 37;
  constexpr std::size_t share_bytes = 48;
  const auto count = r.number<std::uint32_t>();
  if (count > r.rest().size() / window_bytes) {
    return false;
  }
  windows.resize(count);
  for (window_record& x : windows) {
    x.phase = static_cast<window_phase>(r.number<std::uint8_t>());
    for (std::uint64_t* n : {&x.accrued_at, &x.gross, &x.fee, &x.refund}) {
      *n = r.number<std::uint64_t>();
    }
    const auto shares = r.number<std::uint32_t>();
    if (x.phase < window_phase::pending || x.phase > window_phase::voided ||
        shares > r.rest().size() / share_bytes) {
      return false;
    }
    x.shares.resize(shares);
    for (pending_share& s : x.shares) {
      r.read(s.node);
      s.amount = r.number<micro_credits>();
      s.units = r.number<std::uint32_t>();
      s.on_time = r.number<std::uint32_t>();
    }
  }
  return true;
}

} // namespace

void write_request(byte_writer& w, const request_record& q) {
  w.write(q.payer);
  w.write(q.scheduler);
  w.number(static_cast<std::uint8_t>(q.open));
  w.number(static_cast<std::uint8_t>(q.prompt_accounted));
  for (const std::uint64_t n : {q.rate, q.prompt, q.completion_max, q.accounted, q.expires,
                                q.reserved, q.accrued, q.cache_refunded, q.returned, q.held}) {
    w.number(n);
  }
  w.number(q.unsettled);
  w.number(q.layers);
  w.number(q.audit_fees);
  w.number(static_cast<std::uint32_t>(q.path.size()));
  for (const node_id& node : q.path) {
    w.write(node);
  }
  write_windows(w, q.windows);
  write_windows(w, q.compensations);
}

bool read_request(byte_reader& r, request_record& q) {
  r.read(q.payer);
  r.read(q.scheduler);
  q.open = r.number<std::uint8_t>() != 0;
  q.prompt_accounted = r.number<std::uint8_t>() != 0;
  for (std::uint64_t* n : {&q.rate, &q.prompt, &q.completion_max, &q.accounted, &q.expires,
                           &q.reserved, &q.accrued, &q.cache_refunded, &q.returned, &q.held}) {
    *n = r.number<std::uint64_t>();
  }
  q.unsettled = r.number<std::uint32_t>();
  q.layers = r.number<std::uint32_t>();
  q.audit_fees = r.number<micro_credits>();
  const auto nodes = r.number<std::uint32_t>();
  if (nodes > r.rest().size() / node_id::size) {
    return false;
  }
  q.path.resize(nodes);
  for (node_id& node : q.path) {
    r.read(node);
  }
  return read_windows(r, q.windows) && read_windows(r, q.compensations);
}

} // namespace ovir::ledger
