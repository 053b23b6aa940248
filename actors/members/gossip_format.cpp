#include "actors/members/gossip_format.hpp"

#include "compute/base/printable.hpp"
#include "messages/limits/invitations.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/wire/fields.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ovir::actors {

namespace {

// message    = "OVG1" kind:u8 body count:u16 known* count:u16 update*
// update     = 1:u8 advert signature | 2:u8 suspicion signature | 3:u8 farewell signature
// Integers are little-endian, a flag is one byte 0 or 1, a text is length:u16 and its bytes.
constexpr std::string_view magic = "OVG1";
constexpr std::size_t bytes_expected = 512;

static_assert(std::is_same_v<std::variant_alternative_t<4, gossip_body>, life_sign> &&
                  std::variant_size_v<gossip_body> == 12 && std::variant_size_v<signed_update> == 3,
              "the kinds on the wire are the places in these variants plus one");

} // namespace

template <class Io, of_type<held_segment> T>
void fields(Io& io, T& s) {
  io(s.model, s.layers.first, s.layers.last, s.model_layers);
}
template <class Io, of_type<measured_rtt> T>
void fields(Io& io, T& m) {
  io(m.node, m.microseconds);
}
template <class Io, of_type<known_node> T>
void fields(Io& io, T& k) {
  io(k.node, k.incarnation, k.counted);
}

/// Whether all attestations that a node shows are about it.
bool is_attested_itself(const signed_advert& a) {
  return std::all_of(a.advert.attested.begin(), a.advert.attested.end(),
                     [&a](const attestation& one) { return one.node == a.node; });
}

// What is signed of an update: all of it but the signature.

template <class Io, of_type<signed_advert> T>
void statement(Io& io, T& s) {
  auto& a = s.advert;
  io(s.node, s.incarnation, a.roles.bits, a.draining, a.placed);
  io.template text<std::uint16_t>(a.name, "a name", limits::node_name_bytes_max);
  io.template text<std::uint16_t>(a.address, "an address", limits::address_bytes_max);
  io.template text<std::uint16_t>(a.admin_address, "an address", limits::address_bytes_max);
  io.template list<std::uint16_t>(a.held, "segments", limits::advert_segments_max);
  io.template list<std::uint16_t>(a.spares, "segments", limits::advert_segments_max);
  io(a.spare_free, a.memory_bytes, a.memory_free, a.decode_bytes_per_second,
     a.prefill_bytes_per_second, a.sessions, a.ask_ppm);
  io.template list<std::uint16_t>(a.rtts, "round trips", limits::advert_rtts_max);
  io.template list<std::uint8_t>(
      a.attested, "attestations", limits::attestations_per_node_max, [&io](auto& one) {
        io.formed(one, "an attestation", limits::attestation_bytes_max, attestation_from_bytes);
      });
}
template <class Io, of_type<signed_suspicion> T>
void statement(Io& io, T& s) {
  io(s.accuser, s.subject, s.incarnation);
}
template <class Io, of_type<signed_farewell> T>
void statement(Io& io, T& f) {
  io(f.node, f.incarnation);
}
template <class Io, of_type<life_sign> T>
void statement(Io& io, T& s) {
  io(s.requester, s.nonce);
}

template <class Io, of_type<signed_advert> T>
void fields(Io& io, T& a) {
  statement(io, a);
  io(a.proof);
  if constexpr (Io::reads) {
    io.expect(!io.sound() || check_advert(a.advert), "an advert outside its bounds");
    io.expect(is_attested_itself(a), "an advert with another node's attestation");
  }
}
template <class Io, of_type<signed_suspicion> T>
void fields(Io& io, T& s) {
  statement(io, s);
  io(s.proof);
}
template <class Io, of_type<signed_farewell> T>
void fields(Io& io, T& f) {
  statement(io, f);
  io(f.proof);
}
template <class Io, of_type<ping> T>
void fields(Io& io, T& b) {
  io(b.nonce);
}
template <class Io, of_type<ping_answer> T>
void fields(Io& io, T& b) {
  io(b.nonce);
}
template <class Io, of_type<probe_order> T>
void fields(Io& io, T& b) {
  io(b.nonce, b.target);
}
template <class Io, of_type<relayed_ping> T>
void fields(Io& io, T& b) {
  io(b.nonce, b.requester);
}
template <class Io, of_type<life_sign> T>
void fields(Io& io, T& b) {
  io(b.nonce, b.target, b.requester, b.proof);
}
template <class Io, of_type<summary> T>
void fields(Io& io, T& b) {
  io(b.answer_wanted);
  for (std::size_t first = 0; first < limits::gossip_buckets; first += 8) {
    std::uint8_t bits = 0;
    if constexpr (!Io::reads) {
      for (std::size_t i = 0; i < 8; ++i) {
        bits = static_cast<std::uint8_t>(bits | (b.buckets[first + i] ? 1U << i : 0U));
      }
    }
    io(bits);
    if constexpr (Io::reads) {
      for (std::size_t i = 0; i < 8; ++i) {
        b.buckets[first + i] = ((bits >> i) & 1U) != 0;
      }
    }
  }
  io.template list<std::uint16_t>(b.nodes, "nodes", limits::gossip_nodes_max);
}
template <class Io, of_type<digests> T>
void fields(Io& io, T& d) {
  io(d.salt);
  for (auto& sum : d.sums) {
    io(sum);
  }
}
template <class Io, of_type<parting> T>
void fields(Io&, T&) {}
template <class Io, of_type<notices> T>
void fields(Io& io, T& n) {
  io.template list<std::uint16_t>(n.tokens, "tokens", limits::notices_max, [&io](auto& token) {
    io.block(token, "a token", limits::shown_token_bytes_max);
  });
}
template <class Io, of_type<latest> T>
void fields(Io& io, T& l) {
  io(l.salt);
  io.template list<std::uint16_t>(l.marks, "marks", limits::latest_marks_max);
}
template <class Io, of_type<accuser_word> T>
void fields(Io& io, T& w) {
  io(w.accuser, w.proof);
}
template <class Io, of_type<told_case> T>
void fields(Io& io, T& c) {
  io(c.subject, c.incarnation);
  io.template list<std::uint8_t>(c.words, "accusers", limits::accusers_min);
}
template <class Io, of_type<latest_answer> T>
void fields(Io& io, T& a) {
  io(a.salt);
  io.template list<std::uint16_t>(a.wanted, "marks", limits::latest_answer_max);
  io.template list<std::uint16_t>(a.counted, "marks", limits::latest_marks_max);
  io.template list<std::uint16_t>(a.cases, "cases", limits::latest_answer_max);
}
template <class Io, of_type<news> T>
void fields(Io&, T&) {}
template <class Io, of_type<gossip_message> T>
void fields(Io& io, T& m) {
  io.one_of(m.body, "a message");
  io.template list<std::uint16_t>(m.counted, "nodes", limits::gossip_counted_max);
  io.template list<std::uint16_t>(m.updates, "updates", limits::gossip_updates_max,
                                  [&io](auto& update) { io.one_of(update, "an update"); });
}

namespace {

template <class Statement>
std::vector<std::byte> canonical(const Statement& s) {
  std::vector<std::byte> out;
  byte_writer w{out};
  field_writer io{w};
  statement(io, s);
  return out;
}

// One domain per kind of statement, so that none can stand for another.
constexpr std::string_view domain_of(const signed_advert&) { return "ovir/advert/v1"; }
constexpr std::string_view domain_of(const signed_suspicion&) { return "ovir/suspicion/v1"; }
constexpr std::string_view domain_of(const signed_farewell&) { return "ovir/farewell/v1"; }
constexpr std::string_view domain_of(const life_sign&) { return "ovir/life-sign/v1"; }

const node_id& signer_of(const signed_advert& a) { return a.node; }
const node_id& signer_of(const signed_suspicion& s) { return s.accuser; }
const node_id& signer_of(const signed_farewell& f) { return f.node; }
const node_id& signer_of(const life_sign& s) { return s.target; }

template <class Statement>
bool genuine(const Statement& s) {
  return verify(signer_of(s), domain_of(s), canonical(s), s.proof);
}

} // namespace

const node_id& subject_of(const signed_update& update) noexcept {
  if (const auto* advert = std::get_if<signed_advert>(&update)) {
    return advert->node;
  }
  if (const auto* suspicion = std::get_if<signed_suspicion>(&update)) {
    return suspicion->subject;
  }
  return std::get_if<signed_farewell>(&update)->node;
}

std::uint64_t incarnation_of(const signed_update& update) noexcept {
  return std::visit([](const auto& u) { return u.incarnation; }, update);
}

result<void> check_advert(const node_advert& advert) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  const auto outside = [](char c) { return c < 0x21 || c > 0x7e; };
  if (advert.name.size() > limits::node_name_bytes_max ||
      std::max(advert.address.size(), advert.admin_address.size()) > limits::address_bytes_max ||
      std::max(advert.held.size(), advert.spares.size()) > limits::advert_segments_max ||
      advert.rtts.size() > limits::advert_rtts_max ||
      advert.attested.size() > limits::attestations_per_node_max) {
    return fail(errc::over_limit,
                "advert: a name of {} bytes, an address of {}, {} segments, {} round trips and {} "
                "attestations, of which at most {}, {}, {}, {} and {} are allowed; advertise less",
                advert.name.size(), std::max(advert.address.size(), advert.admin_address.size()),
                std::max(advert.held.size(), advert.spares.size()), advert.rtts.size(),
                advert.attested.size(), limits::node_name_bytes_max, limits::address_bytes_max,
                limits::advert_segments_max, limits::advert_rtts_max,
                limits::attestations_per_node_max);
  }
  if (!compute::is_utf8(advert.name) ||
      std::any_of(advert.name.begin(), advert.name.end(), control) ||
      std::any_of(advert.address.begin(), advert.address.end(), outside) ||
      std::any_of(advert.admin_address.begin(), advert.admin_address.end(), outside)) {
    return fail(errc::malformed, "advert: a name must be UTF-8 without control characters, and an "
                                 "address printable ASCII; change them");
  }
  if (!advert.roles.within(member_roles)) {
    return fail(errc::malformed, "advert: roles {:#x} are not those of a member; remove the others",
                advert.roles.bits);
  }
  if (advert.ask_ppm == 0 || advert.ask_ppm > limits::ledger_ask_ppm_max) {
    return fail(errc::malformed, "advert: it asks {} ppm of the rate; 1 to {} are allowed",
                advert.ask_ppm, limits::ledger_ask_ppm_max);
  }
  for (const auto* const list : {&advert.held, &advert.spares}) {
    for (const held_segment& s : *list) {
      if (s.layers.first >= s.layers.last || s.layers.last > s.model_layers ||
          s.model_layers > limits::layers_max) {
        return fail(errc::malformed,
                    "advert: layers {} to {} of {} are no segment; state a range within the model",
                    s.layers.first, s.layers.last, s.model_layers);
      }
    }
  }
  return {};
}

std::vector<std::byte> encode_gossip(const gossip_message& message) {
  OVIR_CHECK(message.updates.size() <= limits::gossip_updates_max, message.updates.size());
  OVIR_CHECK(message.counted.size() <= limits::gossip_counted_max, message.counted.size());
  if (const auto* const told = std::get_if<summary>(&message.body)) {
    OVIR_CHECK(told->nodes.size() <= limits::gossip_nodes_max, told->nodes.size());
  }
  if (const auto* const told = std::get_if<notices>(&message.body)) {
    OVIR_CHECK(told->tokens.size() <= limits::notices_max, told->tokens.size());
  }
  if (const auto* const sums = std::get_if<digests>(&message.body)) {
    OVIR_CHECK(sums->sums.size() == limits::gossip_buckets, sums->sums.size());
  }
  std::vector<std::byte> out;
  out.reserve(bytes_expected);
  byte_writer w{out};
  w.bytes(magic.data(), magic.size());
  field_writer{w}(message);
  return out;
}

result<gossip_message> decode_gossip(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::gossip_bytes_max) {
    return fail(errc::over_limit,
                "gossip: {} bytes, of which at most {} are allowed; drop the peer", bytes.size(),
                limits::gossip_bytes_max);
  }
  const auto wrong = [&bytes](std::string_view why) {
    return fail(errc::malformed, "gossip: {} in {} bytes; drop the peer", why, bytes.size());
  };
  if (bytes.size() < magic.size() || std::memcmp(bytes.data(), magic.data(), magic.size()) != 0) {
    return wrong("another format or version");
  }
  byte_reader r{bytes.subspan(magic.size())};
  field_reader io{r};
  gossip_message message;
  io(message);
  if (!io.refused()) {
    return wrong(io.refused().error().message);
  }
  if (!r.finished()) {
    return wrong(r.sound() ? "bytes behind its end" : "an end before its time");
  }
  return message;
}

std::size_t encoded_bytes(const signed_update& update) {
  std::vector<std::byte> out;
  out.reserve(bytes_expected);
  byte_writer w{out};
  field_writer{w}.one_of(update, {});
  return out.size();
}

signed_advert sign_advert(const secret_key& key, std::uint64_t incarnation, node_advert advert) {
  const auto checked = check_advert(advert);
  OVIR_CHECK(checked.has_value(), checked ? std::string{} : checked.error().message);
  signed_advert a{key.id(), incarnation, std::move(advert), {}};
  a.proof = key.sign(domain_of(a), canonical(a));
  return a;
}

signed_suspicion sign_suspicion(const secret_key& accuser, const node_id& subject,
                                std::uint64_t incarnation) {
  signed_suspicion s{accuser.id(), subject, incarnation, {}};
  s.proof = accuser.sign(domain_of(s), canonical(s));
  return s;
}

signed_farewell sign_farewell(const secret_key& key, std::uint64_t incarnation) {
  signed_farewell f{key.id(), incarnation, {}};
  f.proof = key.sign(domain_of(f), canonical(f));
  return f;
}

life_sign sign_life(const secret_key& target, const node_id& requester, std::uint64_t nonce) {
  life_sign s{nonce, target.id(), requester, {}};
  s.proof = target.sign(domain_of(s), canonical(s));
  return s;
}

bool is_genuine(const signed_update& update) {
  return std::visit([](const auto& u) { return genuine(u); }, update);
}

bool is_genuine(const life_sign& sign) { return genuine(sign); }

} // namespace ovir::actors
