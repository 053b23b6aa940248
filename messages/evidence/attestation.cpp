#include "messages/evidence/attestation.hpp"

#include "messages/check.hpp"
#include "messages/wire/fields.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <utility>

// Grammar: docs/formats/attestation.md.
namespace ovir {

namespace {

constexpr std::string_view attestation_domain = "ovir/attestation/v1";
constexpr std::uint32_t attestation_magic = 0x31'41'56'4f; // "OVA1"
constexpr std::string_view attested_prefix = "ovir-attested-";
constexpr int attested_alphabet = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

} // namespace

// What is signed: all but the attestor and its signature.
template <class Io, of_type<attestation> T>
void attested_part(Io& io, T& a) {
  io(a.node, a.expires_unix);
  io.template text<std::uint8_t>(a.properties.operated_by, "an operator",
                                 limits::attested_operator_bytes_max);
  io.template text<std::uint8_t>(a.properties.region, "a region",
                                 limits::attested_region_bytes_max);
  io.template text<std::uint8_t>(a.properties.confidential, "a level",
                                 limits::attested_level_bytes_max);
}

namespace {

std::vector<std::byte> attested_bytes(const attestation& what) {
  std::vector<std::byte> out;
  out.reserve(limits::attestation_bytes_max);
  byte_writer w{out};
  w.number(attestation_magic);
  field_writer io{w};
  attested_part(io, what);
  return out;
}

std::string encoded_attestation(std::span<const std::byte> bytes) {
  std::string text(sodium_base64_encoded_len(bytes.size(), attested_alphabet), '\0');
  ::sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()),
                      bytes.size(), attested_alphabet);
  text.pop_back(); // the library's final zero
  return text;
}

} // namespace

attestation attest(const secret_key& attestor, const node_id& node, node_properties properties,
                   std::uint64_t expires_unix) {
  OVIR_CHECK(check(properties) && !properties.empty(), to_string(properties));
  attestation made{node, expires_unix, std::move(properties), attestor.id(), {}};
  made.proof = attestor.sign(attestation_domain, attested_bytes(made));
  return made;
}

std::vector<std::byte> to_bytes(const attestation& what) {
  std::vector<std::byte> out = attested_bytes(what);
  byte_writer w{out};
  w.write(what.attestor);
  w.write(what.proof);
  OVIR_CHECK(out.size() <= limits::attestation_bytes_max, out.size());
  return out;
}

result<attestation> attestation_from_bytes(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::attestation_bytes_max) {
    return fail(errc::over_limit, "an attestation of {} bytes; at most {} are allowed",
                bytes.size(), limits::attestation_bytes_max);
  }
  byte_reader r{bytes};
  if (r.number<std::uint32_t>() != attestation_magic) {
    return fail(errc::malformed,
                "these bytes are no attestation of version 1; ask for one made by ovir attest");
  }
  attestation what;
  field_reader io{r};
  attested_part(io, what);
  io(what.attestor, what.proof);
  OVIR_TRY(io.refused());
  if (!r.finished()) {
    return fail(errc::malformed, "an attestation has too {} bytes", r.sound() ? "many" : "few");
  }
  OVIR_TRY(check(what.properties));
  if (what.properties.empty() || what.node.empty() || what.attestor.empty()) {
    return fail(errc::malformed, "an attestation says nothing, or is about or by no key");
  }
  return what;
}

std::string to_text(const attestation& what) {
  return std::string{attested_prefix} + encoded_attestation(to_bytes(what));
}

result<attestation> attestation_from_text(std::string_view text) {
  constexpr std::size_t most = attested_prefix.size() + (limits::attestation_bytes_max * 4 + 2) / 3;
  if (!text.starts_with(attested_prefix) || text.size() > most) {
    return fail(errc::malformed,
                "an attestation is one word that begins with {}, of at most {} "
                "characters; copy it again",
                attested_prefix, most);
  }
  const std::string_view encoded = text.substr(attested_prefix.size());
  std::array<std::byte, limits::attestation_bytes_max> bytes{};
  std::size_t size = 0;
  const bool read = ::sodium_base642bin(reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size(),
                                        encoded.data(), encoded.size(), nullptr, &size, nullptr,
                                        attested_alphabet) == 0;
  // libsodium takes some bytes above 127 for digits: what it read is written again.
  const auto whole = std::span{bytes}.first(size);
  if (!read || encoded_attestation(whole) != encoded) {
    return fail(errc::malformed,
                "the attestation is not base64url without padding after {}; copy it again",
                attested_prefix);
  }
  return attestation_from_bytes(whole);
}

bool is_genuine(const attestation& what) {
  return verify(what.attestor, attestation_domain, attested_bytes(what), what.proof);
}

result<std::vector<attestation>> attestations_from_lines(std::string_view text, std::size_t most) {
  std::vector<attestation> all;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
    line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
    if (line.empty() || line.starts_with('#')) {
      continue;
    }
    if (all.size() == most) {
      return fail(errc::over_limit, "more than {} attestations", most);
    }
    auto one = attestation_from_text(line);
    if (!one) {
      return fail(one.error().code, "line {}: {}", number, one.error().message);
    }
    all.push_back(std::move(*one));
  }
  return all;
}

std::vector<attestation> counting(const tier_demand& demand, const node_id& node,
                                  std::span<const attestation> shown, std::uint64_t now_unix,
                                  const attestation_check& genuine) {
  std::vector<attestation> some;
  for (const attestation& a : shown) {
    if (a.node == node && now_unix < a.expires_unix &&
        std::binary_search(demand.attestors.begin(), demand.attestors.end(), a.attestor) &&
        genuine(a)) {
      some.push_back(a);
    }
  }
  return some;
}

std::optional<std::string> lacking(const tier_demand& demand,
                                   std::span<const attestation> attested) {
  if (attested.empty()) {
    return demand.properties.empty() ? "attestation" : to_string(demand.properties);
  }
  const node_properties& all = demand.properties;
  for (const node_properties& one :
       {node_properties{all.operated_by, {}, {}}, node_properties{{}, all.region, {}},
        node_properties{{}, {}, all.confidential}}) {
    const bool said = std::any_of(attested.begin(), attested.end(), [&one](const attestation& a) {
      return covers(a.properties, one);
    });
    if (!said) {
      return to_string(one);
    }
  }
  return std::nullopt;
}

} // namespace ovir
