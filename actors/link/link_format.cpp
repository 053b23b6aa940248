#include "actors/link/link_format.hpp"

#include "messages/limits/general.hpp"
#include "messages/wire/fields.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

// hello   = "OVLH" version:u16 body_bytes:u16 body
// body    = channel:u8 0:u8 roles:u16 cluster:text8 address:text16 token:bytes16 [binding:64]
// verdict = "OVLV" version:u16 code:u8 0:u8 text_bytes:u16 0:u16 text
// message = length:u32 kind:u16 0:u16 target:u32 0:u32 payload
// text8, text16, bytes16: a length of that many bits, then the bytes. Numbers are little-endian.

namespace ovir::actors {

namespace {

constexpr std::string_view hello_magic = "OVLH";
constexpr std::string_view verdict_magic = "OVLV";
constexpr std::size_t signature_bytes = 64;
constexpr std::size_t body_bytes_max = limits::hello_bytes_max - hello_prefix::size;

static_assert(limits::cluster_name_bytes_max <= 0xff);
static_assert(limits::address_bytes_max <= 0xffff && body_bytes_max <= 0xffff);
static_assert(limits::error_text_bytes_max <= 0xffff);
static_assert(limits::frame_bytes_max <= 0xffff'ffff);

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

std::string printable(std::string_view text) {
  std::string clean{text.substr(0, limits::error_text_bytes_max)};
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return clean;
}

result<void> check_text(std::string_view what, std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max) {
    return fail(errc::over_limit, "a hello's {} has {} bytes; at most {} are allowed", what,
                text.size(), bytes_max);
  }
  if (!is_printable(text)) {
    return fail(errc::malformed, "a hello's {} is not printable ASCII", what);
  }
  return {};
}

bool begins_with(std::span<const std::byte> bytes, std::string_view magic) {
  return std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

bool is_known(std::uint8_t code) { return to_string(static_cast<errc>(code)) != "unknown"; }

} // namespace

result<void> check(const link_hello& hello) {
  const auto kind = static_cast<std::uint8_t>(hello.kind);
  if (kind < 1 || kind > 5) {
    return fail(errc::malformed, "a hello asks for channel {}; there are 1 to 5", kind);
  }
  OVIR_TRY(check_text("cluster name", hello.cluster, limits::cluster_name_bytes_max));
  OVIR_TRY(check_text("address", hello.address, limits::address_bytes_max));
  if (!hello.address.empty()) {
    if (const auto parts = parse_host_and_port(hello.address); !parts) {
      return in_context("a hello's address", error{errc::malformed, parts.error().message});
    }
  }
  const std::size_t rest = 25 + hello.cluster.size() + hello.address.size() + signature_bytes;
  if (hello.token.size() > body_bytes_max - rest) {
    return fail(errc::over_limit, "a hello's join token has {} bytes; at most {} fit",
                hello.token.size(), body_bytes_max - rest);
  }
  if (hello.token.empty() == hello.binding.has_value()) {
    return fail(errc::malformed, "a hello has a join token without its binding or the reverse");
  }
  return {};
}

template <class Io, of_type<link_hello> T>
void fields(Io& io, T& h) {
  auto kind = static_cast<std::uint16_t>(h.kind);
  io(kind);
  if constexpr (Io::reads) {
    if (kind < 1 || kind > 5) {
      io.refuse(fail(errc::malformed, "a hello asks for channel {}; there are 1 to 5", kind));
    }
    h.kind = static_cast<channel>(kind);
  }
  io(h.roles.bits);
  io(h.life);
  io(h.last_loss);
  io.template text<std::uint8_t>(h.cluster, "a hello's cluster name", body_bytes_max);
  io.template text<std::uint16_t>(h.address, "a hello's address", body_bytes_max);
  io.template list<std::uint16_t>(h.token, "bytes of a join token", body_bytes_max);
  if constexpr (Io::reads) {
    if (!h.token.empty()) {
      io(h.binding.emplace());
    }
  } else if (h.binding) {
    io(*h.binding);
  }
}

std::vector<std::byte> encode_hello(const link_hello& hello) {
  const auto fits = check(hello);
  OVIR_CHECK(fits.has_value(), fits ? std::string{} : fits.error().message);
  std::vector<std::byte> body;
  byte_writer inner{body};
  field_writer{inner}(hello);
  std::vector<std::byte> whole;
  byte_writer w{whole};
  w.bytes(hello_magic.data(), hello_magic.size());
  w.number(link_version);
  w.number(static_cast<std::uint16_t>(body.size()));
  w.bytes(body.data(), body.size());
  return whole;
}

result<hello_prefix> decode_hello_prefix(std::span<const std::byte, hello_prefix::size> bytes) {
  if (!begins_with(bytes, hello_magic)) {
    return fail(errc::malformed, "the peer does not begin with a hello; is it an OVIR node?");
  }
  byte_reader in{bytes.subspan(hello_magic.size())};
  hello_prefix prefix;
  prefix.version = in.number<std::uint16_t>();
  prefix.body_bytes = in.number<std::uint16_t>();
  if (prefix.body_bytes > body_bytes_max) {
    return fail(errc::over_limit, "the peer's hello claims {} bytes; at most {} are allowed",
                prefix.body_bytes, body_bytes_max);
  }
  return prefix;
}

result<void> check_version(std::uint16_t version, const node_id& peer, const node_id& self) {
  if (version == link_version) {
    return {};
  }
  return fail(errc::unsupported,
              "node {} speaks version {} of the link protocol and node {} version {}: node {} is "
              "older and must be upgraded",
              short_name(peer), version, short_name(self), link_version,
              short_name(version < link_version ? peer : self));
}

result<link_hello> decode_hello_body(std::span<const std::byte> bytes) {
  if (bytes.size() > body_bytes_max) {
    return fail(errc::over_limit, "a hello has {} bytes; at most {} are allowed", bytes.size(),
                body_bytes_max);
  }
  byte_reader in{bytes};
  field_reader io{in};
  link_hello hello;
  io(hello);
  OVIR_TRY(io.refused());
  if (!in.finished()) {
    return fail(errc::malformed, "a hello of {} bytes does not have the length of its parts",
                bytes.size());
  }
  OVIR_TRY(check(hello));
  return hello;
}

std::vector<std::byte> encode_verdict(const link_verdict& verdict) {
  const std::string text = verdict.refusal ? printable(verdict.refusal->message) : std::string{};
  std::vector<std::byte> out;
  byte_writer w{out};
  w.bytes(verdict_magic.data(), verdict_magic.size());
  w.number(link_version);
  w.number(static_cast<std::uint16_t>(verdict.refusal ? verdict.refusal->code : errc{}));
  w.number(static_cast<std::uint32_t>(text.size()));
  w.bytes(text.data(), text.size());
  return out;
}

result<std::size_t>
verdict_text_bytes(std::span<const std::byte, link_verdict::prefix_size> bytes) {
  if (!begins_with(bytes, verdict_magic)) {
    return fail(errc::malformed, "the peer does not answer a hello with a verdict");
  }
  byte_reader in{bytes.subspan(verdict_magic.size())};
  (void)in.number<std::uint16_t>(); // the version; the layout is that of every version
  const auto code = in.number<std::uint16_t>();
  const std::size_t length = in.number<std::uint32_t>();
  if (code > 0xff || (code == 0 && length != 0)) {
    return fail(errc::malformed, "the peer's verdict is neither an admission nor a refusal");
  }
  if (length > limits::error_text_bytes_max) {
    return fail(errc::over_limit, "the peer's verdict claims {} bytes; at most {} are allowed",
                length, limits::error_text_bytes_max);
  }
  return length;
}

result<link_verdict> decode_verdict(std::span<const std::byte> bytes) {
  if (bytes.size() < link_verdict::prefix_size) {
    return fail(errc::malformed, "a verdict of {} bytes is too short", bytes.size());
  }
  OVIR_ASSIGN(const std::size_t length,
              verdict_text_bytes(bytes.first<link_verdict::prefix_size>()));
  const std::span<const std::byte> text = bytes.subspan(link_verdict::prefix_size);
  if (text.size() != length) {
    return fail(errc::malformed, "a verdict claims {} bytes of text and has {}", length,
                text.size());
  }
  const auto code = std::to_integer<std::uint8_t>(bytes[6]);
  link_verdict verdict;
  if (code != 0) {
    verdict.refusal = error{is_known(code) ? static_cast<errc>(code) : errc::unsupported,
                            printable({reinterpret_cast<const char*>(text.data()), text.size()})};
  }
  return verdict;
}

std::array<std::byte, message_header::size> encode_header(const message_header& header) {
  std::vector<std::byte> bytes;
  byte_writer w{bytes};
  w.number(header.length);
  w.number(std::uint32_t{header.kind});
  w.number(std::uint64_t{header.target});
  std::array<std::byte, message_header::size> encoded{};
  std::copy(bytes.begin(), bytes.end(), encoded.begin());
  return encoded;
}

result<message_header> decode_header(channel c,
                                     std::span<const std::byte, message_header::size> bytes) {
  byte_reader in{bytes};
  message_header header;
  header.length = in.number<std::uint32_t>();
  header.kind = in.number<std::uint16_t>();
  const auto zero = in.number<std::uint16_t>();
  header.target = in.number<std::uint32_t>();
  if (zero != 0 || in.number<std::uint32_t>() != 0) {
    return fail(errc::malformed, "the reserved bytes of a message header are not zero");
  }
  const std::size_t bytes_max = header.kind == goodbye_kind
                                    ? link_verdict::prefix_size + limits::error_text_bytes_max
                                    : message_bytes_max(c, static_cast<message_kind>(header.kind));
  if (bytes_max == 0) {
    return fail(errc::malformed, "a message of kind {} does not belong on channel {}", header.kind,
                static_cast<std::uint8_t>(c));
  }
  if (header.length > bytes_max) {
    return fail(errc::over_limit, "a message of kind {} claims {} bytes; at most {} are allowed",
                header.kind, header.length, bytes_max);
  }
  return header;
}

result<host_and_port> parse_host_and_port(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return fail(errc::invalid_argument, "'{}' is not an address HOST:PORT: {}",
                printable(text.substr(0, limits::address_bytes_max)), why);
  };
  if (text.size() > limits::address_bytes_max || !is_printable(text)) {
    return wrong("it is too long or not printable");
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return wrong("the port is missing");
  }
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return wrong("an IPv6 address stands in brackets, as in [::1]:7700");
  }
  if (host.empty() || host.find_first_of(" []") != std::string_view::npos) {
    return wrong("the host is missing or misspelt");
  }
  std::uint16_t port = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || problem != std::errc{} || end != digits.data() + digits.size()) {
    return wrong("the port must be a number from 0 to 65535");
  }
  return host_and_port{std::string{host}, port};
}

std::string to_string(const host_and_port& address) {
  return address.host.find(':') == std::string::npos
             ? fmt::format("{}:{}", address.host, address.port)
             : fmt::format("[{}]:{}", address.host, address.port);
}

std::vector<std::byte> binding_bytes(std::span<const std::byte, exporter_bytes> exporter,
                                     std::span<const std::byte> token) {
  std::vector<std::byte> bytes(exporter.size() + token.size());
  std::copy(exporter.begin(), exporter.end(), bytes.begin());
  std::copy(token.begin(), token.end(), bytes.begin() + exporter_bytes);
  return bytes;
}

} // namespace ovir::actors
