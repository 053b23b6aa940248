#include "actors/link/link_format.hpp"

#include "messages/limits/general.hpp"

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
constexpr std::size_t magic_bytes = 4;
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

class writer {
public:
  void number(std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
      bytes_.push_back(static_cast<std::byte>((value >> (8 * i)) & 0xffU));
    }
  }
  void raw(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void text(std::string_view text) { raw(std::as_bytes(std::span{text.data(), text.size()})); }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

private:
  std::vector<std::byte> bytes_;
};

/// Takes from the front; what is missing reads as zero or empty and is remembered.
class reader {
public:
  explicit reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  std::uint64_t number(std::size_t bytes) {
    std::uint64_t value = 0;
    const std::span<const std::byte> taken = raw(bytes);
    for (std::size_t i = 0; i < taken.size(); ++i) {
      value |= std::to_integer<std::uint64_t>(taken[i]) << (8 * i);
    }
    return value;
  }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::span<const std::byte> raw(std::size_t bytes) {
    if (bytes > rest_.size()) {
      short_ = true;
      rest_ = {};
      return {};
    }
    const std::span<const std::byte> taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }
  std::string_view text(std::size_t bytes) {
    const std::span<const std::byte> taken = raw(bytes);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  [[nodiscard]] bool complete() const noexcept { return !short_ && rest_.empty(); }

private:
  std::span<const std::byte> rest_;
  bool short_{false};
};

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

bool is_known(std::uint8_t code) { return to_string(static_cast<errc>(code)) != "unknown"; }

} // namespace

result<void> check(const link_hello& hello) {
  const auto kind = static_cast<std::uint8_t>(hello.kind);
  if (kind < 1 || kind > 4) {
    return fail(errc::malformed, "a hello asks for channel {}; there are 1 to 4", kind);
  }
  OVIR_TRY(check_text("cluster name", hello.cluster, limits::cluster_name_bytes_max));
  OVIR_TRY(check_text("address", hello.address, limits::address_bytes_max));
  if (!hello.address.empty()) {
    if (const auto parts = parse_host_and_port(hello.address); !parts) {
      return in_context("a hello's address", error{errc::malformed, parts.error().message});
    }
  }
  const std::size_t rest = 9 + hello.cluster.size() + hello.address.size() + signature_bytes;
  if (hello.token.size() > body_bytes_max - rest) {
    return fail(errc::over_limit, "a hello's join token has {} bytes; at most {} fit",
                hello.token.size(), body_bytes_max - rest);
  }
  if (hello.token.empty() == hello.binding.has_value()) {
    return fail(errc::malformed, "a hello has a join token without its binding or the reverse");
  }
  return {};
}

std::vector<std::byte> encode_hello(const link_hello& hello) {
  const auto fits = check(hello);
  OVIR_CHECK(fits.has_value(), fits ? std::string{} : fits.error().message);
  writer body;
  body.number(static_cast<std::uint8_t>(hello.kind), 2);
  body.number(hello.roles.bits, 2);
  body.number(hello.cluster.size(), 1);
  body.text(hello.cluster);
  body.number(hello.address.size(), 2);
  body.text(hello.address);
  body.number(hello.token.size(), 2);
  body.raw(hello.token);
  if (hello.binding) {
    body.raw(std::as_bytes(std::span{hello.binding->bytes}));
  }
  const std::vector<std::byte> encoded = body.take();
  writer whole;
  whole.text(hello_magic);
  whole.number(link_version, 2);
  whole.number(encoded.size(), 2);
  whole.raw(encoded);
  return whole.take();
}

result<hello_prefix> decode_hello_prefix(std::span<const std::byte, hello_prefix::size> bytes) {
  reader in{bytes};
  if (in.text(magic_bytes) != hello_magic) {
    return fail(errc::malformed, "the peer does not begin with a hello; is it an OVIR node?");
  }
  hello_prefix prefix;
  prefix.version = in.u16();
  prefix.body_bytes = in.u16();
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
  reader in{bytes};
  const std::uint16_t kind = in.u16();
  if (kind < 1 || kind > 4) {
    return fail(errc::malformed, "a hello asks for channel {}; there are 1 to 4", kind);
  }
  link_hello hello;
  hello.kind = static_cast<channel>(kind);
  hello.roles.bits = in.u16();
  hello.cluster = in.text(in.number(1));
  hello.address = in.text(in.u16());
  const std::span<const std::byte> token = in.raw(in.u16());
  hello.token.assign(token.begin(), token.end());
  if (!token.empty()) {
    const std::span<const std::byte> proof = in.raw(signature_bytes);
    hello.binding.emplace();
    if (proof.size() == signature_bytes) {
      std::memcpy(hello.binding->bytes.data(), proof.data(), signature_bytes);
    }
  }
  if (!in.complete()) {
    return fail(errc::malformed, "a hello of {} bytes does not have the length of its parts",
                bytes.size());
  }
  OVIR_TRY(check(hello));
  return hello;
}

std::vector<std::byte> encode_verdict(const link_verdict& verdict) {
  const std::string text = verdict.refusal ? printable(verdict.refusal->message) : std::string{};
  writer out;
  out.text(verdict_magic);
  out.number(link_version, 2);
  out.number(verdict.refusal ? static_cast<std::uint8_t>(verdict.refusal->code) : 0, 2);
  out.number(text.size(), 4);
  out.text(text);
  return out.take();
}

result<std::size_t>
verdict_text_bytes(std::span<const std::byte, link_verdict::prefix_size> bytes) {
  reader in{bytes};
  if (in.text(magic_bytes) != verdict_magic) {
    return fail(errc::malformed, "the peer does not answer a hello with a verdict");
  }
  (void)in.u16(); // the version; the layout is that of every version
  const std::uint16_t code = in.u16();
  const std::uint64_t length = in.number(4);
  if (code > 0xff || (code == 0 && length != 0)) {
    return fail(errc::malformed, "the peer's verdict is neither an admission nor a refusal");
  }
  if (length > limits::error_text_bytes_max) {
    return fail(errc::over_limit, "the peer's verdict claims {} bytes; at most {} are allowed",
                length, limits::error_text_bytes_max);
  }
  return static_cast<std::size_t>(length);
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
  writer out;
  out.number(header.length, 4);
  out.number(header.kind, 4);
  out.number(header.target, 8);
  const std::vector<std::byte> bytes = out.take();
  std::array<std::byte, message_header::size> encoded{};
  std::copy(bytes.begin(), bytes.end(), encoded.begin());
  return encoded;
}

result<message_header> decode_header(channel c,
                                     std::span<const std::byte, message_header::size> bytes) {
  reader in{bytes};
  message_header header;
  header.length = static_cast<std::uint32_t>(in.number(4));
  header.kind = in.u16();
  const std::uint16_t zero = in.u16();
  header.target = static_cast<std::uint32_t>(in.number(4));
  if (zero != 0 || in.number(4) != 0) {
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
