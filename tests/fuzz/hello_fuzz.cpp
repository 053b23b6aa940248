#include "actors/link/link_format.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

// Decodes any bytes as what a peer may say on a link: a hello, a verdict, a message header and an
// address. What is accepted must encode to the very bytes it came from.

namespace {

using namespace ovir::actors;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

void hello(std::span<const std::byte> bytes) {
  if (bytes.size() < hello_prefix::size) {
    return;
  }
  const auto prefix = decode_hello_prefix(bytes.first<hello_prefix::size>());
  const std::span<const std::byte> body = bytes.subspan(hello_prefix::size);
  const auto decoded = decode_hello_body(body);
  if (!decoded) {
    return;
  }
  const std::vector<std::byte> again = encode_hello(*decoded);
  require(equal(std::span{again}.subspan(hello_prefix::size), body));
  if (prefix && prefix->version == link_version && prefix->body_bytes == body.size()) {
    require(equal(again, bytes));
  }
}

void verdict(std::span<const std::byte> bytes) {
  const auto decoded = decode_verdict(bytes);
  if (!decoded) {
    return;
  }
  const auto again = decode_verdict(encode_verdict(*decoded));
  require(again.has_value() && again->refusal == decoded->refusal);
}

void header(std::span<const std::byte> bytes) {
  if (bytes.size() < message_header::size) {
    return;
  }
  for (const channel c : {channel::control, channel::data, channel::admin}) {
    const auto decoded = decode_header(c, bytes.first<message_header::size>());
    if (decoded) {
      require(equal(encode_header(*decoded), bytes.first<message_header::size>()));
    }
  }
}

void address(std::span<const std::byte> bytes) {
  const auto parts =
      parse_host_and_port({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (parts) {
    const auto again = parse_host_and_port(to_string(*parts));
    require(again && again->host == parts->host && again->port == parts->port);
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span{data, size});
  hello(bytes);
  verdict(bytes);
  header(bytes);
  address(bytes);
  return 0;
}
