#include "ledger/rules/command.hpp"

#include "ledger/log/codec.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/short_hash.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

template <class... Handlers>
struct handlers : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
handlers(Handlers...) -> handlers<Handlers...>;

digest as_digest(const node_id& id) {
  digest d;
  d.bytes = id.key;
  return d;
}

digest make_id(const digest& subject, std::uint64_t unit, command_kind kind,
               std::uint64_t sequence) {
  thread_local short_hasher ids{"ovir/ledger/v1/id"};
  std::array<std::byte, digest::size + 24> bytes{};
  const auto kind_number = static_cast<std::uint64_t>(kind);
  std::memcpy(bytes.data(), subject.bytes.data(), digest::size);
  std::memcpy(bytes.data() + digest::size, &unit, sizeof(unit));
  std::memcpy(bytes.data() + digest::size + 8, &kind_number, sizeof(kind_number));
  std::memcpy(bytes.data() + digest::size + 16, &sequence, sizeof(sequence));
  return ids(bytes);
}

void write_policy(byte_writer& w, const policy& p) {
  for (const std::uint64_t n : {p.fee_ppm, p.cache_ppm, p.finder_ppm, p.audit_window_s,
                                p.unlock_delay_s, p.reservation_s_max, p.actions_per_minute_max,
                                p.admission_stake, p.newcomer_units, p.reputation_half_life_s}) {
    w.number(n);
  }
  w.number(static_cast<std::uint8_t>(p.refund));
  const deterrence_terms& t = p.deterrence;
  w.number(static_cast<std::uint8_t>(t.mode));
  w.number(t.auditors);
  for (const std::uint64_t n :
       {t.audit_rate_ppm, t.sensitivity_ppm, t.false_conviction_ppm, t.colluding_share_ppm,
        t.unit_fee, t.saved, t.staying_value, t.stake, t.planted_ppm, t.audit_fee, t.audit_cost,
        t.auditor_stake}) {
    w.number(n);
  }
}

policy read_policy(byte_reader& r) {
  policy p;
  for (std::uint64_t* n : {&p.fee_ppm, &p.cache_ppm, &p.finder_ppm, &p.audit_window_s,
                           &p.unlock_delay_s, &p.reservation_s_max, &p.actions_per_minute_max,
                           &p.admission_stake, &p.newcomer_units, &p.reputation_half_life_s}) {
    *n = r.number<std::uint64_t>();
  }
  p.refund = static_cast<refund_rule>(r.number<std::uint8_t>());
  deterrence_terms& t = p.deterrence;
  t.mode = static_cast<trust_mode>(r.number<std::uint8_t>());
  t.auditors = r.number<std::uint32_t>();
  for (std::uint64_t* n :
       {&t.audit_rate_ppm, &t.sensitivity_ppm, &t.false_conviction_ppm, &t.colluding_share_ppm,
        &t.unit_fee, &t.saved, &t.staying_value, &t.stake, &t.planted_ppm, &t.audit_fee,
        &t.audit_cost, &t.auditor_stake}) {
    *n = r.number<std::uint64_t>();
  }
  return p;
}

void write_shares(byte_writer& w, const std::vector<window_share>& shares) {
  w.number(static_cast<std::uint8_t>(shares.size()));
  for (const window_share& s : shares) {
    w.write(s.node);
    w.number(s.weight);
    w.number(s.amount);
    w.number(s.units);
    w.number(s.on_time);
    w.write(s.statement);
  }
}

void write_stages(byte_writer& w, const std::vector<path_stage>& stages) {
  w.number(static_cast<std::uint8_t>(stages.size()));
  for (const path_stage& s : stages) {
    w.write(s.node);
    w.number(s.layers);
    w.number(s.ask_ppm);
  }
}

/// The fields of a command, in the order of docs/formats/ledger-log.md.
struct body_writer {
  byte_writer& w;

  void operator()(const genesis& g) const {
    write_policy(w, g.rules);
    w.number(static_cast<std::uint8_t>(g.mint_keys.size()));
    for (const node_id& key : g.mint_keys) {
      w.write(key);
    }
    w.write(g.log_keeper);
    w.write(g.salt);
  }
  void operator()(const mint& m) const {
    w.write(m.by);
    w.number(static_cast<std::uint8_t>(m.target));
    w.write(m.to);
    w.number(m.amount);
    w.number(m.nonce);
  }
  void operator()(const transfer& t) const {
    w.write(t.from);
    w.write(t.to);
    w.number(t.amount);
    w.number(t.nonce);
  }
  void operator()(const lock& l) const {
    w.write(l.account);
    w.number(l.amount);
    w.number(l.nonce);
  }
  void operator()(const unlock& u) const {
    w.write(u.account);
    w.number(u.amount);
    w.number(u.nonce);
  }
  void operator()(const unlocked& u) const {
    w.write(u.account);
    w.number(u.unlock_nonce);
  }
  void operator()(const reserve& r) const {
    w.write(r.payer);
    if (!r.scheduler.empty()) {
      w.write(r.scheduler);
    }
    w.write(r.about);
    for (const std::uint64_t n : {r.rate, r.prompt, r.completion_max, r.expires}) {
      w.number(n);
    }
    write_stages(w, r.stages);
    w.number(r.nonce);
  }
  void operator()(const accrue& a) const {
    w.write(a.request);
    w.number(a.window);
    w.number(a.frontier);
    w.number(a.cached_ppm);
    write_shares(w, a.computed);
    write_shares(w, a.served);
  }
  void operator()(const release& r) const {
    w.write(r.request);
    w.number(r.window);
  }
  void operator()(const settle& s) const { w.write(s.request); }
  void operator()(const cancel& x) const {
    w.write(x.request);
    w.write(x.payer);
    w.number(x.nonce);
  }
  void operator()(const expire& x) const { w.write(x.request); }
  void operator()(const convict& x) const {
    w.write(x.request);
    w.number(x.window);
    w.write(x.guilty);
    w.write(x.finder);
    w.number(static_cast<std::uint8_t>(x.kind));
    w.write(x.evidence);
    w.number(static_cast<std::uint8_t>(x.verdicts.size()));
    for (const verdict& v : x.verdicts) {
      w.write(v.verifier);
      w.write(v.proof);
    }
  }
  void operator()(const compensate& x) const {
    w.write(x.request);
    w.number(x.window);
    w.number(x.layer);
    w.write(x.receipt);
    w.write(x.to);
    w.number(x.amount);
  }
  void operator()(const reroute& x) const {
    w.write(x.request);
    w.write(x.scheduler);
    write_stages(w, x.stages);
    w.number(x.nonce);
  }
};

void write_body(byte_writer& w, const command& c) { std::visit(body_writer{w}, c); }

} // namespace

std::string_view to_string(command_kind kind) noexcept {
  switch (kind) {
  case command_kind::genesis: return "genesis";
  case command_kind::mint: return "mint";
  case command_kind::transfer: return "transfer";
  case command_kind::lock: return "lock";
  case command_kind::unlock: return "unlock";
  case command_kind::unlocked: return "unlocked";
  case command_kind::reserve: return "reserve";
  case command_kind::accrue: return "accrue";
  case command_kind::release: return "release";
  case command_kind::settle: return "settle";
  case command_kind::cancel: return "cancel";
  case command_kind::expire: return "expire";
  case command_kind::convict: return "convict";
  case command_kind::compensate: return "compensate";
  case command_kind::entrust: return "entrust";
  case command_kind::reroute: return "reroute";
  }
  return "unknown";
}

command_kind kind_of(const command& c) noexcept {
  constexpr std::array kinds{
      command_kind::genesis, command_kind::mint,       command_kind::transfer, command_kind::lock,
      command_kind::unlock,  command_kind::unlocked,   command_kind::reserve,  command_kind::accrue,
      command_kind::release, command_kind::settle,     command_kind::cancel,   command_kind::expire,
      command_kind::convict, command_kind::compensate, command_kind::reroute};
  static_assert(kinds.size() == std::variant_size_v<command>);
  if (const reserve* const r = std::get_if<reserve>(&c); r != nullptr && !r->scheduler.empty()) {
    return command_kind::entrust;
  }
  return kinds[c.index()];
}

const node_id* signer_of(const command& c) noexcept {
  return std::visit(
      handlers{[](const mint& m) { return &m.by; }, [](const transfer& t) { return &t.from; },
               [](const lock& l) { return &l.account; }, [](const unlock& u) { return &u.account; },
               [](const reserve& r) { return &r.payer; }, [](const cancel& x) { return &x.payer; },
               [](const reroute& x) { return &x.scheduler; },
               [](const auto&) -> const node_id* { return nullptr; }},
      c);
}

std::uint64_t nonce_of(const command& c) noexcept {
  return std::visit(
      [](const auto& x) -> std::uint64_t {
        if constexpr (requires { x.nonce; }) {
          return x.nonce;
        } else {
          return 0;
        }
      },
      c);
}

escrow_id escrow_of(const reserve& r) {
  static const hasher empty{"ovir/ledger/v1/escrow"};
  return hasher{empty}.update(as_digest(r.payer)).update(r.about).update_u64(r.nonce).finish();
}

namespace {

digest fee_subject(const escrow_id& request, const node_id& to) {
  static const hasher empty{"ovir/ledger/v1/fee"};
  return hasher{empty}.update(request).update(as_digest(to)).finish();
}

} // namespace

digest reservation_id(const escrow_id& request) {
  return make_id(request, 0, command_kind::reserve, 0);
}

digest id_of(const command& c) {
  const command_kind kind = kind_of(c);
  return std::visit(
      handlers{
          [&](const genesis& g) { return make_id(g.salt, 0, kind, 0); },
          [&](const mint& m) { return make_id(as_digest(m.by), 0, kind, m.nonce); },
          [&](const transfer& t) { return make_id(as_digest(t.from), 0, kind, t.nonce); },
          [&](const lock& l) { return make_id(as_digest(l.account), 0, kind, l.nonce); },
          [&](const unlock& u) { return make_id(as_digest(u.account), 0, kind, u.nonce); },
          [&](const unlocked& u) { return make_id(as_digest(u.account), 0, kind, u.unlock_nonce); },
          [&](const reserve& r) { return reservation_id(escrow_of(r)); },
          [&](const accrue& a) { return make_id(a.request, a.window, kind, 0); },
          [&](const release& r) { return make_id(r.request, r.window, kind, 0); },
          [&](const settle& s) { return make_id(s.request, 0, kind, 0); },
          [&](const cancel& x) { return make_id(x.request, 0, kind, 0); },
          [&](const expire& x) { return make_id(x.request, 0, kind, 0); },
          // A node is convicted once and for all.
          [&](const convict& x) { return make_id(as_digest(x.guilty), 0, kind, 0); },
          // Another receipt of the same unit is no other audit.
          [&](const compensate& x) {
            return make_id(fee_subject(x.request, x.to), x.window, kind, x.layer);
          },
          [&](const reroute& x) { return make_id(as_digest(x.scheduler), 0, kind, x.nonce); },
      },
      c);
}

std::vector<std::byte> action_bytes(const digest& ledger, const command& c) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.write(ledger);
  w.number(static_cast<std::uint8_t>(kind_of(c)));
  write_body(w, c);
  return out;
}

std::vector<std::byte> verdict_bytes(const digest& ledger, const convict& c) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.write(ledger);
  w.write(c.request);
  w.number(c.window);
  w.write(c.guilty);
  w.number(static_cast<std::uint8_t>(c.kind));
  w.write(c.evidence);
  return out;
}

void encode(const entry& e, std::vector<std::byte>& out) {
  byte_writer w{out};
  w.number(e.time);
  w.number(static_cast<std::uint8_t>(kind_of(e.what)));
  write_body(w, e.what);
  if (signer_of(e.what) != nullptr) {
    w.write(e.proof);
  }
}

// --- decoding

namespace {

/// A count that precedes a list, refused before anything is reserved for it.
result<std::size_t> count_of(byte_reader& r, std::string_view what, std::size_t most) {
  const std::size_t count = r.number<std::uint8_t>();
  if (count > most) {
    return fail(errc::over_limit, "an entry has {} {}; at most {} are allowed", count, what, most);
  }
  return count;
}

result<std::vector<window_share>> read_shares(byte_reader& r) {
  OVIR_ASSIGN(const std::size_t count, count_of(r, "shares", limits::ledger_participants_max));
  std::vector<window_share> shares(count);
  for (window_share& s : shares) {
    r.read(s.node);
    s.weight = r.number<std::uint64_t>();
    s.amount = r.number<micro_credits>();
    s.units = r.number<std::uint32_t>();
    s.on_time = r.number<std::uint32_t>();
    r.read(s.statement);
  }
  return shares;
}

result<std::vector<path_stage>> read_stages(byte_reader& r) {
  OVIR_ASSIGN(const std::size_t count, count_of(r, "stages", limits::ledger_participants_max));
  std::vector<path_stage> stages(count);
  for (path_stage& s : stages) {
    r.read(s.node);
    s.layers = r.number<std::uint32_t>();
    s.ask_ppm = r.number<std::uint64_t>();
  }
  return stages;
}

result<command> read_genesis(byte_reader& r) {
  genesis g;
  g.rules = read_policy(r);
  OVIR_ASSIGN(const std::size_t keys, count_of(r, "mint keys", limits::ledger_mint_keys_max));
  g.mint_keys.resize(keys);
  for (node_id& key : g.mint_keys) {
    r.read(key);
  }
  r.read(g.log_keeper);
  r.read(g.salt);
  return command{std::move(g)};
}

result<command> read_reserve(byte_reader& r, bool entrusted) {
  reserve x;
  r.read(x.payer);
  if (entrusted) {
    r.read(x.scheduler);
    if (r.sound() && x.scheduler.empty()) {
      return fail(errc::malformed, "a reservation is entrusted to nobody");
    }
  }
  r.read(x.about);
  for (std::uint64_t* n : {&x.rate, &x.prompt, &x.completion_max, &x.expires}) {
    *n = r.number<std::uint64_t>();
  }
  OVIR_ASSIGN(x.stages, read_stages(r));
  x.nonce = r.number<std::uint64_t>();
  return command{std::move(x)};
}

result<command> read_reroute(byte_reader& r) {
  reroute x;
  r.read(x.request);
  r.read(x.scheduler);
  OVIR_ASSIGN(x.stages, read_stages(r));
  x.nonce = r.number<std::uint64_t>();
  return command{std::move(x)};
}

result<command> read_accrue(byte_reader& r) {
  accrue a;
  r.read(a.request);
  a.window = r.number<std::uint32_t>();
  a.frontier = r.number<std::uint64_t>();
  a.cached_ppm = r.number<std::uint64_t>();
  OVIR_ASSIGN(a.computed, read_shares(r));
  OVIR_ASSIGN(a.served, read_shares(r));
  return command{std::move(a)};
}

result<command> read_convict(byte_reader& r) {
  convict x;
  r.read(x.request);
  x.window = r.number<std::uint32_t>();
  r.read(x.guilty);
  r.read(x.finder);
  x.kind = static_cast<evidence_kind>(r.number<std::uint8_t>());
  r.read(x.evidence);
  OVIR_ASSIGN(const std::size_t count, count_of(r, "verdicts", limits::ledger_verdicts_max));
  x.verdicts.resize(count);
  for (verdict& v : x.verdicts) {
    r.read(v.verifier);
    r.read(v.proof);
  }
  return command{std::move(x)};
}

/// The kinds that are an account, an amount and a nonce.
template <class Stake>
command read_stake(byte_reader& r) {
  Stake s;
  r.read(s.account);
  s.amount = r.number<micro_credits>();
  s.nonce = r.number<std::uint64_t>();
  return s;
}

template <class OfRequest>
command read_of_request(byte_reader& r) {
  OfRequest x;
  r.read(x.request);
  return x;
}

command read_mint(byte_reader& r) {
  mint m;
  r.read(m.by);
  m.target = static_cast<mint_target>(r.number<std::uint8_t>());
  r.read(m.to);
  m.amount = r.number<micro_credits>();
  m.nonce = r.number<std::uint64_t>();
  return m;
}

command read_transfer(byte_reader& r) {
  transfer t;
  r.read(t.from);
  r.read(t.to);
  t.amount = r.number<micro_credits>();
  t.nonce = r.number<std::uint64_t>();
  return t;
}

command read_compensate(byte_reader& r) {
  compensate x;
  r.read(x.request);
  x.window = r.number<std::uint32_t>();
  x.layer = r.number<std::uint32_t>();
  r.read(x.receipt);
  r.read(x.to);
  x.amount = r.number<micro_credits>();
  return x;
}

result<command> read_body(byte_reader& r, command_kind kind) {
  switch (kind) {
  case command_kind::genesis: return read_genesis(r);
  case command_kind::mint: return read_mint(r);
  case command_kind::transfer: return read_transfer(r);
  case command_kind::lock: return read_stake<lock>(r);
  case command_kind::unlock: return read_stake<unlock>(r);
  case command_kind::unlocked: {
    unlocked u;
    r.read(u.account);
    u.unlock_nonce = r.number<std::uint64_t>();
    return command{u};
  }
  case command_kind::reserve: return read_reserve(r, false);
  case command_kind::entrust: return read_reserve(r, true);
  case command_kind::accrue: return read_accrue(r);
  case command_kind::release: {
    release x;
    r.read(x.request);
    x.window = r.number<std::uint32_t>();
    return command{x};
  }
  case command_kind::settle: return read_of_request<settle>(r);
  case command_kind::expire: return read_of_request<expire>(r);
  case command_kind::cancel: {
    cancel x;
    r.read(x.request);
    r.read(x.payer);
    x.nonce = r.number<std::uint64_t>();
    return command{x};
  }
  case command_kind::convict: return read_convict(r);
  case command_kind::compensate: return read_compensate(r);
  case command_kind::reroute: return read_reroute(r);
  }
  return fail(errc::unsupported, "an entry is of kind {}, which this version does not know",
              static_cast<unsigned>(kind));
}

} // namespace

result<entry> decode_entry(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::ledger_entry_bytes_max) {
    return fail(errc::over_limit, "an entry has {} bytes; at most {} are allowed", bytes.size(),
                limits::ledger_entry_bytes_max);
  }
  byte_reader r{bytes};
  entry e;
  e.time = r.number<std::uint64_t>();
  const auto kind = static_cast<command_kind>(r.number<std::uint8_t>());
  OVIR_ASSIGN(e.what, read_body(r, kind));
  if (signer_of(e.what) != nullptr) {
    r.read(e.proof);
  }
  if (!r.finished()) {
    return fail(errc::malformed, "an entry of kind {} has {} bytes; {}", to_string(kind),
                bytes.size(), r.sound() ? "some are left over" : "some are missing");
  }
  OVIR_TRY(check_form(e.what));
  return e;
}

} // namespace ovir::ledger
