#include "ledger/rules/equivocation.hpp"

#include "messages/evidence/receipt.hpp"
#include "messages/limits/credit.hpp"
#include "messages/wire/bytes.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

constexpr std::uint8_t tag = 4; // behind those of heads, acknowledgements and forks
constexpr std::uint8_t version = 1;
constexpr std::size_t profile_bytes_max = 32;

/// Everything a stage signed: form, then each signature.
result<void> check_signed(const evidence_terms& terms, const stage_records& side,
                          std::string_view which) {
  if (const auto fault = find_form_fault(side, terms.layers)) {
    return fail(errc::invalid_argument, "the {} statements are out of form in window {}: {}", which,
                fault->window, fault->what);
  }
  const std::vector<bound_statement> bound = bind_statements(terms, side);
  for (std::size_t w = 0; w < bound.size(); ++w) {
    if (!verify_statement(side.signer.node, bound[w].to_sign, side.statements[w].proof)) {
      return fail(errc::invalid_argument, "the {} statement about window {} is not signed by {}",
                  which, w, short_name(side.signer.node));
    }
  }
  if (const auto window = find_void_citation(terms, side)) {
    return fail(errc::invalid_argument,
                "the {} statement about window {} cites what its author did not sign", which,
                *window);
  }
  return {};
}

result<stage_records> read_side(byte_reader& r, std::uint64_t request) {
  const std::size_t size = r.number<std::uint32_t>();
  if (size > limits::credit_evidence_bytes_max || size > r.rest().size()) {
    return fail(errc::malformed, "statements of {} bytes, of which {} are there", size,
                r.rest().size());
  }
  OVIR_ASSIGN(evidence_batch batch, decode_evidence(r.rest().first(size)));
  r.skip(size);
  if (batch.request.value != request || !batch.links.empty()) {
    return fail(errc::malformed, "statements of another request, or not statements alone");
  }
  return std::move(batch.records);
}

} // namespace

result<equivocation_fault> find_fault(const equivocation& e) {
  if (e.first.signer.node != e.second.signer.node ||
      e.first.signer.layers != e.second.signer.layers || e.first.signer.node.empty()) {
    return fail(errc::invalid_argument,
                "the statements are of different nodes or layers; they contradict nobody");
  }
  if (e.first.signer.software != e.second.signer.software) {
    return fail(errc::invalid_argument,
                "the statements name different software; a replay must show which one is wrong");
  }
  OVIR_TRY(check_signed(e.terms, e.first, "first"));
  OVIR_TRY(check_signed(e.terms, e.second, "second"));
  const std::size_t both = std::min(e.first.statements.size(), e.second.statements.size());
  for (std::size_t w = 0; w < both; ++w) {
    const statement& a = e.first.statements[w];
    const statement& b = e.second.statements[w];
    if (a.input != b.input || a.positions != b.positions) {
      return fail(errc::invalid_argument,
                  "in window {} other values came in; what follows may differ without a lie", w);
    }
    for (std::size_t i = 0; i < a.units.size(); ++i) {
      const layer_index layer = e.first.signer.layers.first + static_cast<layer_index>(i);
      if (a.units[i] == b.units[i] && a.kv[i] == b.kv[i]) {
        continue;
      }
      if (citation_of(a, layer) != nullptr || citation_of(b, layer) != nullptr) {
        return fail(errc::invalid_argument,
                    "in window {} a unit that differs is another's; what follows may differ "
                    "without a lie",
                    w);
      }
      return equivocation_fault{e.first.signer.node, static_cast<std::uint32_t>(w)};
    }
  }
  return fail(errc::invalid_argument, "both sides state the same; that convicts nobody");
}

digest about_of(const evidence_terms& terms) {
  static const hasher empty{"ovir/ledger/v1/about"};
  return hasher{empty}.update_u64(terms.request.value).update(terms.content).finish();
}

digest joined_statement(const digest& first, const digest& next) {
  return hasher{"ovir/ledger/v1/statements"}.update(first).update(next).finish();
}

digest evidence_digest(std::span<const std::byte> bytes) {
  return hash("ovir/ledger/v1/evidence", bytes);
}

result<void> check_equivocation(const convict& x, const reserve& reservation,
                                std::span<const std::byte> bytes) {
  if (evidence_digest(bytes) != x.evidence) {
    return fail(errc::invalid_argument,
                "the evidence is not the one that the conviction names by its digest");
  }
  OVIR_ASSIGN(const equivocation e, equivocation_from(bytes));
  OVIR_ASSIGN(const equivocation_fault fault, find_fault(e));
  if (about_of(e.terms) != reservation.about || escrow_of(reservation) != x.request) {
    return fail(errc::invalid_argument, "the statements are about another request than {}",
                to_hex(x.request).substr(0, 8));
  }
  const std::uint32_t window = accrual_window(reservation.prompt, fault.window);
  if (fault.guilty != x.guilty || window != x.window) {
    return fail(errc::invalid_argument,
                "the evidence convicts {} from window {} on, not {} from window {}",
                short_name(fault.guilty), window, short_name(x.guilty), x.window);
  }
  return {};
}

std::vector<std::byte> to_bytes(const equivocation& e) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.number(tag);
  w.number(version);
  w.number(e.terms.request.value);
  w.write(e.terms.content);
  w.write(e.terms.model);
  w.number(static_cast<std::uint8_t>(e.terms.profile.size()));
  w.bytes(e.terms.profile.data(), e.terms.profile.size());
  w.number(e.terms.layers);
  for (const stage_records* side : {&e.first, &e.second}) {
    const std::vector<std::byte> bytes = encode_evidence({e.terms.request, *side, {}});
    w.number(static_cast<std::uint32_t>(bytes.size()));
    w.bytes(bytes.data(), bytes.size());
  }
  return out;
}

result<equivocation> equivocation_from(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::credit_evidence_bytes_max) {
    return fail(errc::over_limit, "evidence of {} bytes; at most {} are allowed", bytes.size(),
                limits::credit_evidence_bytes_max);
  }
  byte_reader r{bytes};
  const auto kind = r.number<std::uint8_t>();
  const auto of = r.number<std::uint8_t>();
  if (kind != tag || of != version) {
    return fail(kind == tag ? errc::unsupported : errc::malformed,
                "these bytes are no equivocation of version {}", version);
  }
  equivocation e;
  e.terms.request.value = r.number<std::uint64_t>();
  r.read(e.terms.content);
  r.read(e.terms.model);
  const std::size_t letters = r.number<std::uint8_t>();
  if (letters > profile_bytes_max || letters > r.rest().size()) {
    return fail(errc::malformed, "a profile's name of {} bytes; at most {} are allowed", letters,
                profile_bytes_max);
  }
  e.terms.profile.assign(reinterpret_cast<const char*>(r.rest().data()), letters);
  r.skip(letters);
  e.terms.layers = r.number<std::uint32_t>();
  OVIR_ASSIGN(e.first, read_side(r, e.terms.request.value));
  OVIR_ASSIGN(e.second, read_side(r, e.terms.request.value));
  if (!r.finished()) {
    return fail(errc::malformed, "an equivocation of {} bytes has too {}", bytes.size(),
                r.sound() ? "many" : "few");
  }
  return e;
}

} // namespace ovir::ledger
