#include "ledger/rules/command.hpp"

#include "messages/limits/ledger.hpp"
#include "messages/short_hash.hpp"
#include "messages/wire/fields.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ovir::ledger {

// The fields of every command, in the order of docs/formats/ledger-log.md.

template <class Io, of_type<deterrence_terms> T>
void fields(Io& io, T& t) {
  io(t.mode, t.auditors, t.audit_rate_ppm, t.sensitivity_ppm, t.false_conviction_ppm,
     t.colluding_share_ppm, t.unit_fee, t.saved, t.staying_value, t.stake, t.planted_ppm,
     t.audit_fee, t.audit_cost, t.auditor_stake);
}
template <class Io, of_type<policy> T>
void fields(Io& io, T& p) {
  io(p.fee_ppm, p.cache_ppm, p.finder_ppm, p.audit_window_s, p.unlock_delay_s, p.reservation_s_max,
     p.actions_per_minute_max, p.admission_stake, p.newcomer_units, p.newcomer_pool_ppm,
     p.reputation_half_life_s, p.epoch_entries, p.epoch_s, p.relay_fee, p.refund, p.deterrence);
}
template <class Io, of_type<window_share> T>
void fields(Io& io, T& s) {
  io(s.node, s.weight, s.amount, s.units, s.on_time, s.late_ppm, s.statement);
}
template <class Io, of_type<path_stage> T>
void fields(Io& io, T& s) {
  io(s.node, s.layers, s.ask_ppm);
}
template <class Io, of_type<verdict> T>
void fields(Io& io, T& v) {
  io(v.verifier, v.proof);
}
template <class Io, of_type<genesis> T>
void fields(Io& io, T& g) {
  io(g.rules);
  io.template list<std::uint8_t>(g.mint_keys, "mint keys", limits::ledger_mint_keys_max);
  io.template list<std::uint8_t>(g.keepers, "keepers", limits::ledger_keepers_max);
  io(g.salt);
}
template <class Io, of_type<mint> T>
void fields(Io& io, T& m) {
  io(m.by, m.target, m.to, m.amount, m.nonce);
}
template <class Io, of_type<transfer> T>
void fields(Io& io, T& t) {
  io(t.from, t.to, t.amount, t.nonce);
}
template <class Io, of_type<lock> T>
void fields(Io& io, T& l) {
  io(l.account, l.amount, l.nonce);
}
template <class Io, of_type<unlock> T>
void fields(Io& io, T& u) {
  io(u.account, u.amount, u.nonce);
}
template <class Io, of_type<unlocked> T>
void fields(Io& io, T& u) {
  io(u.account, u.unlock_nonce);
}
template <class Io, of_type<reserve> T>
void fields(Io& io, T& r, command_kind kind) {
  io(r.payer);
  io.where(kind == command_kind::entrust || kind == command_kind::redeem, r.scheduler);
  io.where(kind == command_kind::redeem, r.voucher);
  io(r.about, r.rate, r.prompt, r.completion_max, r.expires);
  io.template list<std::uint8_t>(r.stages, "stages", limits::ledger_participants_max);
  io(r.nonce);
}
template <class Io, of_type<accrue> T>
void fields(Io& io, T& a) {
  io(a.request, a.scheduler, a.window, a.frontier, a.cached_ppm);
  io.template list<std::uint8_t>(a.computed, "shares", limits::ledger_participants_max);
  io.template list<std::uint8_t>(a.served, "shares", limits::ledger_participants_max);
}
template <class Io, of_type<release> T>
void fields(Io& io, T& r) {
  io(r.request, r.window);
}
template <class Io, of_type<settle> T>
void fields(Io& io, T& s) {
  io(s.request, s.scheduler);
}
template <class Io, of_type<cancel> T>
void fields(Io& io, T& x) {
  io(x.request, x.payer, x.nonce);
}
template <class Io, of_type<expire> T>
void fields(Io& io, T& x) {
  io(x.request);
}
template <class Io, of_type<convict> T>
void fields(Io& io, T& x) {
  io(x.request, x.window, x.guilty, x.finder, x.kind, x.evidence);
  io.template list<std::uint8_t>(x.verdicts, "verdicts", limits::ledger_verdicts_max);
}
template <class Io, of_type<compensate> T>
void fields(Io& io, T& x) {
  io(x.request, x.window, x.layer, x.receipt, x.signer, x.to, x.amount);
}
template <class Io, of_type<reroute> T>
void fields(Io& io, T& x) {
  io(x.request, x.scheduler);
  io.template list<std::uint8_t>(x.stages, "stages", limits::ledger_participants_max);
  io(x.nonce);
}
template <class Io, of_type<chain_commit> T>
void fields(Io& io, T& x) {
  io(x.verifier, x.anchor, x.links, x.nonce);
}
template <class Io, of_type<chain_link> T>
void fields(Io& io, T& x) {
  io(x.verifier, x.epoch, x.link);
}
template <class Io, of_type<epoch_end> T>
void fields(Io& io, T& x) {
  io(x.number);
}
template <class Io, of_type<voucher> T>
void fields(Io& io, T& v) {
  io(v.account, v.key, v.limit, v.expires);
  io.template list<std::uint8_t>(v.schedulers, "schedulers", limits::voucher_schedulers_max);
  io(v.nonce);
}
template <class Io, of_type<revoke> T>
void fields(Io& io, T& x) {
  io(x.account, x.voucher, x.nonce);
}

template <class Io, of_type<carriage> T>
void fields(Io& io, T& x) {
  auto& stream = x.carried.what;
  io(stream.relay, stream.sender, stream.receiver);
  for (auto& byte : stream.session) {
    io(byte);
  }
  io(stream.bytes, x.carried.part, x.carried.proof, x.nonce);
}

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

constexpr std::array kinds{command_kind::genesis, command_kind::mint,       command_kind::transfer,
                           command_kind::lock,    command_kind::unlock,     command_kind::unlocked,
                           command_kind::reserve, command_kind::accrue,     command_kind::release,
                           command_kind::settle,  command_kind::cancel,     command_kind::expire,
                           command_kind::convict, command_kind::compensate, command_kind::reroute,
                           command_kind::commit,  command_kind::link,       command_kind::epoch,
                           command_kind::voucher, command_kind::revoke,     command_kind::carriage};
static_assert(kinds.size() == std::variant_size_v<command>);

template <class Io, class Command>
void body(Io& io, Command& c, command_kind kind) {
  std::visit(
      [&](auto& x) {
        if constexpr (requires { fields(io, x, kind); }) {
          fields(io, x, kind);
        } else {
          fields(io, x);
        }
      },
      c);
}

void write_body(byte_writer& w, const command& c) {
  field_writer io{w};
  body(io, c, kind_of(c));
}

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
  case command_kind::commit: return "commit";
  case command_kind::link: return "link";
  case command_kind::epoch: return "epoch";
  case command_kind::voucher: return "voucher";
  case command_kind::revoke: return "revoke";
  case command_kind::redeem: return "redeem";
  case command_kind::carriage: return "carriage";
  }
  return "unknown";
}

command_kind kind_of(const command& c) noexcept {
  if (const reserve* const r = std::get_if<reserve>(&c)) {
    return r->voucher != digest{}  ? command_kind::redeem
           : !r->scheduler.empty() ? command_kind::entrust
                                   : command_kind::reserve;
  }
  return kinds[c.index()];
}

const node_id* signer_of(const command& c) noexcept {
  const auto unless_empty = [](const node_id& who) { return who.empty() ? nullptr : &who; };
  return std::visit(
      handlers{
          [](const mint& m) { return &m.by; }, [](const transfer& t) { return &t.from; },
          [](const lock& l) { return &l.account; }, [](const unlock& u) { return &u.account; },
          [](const reserve& r) { return r.voucher == digest{} ? &r.payer : &r.scheduler; },
          [](const cancel& x) { return &x.payer; }, [](const voucher& v) { return &v.account; },
          [](const revoke& x) { return &x.account; }, [](const reroute& x) { return &x.scheduler; },
          [&](const accrue& a) { return unless_empty(a.scheduler); },
          [&](const settle& s) { return unless_empty(s.scheduler); },
          [](const chain_commit& x) { return &x.verifier; },
          [](const carriage& x) { return &x.carried.what.relay; },
          [](const auto&) -> const node_id* { return nullptr; }},
      c);
}

bool is_claimed(const command& c) noexcept {
  return (std::holds_alternative<accrue>(c) || std::holds_alternative<settle>(c)) &&
         signer_of(c) == nullptr;
}

std::optional<std::uint64_t> nonce_of(const command& c) noexcept {
  return std::visit(
      [](const auto& x) -> std::optional<std::uint64_t> {
        if constexpr (requires { x.nonce; }) {
          return x.nonce;
        } else {
          return std::nullopt;
        }
      },
      c);
}

digest voucher_id(const voucher& v) {
  static const hasher empty{"ovir/ledger/v1/voucher"};
  return hasher{empty}.update(as_digest(v.account)).update_u64(v.nonce).finish();
}

escrow_id escrow_of(const reserve& r) {
  if (r.voucher != digest{}) { // the nonce is the scheduler's
    static const hasher redeemed{"ovir/ledger/v1/redeemed"};
    return hasher{redeemed}
        .update(r.voucher)
        .update(as_digest(r.scheduler))
        .update(r.about)
        .update_u64(r.nonce)
        .finish();
  }
  static const hasher empty{"ovir/ledger/v1/escrow"};
  return hasher{empty}.update(as_digest(r.payer)).update(r.about).update_u64(r.nonce).finish();
}

namespace {

digest fee_subject(const escrow_id& request, const node_id& to) {
  static const hasher empty{"ovir/ledger/v1/fee"};
  return hasher{empty}.update(request).update(as_digest(to)).finish();
}

/// A direction of a stream at a relay, whatever of it was counted.
digest carriage_subject(const counted_stream& s) {
  static const hasher empty{"ovir/ledger/v1/carriage"};
  return hasher{empty}
      .update(as_digest(s.relay))
      .update(as_digest(s.sender))
      .update(as_digest(s.receiver))
      .update(std::as_bytes(std::span{s.session}))
      .finish();
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
          [&](const chain_commit& x) { return make_id(as_digest(x.verifier), 0, kind, x.nonce); },
          [&](const chain_link& x) { return make_id(as_digest(x.verifier), x.epoch, kind, 0); },
          [&](const epoch_end& x) { return make_id({}, x.number, kind, 0); },
          [&](const voucher& v) { return make_id(as_digest(v.account), 0, kind, v.nonce); },
          [&](const revoke& x) { return make_id(as_digest(x.account), 0, kind, x.nonce); },
          // A part is paid once, whatever count shows it.
          [&](const carriage& x) {
            return make_id(carriage_subject(x.carried.what), x.carried.part, kind, 0);
          },
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

result<command> read_body(byte_reader& r, command_kind kind) {
  const bool reserves = kind == command_kind::entrust || kind == command_kind::redeem;
  const auto* const found =
      std::find(kinds.begin(), kinds.end(), reserves ? command_kind::reserve : kind);
  if (found == kinds.end()) {
    return fail(errc::unsupported, "an entry is of kind {}, which this version does not know",
                static_cast<unsigned>(kind));
  }
  command c;
  empty_alternative(c, static_cast<std::size_t>(found - kinds.begin()));
  field_reader io{r};
  body(io, c, kind);
  OVIR_TRY(io.refused());
  if (r.sound() && kind_of(c) != kind) {
    return fail(errc::malformed, "a reservation of kind {} names no {}", to_string(kind),
                kind == command_kind::redeem ? "voucher" : "scheduler");
  }
  return c;
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
