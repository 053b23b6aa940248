#include "ledger/rules/state.hpp"
#include "ledger/rules/state_bytes.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

/// The canonical bytes of a state (docs/formats/ledger-log.md, "Snapshots").
namespace ovir::ledger {

namespace {

constexpr std::uint32_t snapshot_version = 3;
constexpr std::uint64_t magic = 0x3150'414e'5352'4c4fULL; // "OLRSNAP1"

error damaged(std::string_view what) {
  return fail(errc::malformed, "the snapshot is damaged ({}); it is made anew from the log", what);
}

} // namespace

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

std::vector<std::byte> state::snapshot() const {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.number(magic);
  w.number(snapshot_version);
  w.number(entries_);
  w.number(time_);
  if (entries_ > 0) {
    std::vector<std::byte> rules;
    encode({0, origin_, {}}, rules);
    w.number(static_cast<std::uint32_t>(rules.size()));
    w.bytes(rules.data(), rules.size());
  } else {
    w.number(std::uint32_t{0});
  }
  for (const micro_credits n :
       {totals_.minted, totals_.assurance, totals_.treasury, totals_.burnt}) {
    w.number(n);
  }
  w.number(static_cast<std::uint64_t>(accounts_.size()));
  for (const auto& [node, a] : accounts()) {
    w.write(node);
    write_account(w, *a);
  }
  w.number(static_cast<std::uint64_t>(requests_.size()));
  for (const auto& [id, q] : requests_) {
    w.write(id);
    write_request(w, q);
  }
  std::vector<std::pair<digest, std::uint64_t>> ids;
  ids.reserve(ids_.size());
  for (std::uint64_t index = 0; index < ids_.size(); ++index) {
    ids.emplace_back(ids_.at(index).id, index);
  }
  std::sort(ids.begin(), ids.end());
  w.number(static_cast<std::uint64_t>(ids.size()));
  for (const auto& [id, index] : ids) {
    w.write(id);
    w.number(index);
    w.number(ids_.at(index).content);
  }
  w.write(hash("ovir/ledger/v1/snapshot", out));
  return out;
}

/// What becomes due when, of one request.
void state::note_due(const escrow_id& id, const request_record& q) {
  const std::uint64_t window = origin_.rules.audit_window_s;
  if (q.open) {
    expirations_.emplace(q.expires, id);
  }
  for (const bool extra : {false, true}) {
    const std::vector<window_record>& windows = extra ? q.compensations : q.windows;
    for (std::uint32_t i = 0; i < windows.size(); ++i) {
      if (windows[i].phase == window_phase::pending) {
        releases_.emplace(windows[i].accrued_at + window, id, (extra ? first_compensation : 0) + i);
      }
    }
  }
}

result<void> state::read_rules(byte_reader& r) {
  entries_ = r.number<std::uint64_t>();
  time_ = r.number<std::uint64_t>();
  const auto size = r.number<std::uint32_t>();
  if (size > r.rest().size() || (size == 0) != (entries_ == 0)) {
    return damaged("its rules");
  }
  if (size > 0) {
    OVIR_ASSIGN(entry rules, decode_entry(r.rest().first(size)));
    if (!std::holds_alternative<genesis>(rules.what)) {
      return damaged("its rules");
    }
    origin_ = std::get<genesis>(std::move(rules.what));
    r.skip(size);
  }
  for (micro_credits* n :
       {&totals_.minted, &totals_.assurance, &totals_.treasury, &totals_.burnt}) {
    *n = r.number<micro_credits>();
  }
  return {};
}

/// One id for each entry.
result<void> state::read_ids(byte_reader& r) {
  constexpr std::size_t id_bytes = digest::size + 16;
  const auto count = r.number<std::uint64_t>();
  if (count != entries_ || count > r.rest().size() / id_bytes) {
    return damaged("its ids");
  }
  std::vector<id_table::record> by_entry(static_cast<std::size_t>(count));
  std::vector<bool> given(by_entry.size());
  for (std::uint64_t i = 0; i < count; ++i) {
    id_table::record x;
    r.read(x.id);
    const auto index = r.number<std::uint64_t>();
    x.content = r.number<std::uint64_t>();
    if (index >= count || given[index]) {
      return damaged("its ids");
    }
    given[index] = true;
    by_entry[index] = x;
  }
  for (const id_table::record& x : by_entry) {
    if (ids_.find(x.id)) {
      return damaged("its ids");
    }
    ids_.append(x);
  }
  return {};
}

result<void> state::read_records(byte_reader& r) {
  for (auto left = r.number<std::uint64_t>(); left > 0 && r.sound(); --left) {
    node_id node;
    r.read(node);
    account a = read_account(r);
    for (const unlocking& u : a.unlockings) {
      unlockings_.emplace(u.due, node, u.nonce);
    }
    at(node) = std::move(a);
  }
  for (auto left = r.number<std::uint64_t>(); left > 0 && r.sound(); --left) {
    escrow_id id;
    r.read(id);
    request_record& q = requests_[id];
    if (!read_request(r, q)) {
      return damaged("a request");
    }
    note_due(id, q);
  }
  OVIR_TRY(read_ids(r));
  return r.finished() ? result<void>{} : damaged("its length");
}

result<state> state::restore(std::span<const std::byte> bytes, std::uint64_t seed) {
  if (bytes.size() < digest::size) {
    return damaged("it is too short");
  }
  const auto body = bytes.first(bytes.size() - digest::size);
  digest stated;
  byte_reader tail{bytes.subspan(body.size())};
  tail.read(stated);
  if (stated != hash("ovir/ledger/v1/snapshot", body)) {
    return damaged("its check fails");
  }
  byte_reader r{body};
  if (r.number<std::uint64_t>() != magic || r.number<std::uint32_t>() != snapshot_version) {
    return damaged("it is of another version");
  }
  state s{seed};
  OVIR_TRY(s.read_rules(r));
  OVIR_TRY(s.read_records(r));
  return s;
}

} // namespace ovir::ledger
