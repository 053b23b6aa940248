#include "ledger/log/head.hpp"

#include "messages/limits/ledger.hpp"
#include "messages/wire/fields.hpp"

namespace ovir::ledger {

namespace {

constexpr std::string_view head_domain = "ovir/ledger/v1/head";

constexpr std::uint8_t head_tag = 1;
constexpr std::uint8_t acknowledgement_tag = 2;
constexpr std::uint8_t fork_tag = 3;
constexpr std::uint8_t version = 1;

} // namespace

template <class Io, of_type<log_head> T>
void fields(Io& io, T& h) {
  io(h.ledger, h.size, h.root, h.chain, h.time);
}
template <class Io, of_type<signed_head> T>
void fields(Io& io, T& h) {
  io(h.head, h.keeper, h.proof);
}
template <class Io, of_type<inclusion> T>
void fields(Io& io, T& in) {
  io(in.index, in.leaf);
  io.template list<std::uint8_t>(in.path, "digests of a proof", limits::ledger_proof_nodes_max);
}
template <class Io, of_type<acknowledgement> T>
void fields(Io& io, T& a) {
  io(a.entry, a.head);
}
template <class Io, of_type<fork_evidence> T>
void fields(Io& io, T& e) {
  io(e.first, e.second, e.in_first, e.in_second);
}

namespace {

std::vector<std::byte> signed_part(const log_head& head) {
  std::vector<std::byte> bytes;
  byte_writer w{bytes};
  field_writer{w}(head);
  return bytes;
}

} // namespace

signed_head sign(const secret_key& keeper, const log_head& head) {
  return {head, keeper.id(), keeper.sign(head_domain, signed_part(head))};
}

bool signed_by_its_keeper(const signed_head& h) {
  return verify(h.keeper, head_domain, signed_part(h.head), h.proof);
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

std::vector<std::byte> to_bytes(const signed_head& h) { return tagged_bytes(head_tag, version, h); }

result<signed_head> signed_head_from(std::span<const std::byte> bytes) {
  return from_tagged<signed_head>(bytes, head_tag, version, "signed head");
}

std::vector<std::byte> to_bytes(const acknowledgement& a) {
  return tagged_bytes(acknowledgement_tag, version, a);
}

result<acknowledgement> acknowledgement_from(std::span<const std::byte> bytes) {
  return from_tagged<acknowledgement>(bytes, acknowledgement_tag, version, "acknowledgement");
}

std::vector<std::byte> to_bytes(const fork_evidence& e) {
  return tagged_bytes(fork_tag, version, e);
}

result<fork_evidence> fork_evidence_from(std::span<const std::byte> bytes) {
  return from_tagged<fork_evidence>(bytes, fork_tag, version, "evidence of a fork");
}

} // namespace ovir::ledger
