#include "actors/nat/nat_message.hpp"

#include "actors/link/link_format.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"
#include "messages/wire/fields.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <type_traits>

// message = "OVN2" kind:u8 fields; docs/formats/nat.md

namespace ovir::actors {

namespace {

constexpr std::string_view nat_magic = "OVN2";

static_assert(std::is_same_v<std::variant_alternative_t<9, nat_message>, stream_end> &&
                  std::variant_size_v<nat_message> == 10,
              "the kinds on the wire are the places in the variant plus one");
static_assert(limits::nat_stream_piece_bytes_max + 64 <= limits::nat_message_bytes_max);
static_assert(2 * limits::nat_addresses_max * (limits::address_bytes_max + 1) + 64 <=
              limits::nat_message_bytes_max);

template <class Io, class Addresses>
void addresses_of(Io& io, Addresses& addresses) {
  io.template list<std::uint8_t>(
      addresses, "addresses of a node", limits::nat_addresses_max, [&io](auto& one) {
        io.template text<std::uint8_t>(one, "an address", limits::address_bytes_max);
        io.expect(is_numeric_address(one), "what is told as an address is none");
      });
}

template <class Io, class Bytes>
void each_byte_of(Io& io, Bytes& bytes) {
  for (auto& one : bytes) {
    io(one);
  }
}

} // namespace

template <class Io, of_type<helper_join> T>
void fields(Io& io, T& m) {
  io(m.reachable);
  addresses_of(io, m.addresses);
}
template <class Io, of_type<address_seen> T>
void fields(Io& io, T& m) {
  io.template text<std::uint8_t>(m.address, "an address", limits::address_bytes_max);
  io.expect(is_numeric_address(m.address), "what is told as an address is none");
  io(m.proof, m.udp);
  each_byte_of(io, m.probe);
}
template <class Io, of_type<helper_ask> T>
void fields(Io& io, T& m) {
  io(m.nonce, m.node);
}
template <class Io, of_type<helper_answer> T>
void fields(Io& io, T& m) {
  io(m.nonce, m.held, m.reachable, m.relays);
  addresses_of(io, m.addresses);
}
template <class Io, of_type<meeting> T>
void fields(Io& io, T& m) {
  io(m.nonce, m.node, m.answers, m.mapping);
  io.expect(m.mapping <= nat_mapping::dependent, "a meeting tells an unknown kind of mapping");
  addresses_of(io, m.addresses);
  addresses_of(io, m.udp);
}
template <class Io, of_type<stream_open> T>
void fields(Io& io, T& m) {
  io(m.stream, m.node);
  each_byte_of(io, m.session);
}
template <class Io, of_type<stream_taken> T>
void fields(Io& io, T& m) {
  io(m.stream);
}
template <class Io, of_type<stream_bytes> T>
void fields(Io& io, T& m) {
  io(m.stream);
  io.block(m.bytes, "a piece of a stream", limits::nat_stream_piece_bytes_max);
  io.expect(!m.bytes.empty(), "a piece of a stream is empty");
}
template <class Io, of_type<stream_count> T>
void fields(Io& io, T& m) {
  io(m.stream, m.bytes, m.proof);
}
template <class Io, of_type<stream_end> T>
void fields(Io& io, T& m) {
  io(m.stream, m.why);
  io.expect(m.why >= stream_ending::closed && m.why <= stream_ending::refused,
            "a stream ends for an unknown reason");
}

bool is_numeric_address(std::string_view address) {
  const auto parts = parse_host_and_port(address);
  if (!parts || parts->port == 0) {
    return false;
  }
  boost::system::error_code is_name;
  const auto host = boost::asio::ip::make_address(parts->host, is_name);
  // One text for each address, so that equal ones compare equal.
  return !is_name && to_string(host_and_port{host.to_string(), parts->port}) == address;
}

std::vector<std::byte> encode(const nat_message& message) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.bytes(nat_magic.data(), nat_magic.size());
  field_writer{w}.one_of(message, {});
  OVIR_CHECK(out.size() <= limits::nat_message_bytes_max, out.size());
  return out;
}

result<nat_message> decode_nat_message(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::nat_message_bytes_max) {
    return fail(errc::over_limit,
                "a message to or from a helper has {} bytes; at most {} are allowed", bytes.size(),
                limits::nat_message_bytes_max);
  }
  if (bytes.size() < nat_magic.size() ||
      std::memcmp(bytes.data(), nat_magic.data(), nat_magic.size()) != 0) {
    return fail(errc::malformed, "these bytes are no message to or from a helper");
  }
  byte_reader r{bytes.subspan(nat_magic.size())};
  nat_message message;
  field_reader io{r};
  io.one_of(message, "a message to or from a helper");
  OVIR_TRY(io.refused());
  if (!r.finished()) {
    return fail(errc::malformed, "a message to or from a helper has too {} bytes",
                r.sound() ? "many" : "few");
  }
  return message;
}

std::vector<std::byte> seen_statement(const node_id& node, std::string_view address) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.write(node);
  w.bytes(address.data(), address.size());
  return out;
}

} // namespace ovir::actors
