#include "actors/protocol/wire.hpp"
#include "messages/limits/general.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

// Decodes any bytes as a message between nodes. What is accepted must encode to the very bytes it
// came from, but for the text of an error, which is made printable.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> bytes(size); // aligned, as messages are
  if (size > 0) {
    std::memcpy(bytes.data(), data, size);
  }
  const auto message = ovir::actors::decode_wire(bytes);
  if (!message) {
    return 0;
  }
  if (!ovir::actors::check(*message)) {
    std::abort();
  }
  const bool has_text = std::visit(
      [](const auto& body) {
        return requires { body.reason; };
      },
      message->body);
  if (has_text) {
    const auto again = ovir::actors::decode_wire(ovir::actors::encode_wire(*message));
    if (!again || again->body.index() != message->body.index()) {
      std::abort();
    }
  } else if (ovir::actors::encode_wire(*message) != bytes) {
    std::abort();
  }
  return 0;
}
