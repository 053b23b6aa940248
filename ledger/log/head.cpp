#include "ledger/log/head.hpp"

#include "ledger/log/codec.hpp"
#include "messages/limits/ledger.hpp"

namespace ovir::ledger {

namespace {

constexpr std::string_view head_domain = "ovir/ledger/v1/head";

enum class tag : std::uint8_t { head = 1, acknowledgement = 2, fork = 3 };
constexpr std::uint8_t version = 1;

void write_head(byte_writer& w, const log_head& h) {
  w.write(h.ledger);
  w.number(h.size);
  w.write(h.root);
  w.write(h.chain);
  w.number(h.time);
}

void write_signed(byte_writer& w, const signed_head& h) {
  write_head(w, h.head);
  w.write(h.keeper);
  w.write(h.proof);
}

void write_inclusion(byte_writer& w, const inclusion& in) {
  w.number(in.index);
  w.write(in.leaf);
  w.number(static_cast<std::uint8_t>(in.path.size()));
  for (const digest& d : in.path) {
    w.write(d);
  }
}

signed_head read_signed(byte_reader& r) {
  signed_head h;
  r.read(h.head.ledger);
  h.head.size = r.number<std::uint64_t>();
  r.read(h.head.root);
  r.read(h.head.chain);
  h.head.time = r.number<std::uint64_t>();
  r.read(h.keeper);
  r.read(h.proof);
  return h;
}

result<inclusion> read_inclusion(byte_reader& r) {
  inclusion in;
  in.index = r.number<std::uint64_t>();
  r.read(in.leaf);
  const std::size_t count = r.number<std::uint8_t>();
  if (count > limits::ledger_proof_nodes_max) {
    return fail(errc::over_limit, "a proof has {} digests; at most {} are possible", count,
                limits::ledger_proof_nodes_max);
  }
  in.path.resize(count);
  for (digest& d : in.path) {
    r.read(d);
  }
  return in;
}

void begin(byte_writer& w, tag what) {
  w.number(static_cast<std::uint8_t>(what));
  w.number(version);
}

result<void> check_begin(byte_reader& r, tag what, std::string_view name) {
  const auto found = r.number<std::uint8_t>();
  const auto of = r.number<std::uint8_t>();
  if (found != static_cast<std::uint8_t>(what)) {
    return fail(errc::malformed, "these bytes are no {}", name);
  }
  if (of != version) {
    return fail(errc::unsupported, "the {} is of version {}; this program reads {}", name, of,
                version);
  }
  return {};
}

result<void> check_end(const byte_reader& r, std::string_view name) {
  return r.finished()
             ? result<void>{}
             : fail(errc::malformed, "the {} has too {} bytes", name, r.sound() ? "many" : "few");
}

} // namespace

signed_head sign(const secret_key& keeper, const log_head& head) {
  std::vector<std::byte> bytes;
  byte_writer w{bytes};
  write_head(w, head);
  return {head, keeper.id(), keeper.sign(head_domain, bytes)};
}

bool signed_by_its_keeper(const signed_head& h) {
  std::vector<std::byte> bytes;
  byte_writer w{bytes};
  write_head(w, h.head);
  return verify(h.keeper, head_domain, bytes, h.proof);
}

bool proves(const inclusion& in, const log_head& head) {
  return verify_inclusion(in.leaf, in.index, head.size, in.path, head.root);
}

result<void> check_fork(const fork_evidence& e, const digest& ledger, const node_id& keeper) {
  for (const signed_head* h : {&e.first, &e.second}) {
    if (h->head.ledger != ledger || h->keeper != keeper || !signed_by_its_keeper(*h)) {
      return fail(errc::invalid_argument,
                  "a head is not signed by {} for this ledger; it convicts nobody",
                  short_name(keeper));
    }
  }
  if (e.first.head.size == e.second.head.size &&
      (e.first.head.root != e.second.head.root || e.first.head.chain != e.second.head.chain)) {
    return {};
  }
  if (e.in_first.index != e.in_second.index || e.in_first.leaf == e.in_second.leaf ||
      !proves(e.in_first, e.first.head) || !proves(e.in_second, e.second.head)) {
    return fail(errc::invalid_argument,
                "the two heads may be of one log; show one index with a different entry in each");
  }
  return {};
}

std::vector<std::byte> to_bytes(const signed_head& h) {
  std::vector<std::byte> out;
  byte_writer w{out};
  begin(w, tag::head);
  write_signed(w, h);
  return out;
}

result<signed_head> signed_head_from(std::span<const std::byte> bytes) {
  byte_reader r{bytes};
  OVIR_TRY(check_begin(r, tag::head, "signed head"));
  const signed_head h = read_signed(r);
  OVIR_TRY(check_end(r, "signed head"));
  return h;
}

std::vector<std::byte> to_bytes(const acknowledgement& a) {
  std::vector<std::byte> out;
  byte_writer w{out};
  begin(w, tag::acknowledgement);
  write_inclusion(w, a.entry);
  write_signed(w, a.head);
  return out;
}

result<acknowledgement> acknowledgement_from(std::span<const std::byte> bytes) {
  byte_reader r{bytes};
  OVIR_TRY(check_begin(r, tag::acknowledgement, "acknowledgement"));
  acknowledgement a;
  OVIR_ASSIGN(a.entry, read_inclusion(r));
  a.head = read_signed(r);
  OVIR_TRY(check_end(r, "acknowledgement"));
  return a;
}

std::vector<std::byte> to_bytes(const fork_evidence& e) {
  std::vector<std::byte> out;
  byte_writer w{out};
  begin(w, tag::fork);
  write_signed(w, e.first);
  write_signed(w, e.second);
  write_inclusion(w, e.in_first);
  write_inclusion(w, e.in_second);
  return out;
}

result<fork_evidence> fork_evidence_from(std::span<const std::byte> bytes) {
  byte_reader r{bytes};
  OVIR_TRY(check_begin(r, tag::fork, "evidence of a fork"));
  fork_evidence e;
  e.first = read_signed(r);
  e.second = read_signed(r);
  OVIR_ASSIGN(e.in_first, read_inclusion(r));
  OVIR_ASSIGN(e.in_second, read_inclusion(r));
  OVIR_TRY(check_end(r, "evidence of a fork"));
  return e;
}

} // namespace ovir::ledger
