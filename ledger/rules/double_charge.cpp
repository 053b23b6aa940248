#include "ledger/rules/double_charge.hpp"

#include "ledger/rules/attest.hpp"
#include "ledger/rules/equivocation.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/wire/bytes.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

constexpr std::uint8_t charge_tag = 6; // behind those of heads, proofs and equivocations
constexpr std::uint8_t charge_version = 1;

result<entry> read_charge(byte_reader& r) {
  const std::size_t size = r.number<std::uint32_t>();
  if (size > limits::ledger_entry_bytes_max || size > r.rest().size()) {
    return fail(errc::malformed, "an accrual of {} bytes, of which {} are there", size,
                r.rest().size());
  }
  OVIR_ASSIGN(entry e, decode_entry(r.rest().first(size)));
  r.skip(size);
  if (!std::holds_alternative<accrue>(e.what)) {
    return fail(errc::malformed, "a {} is no accrual", to_string(kind_of(e.what)));
  }
  return e;
}

bool pay_for_the_same(const accrue& a, const accrue& b) {
  return std::any_of(a.computed.begin(), a.computed.end(), [&](const window_share& one) {
    return std::any_of(b.computed.begin(), b.computed.end(), [&](const window_share& other) {
      return one.node == other.node && one.statement == other.statement;
    });
  });
}

/// The first reservation was not over when the second one was made.
bool were_open_at_once(const accrue& first, const accrue& second, const log_lookup& find) {
  const auto begun = find(reservation_id(second.request));
  for (const command& end : {command{settle{first.request}}, command{expire{first.request}},
                             command{cancel{first.request, {}, 0}}}) {
    const auto ended = find(id_of(end));
    if (begun && ended && ended->index < begun->index) {
      return false;
    }
  }
  return begun.has_value();
}

} // namespace

result<void> check_double_charge(const digest& ledger, const convict& x,
                                 std::span<const std::byte> bytes, const log_lookup& find) {
  if (evidence_digest(bytes) != x.evidence) {
    return fail(errc::invalid_argument,
                "the evidence is not the one that the conviction names by its digest");
  }
  OVIR_ASSIGN(const double_charge e, double_charge_from(bytes));
  const accrue& first = std::get<accrue>(e.first.what);
  const accrue& second = std::get<accrue>(e.second.what);
  if (first.scheduler.empty() || first.scheduler != second.scheduler ||
      first.scheduler != x.guilty || second.request != x.request || x.window != 0) {
    return fail(errc::invalid_argument,
                "the evidence convicts who signed both accruals, for the second one's request");
  }
  OVIR_TRY(check_signatures(ledger, e.first.what, e.first.proof));
  OVIR_TRY(check_signatures(ledger, e.second.what, e.second.proof));
  if (first.request == second.request || !pay_for_the_same(first, second)) {
    return fail(errc::invalid_argument,
                "the accruals pay for different statements, or from one reservation");
  }
  std::vector<std::byte> paid;
  encode(e.first, paid);
  const auto logged = find(id_of(e.first.what));
  if (!logged || logged->bytes != paid) {
    return fail(errc::invalid_argument, "the first accrual is no entry of this log");
  }
  return were_open_at_once(first, second, find)
             ? result<void>{}
             : fail(errc::invalid_argument,
                    "the first reservation was over before the second one was made");
}

std::vector<std::byte> to_bytes(const double_charge& e) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.number(charge_tag);
  w.number(charge_version);
  for (const entry* one : {&e.first, &e.second}) {
    std::vector<std::byte> bytes;
    encode(*one, bytes);
    w.number(static_cast<std::uint32_t>(bytes.size()));
    w.bytes(bytes.data(), bytes.size());
  }
  return out;
}

result<double_charge> double_charge_from(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::credit_evidence_bytes_max) {
    return fail(errc::over_limit, "evidence of {} bytes; at most {} are allowed", bytes.size(),
                limits::credit_evidence_bytes_max);
  }
  byte_reader r{bytes};
  const auto kind = r.number<std::uint8_t>();
  const auto of = r.number<std::uint8_t>();
  if (kind != charge_tag || of != charge_version) {
    return fail(kind == charge_tag ? errc::unsupported : errc::malformed,
                "these bytes are no double charge of version {}", charge_version);
  }
  double_charge e;
  OVIR_ASSIGN(e.first, read_charge(r));
  OVIR_ASSIGN(e.second, read_charge(r));
  if (!r.finished() || e.second.time != 0) {
    return fail(errc::malformed, "a double charge of {} bytes has {}", bytes.size(),
                r.finished() ? "a second accrual with a time"
                : r.sound()  ? "too many"
                             : "too few");
  }
  return e;
}

} // namespace ovir::ledger
