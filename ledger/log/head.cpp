#include "ledger/log/head.hpp"

#include "messages/limits/ledger.hpp"
#include "messages/wire/fields.hpp"

#include <algorithm>
#include <iterator>

namespace ovir::ledger {

namespace {

constexpr std::string_view head_domain = "ovir/ledger/v1/head";

constexpr std::uint8_t head_tag = 1;
constexpr std::uint8_t acknowledgement_tag = 2;
constexpr std::uint8_t fork_tag = 3;
constexpr std::uint8_t version = 1;

bool ascending(const std::vector<head_signature>& all) {
  return std::adjacent_find(all.begin(), all.end(),
                            [](const head_signature& a, const head_signature& b) {
                              return !(a.keeper < b.keeper);
                            }) == all.end();
}

} // namespace

template <class Io, of_type<log_head> T>
void fields(Io& io, T& h) {
  io(h.ledger, h.size, h.root, h.chain, h.time);
}
template <class Io, of_type<head_signature> T>
void fields(Io& io, T& s) {
  io(s.keeper, s.proof);
}
template <class Io, of_type<signed_head> T>
void fields(Io& io, T& h) {
  io(h.head);
  io.template list<std::uint8_t>(h.signatures, "signatures of a head", limits::ledger_keepers_max);
  io.expect(!h.signatures.empty(), "a head has no signature");
  io.expect(ascending(h.signatures), "the signatures of a head are not of different keepers, "
                                     "ascending");
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
  return {head, {{keeper.id(), keeper.sign(head_domain, signed_part(head))}}};
}

bool holds(const head_signature& s, const log_head& head) {
  return verify(s.keeper, head_domain, signed_part(head), s.proof);
}

result<void> join(signed_head& to, const head_signature& one) {
  if (!holds(one, to.head)) {
    return fail(errc::invalid_argument, "the signature of {} is not its own, or of another head",
                short_name(one.keeper));
  }
  const auto place = std::lower_bound(
      to.signatures.begin(), to.signatures.end(), one.keeper,
      [](const head_signature& s, const node_id& keeper) { return s.keeper < keeper; });
  if (place != to.signatures.end() && place->keeper == one.keeper) {
    return {};
  }
  if (to.signatures.size() >= limits::ledger_keepers_max) {
    return fail(errc::over_limit, "the head has {} signatures; more keepers has no ledger",
                to.signatures.size());
  }
  to.signatures.insert(place, one);
  return {};
}

bool signatures_hold(const signed_head& h) {
  return !h.signatures.empty() && h.signatures.size() <= limits::ledger_keepers_max &&
         ascending(h.signatures) &&
         std::all_of(h.signatures.begin(), h.signatures.end(),
                     [&h](const head_signature& s) { return holds(s, h.head); });
}

bool signed_by_majority(const signed_head& h, std::span<const node_id> keepers) {
  const bool by_keepers =
      std::all_of(h.signatures.begin(), h.signatures.end(), [keepers](const head_signature& s) {
        return std::binary_search(keepers.begin(), keepers.end(), s.keeper);
      });
  return by_keepers && 2 * h.signatures.size() > keepers.size() && signatures_hold(h);
}

std::vector<node_id> signers_of(const signed_head& h) {
  std::vector<node_id> all;
  std::transform(h.signatures.begin(), h.signatures.end(), std::back_inserter(all),
                 [](const head_signature& s) { return s.keeper; });
  return all;
}

std::string names_of(std::span<const node_id> keepers) {
  std::string text;
  for (std::size_t i = 0; i < keepers.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == keepers.size() ? " and " : ", ") + short_name(keepers[i]);
  }
  return text;
}

bool proves(const inclusion& in, const log_head& head) {
  return verify_inclusion(in.leaf, in.index, head.size, in.path, head.root);
}

namespace {

/// No one log can be what both heads say, as far as the evidence shows it.
bool contradict(const fork_evidence& e) {
  if (e.first.head.size == e.second.head.size &&
      (e.first.head.root != e.second.head.root || e.first.head.chain != e.second.head.chain)) {
    return true;
  }
  return e.in_first.index == e.in_second.index && e.in_first.leaf != e.in_second.leaf &&
         proves(e.in_first, e.first.head) && proves(e.in_second, e.second.head);
}

} // namespace

result<std::vector<node_id>> check_fork(const fork_evidence& e, const digest& ledger,
                                        std::span<const node_id> keepers) {
  std::vector<node_id> guilty{keepers.begin(), keepers.end()};
  for (const signed_head* h : {&e.first, &e.second}) {
    if (h->head.ledger != ledger || !signatures_hold(*h)) {
      return fail(errc::invalid_argument,
                  "a head of the evidence is of another ledger, or a signature of it is not its "
                  "keeper's; it convicts no keeper");
    }
    const std::vector<node_id> signers = signers_of(*h);
    std::erase_if(guilty, [&signers](const node_id& keeper) {
      return !std::binary_search(signers.begin(), signers.end(), keeper);
    });
  }
  if (!contradict(e)) {
    return fail(errc::invalid_argument,
                "the two heads may be of one log; show one index with a different entry in each");
  }
  if (guilty.empty()) {
    return fail(errc::invalid_argument,
                "no keeper signed both heads; the evidence convicts none of them");
  }
  return guilty;
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
