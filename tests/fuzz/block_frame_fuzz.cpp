#include "messages/check.hpp"
#include "messages/name_filter.hpp"
#include "messages/wire/block_frame.hpp"

#include <cstdint>
#include <cstring>
#include <vector>

// Decodes any bytes as a message about blocks. What is accepted must encode to the very bytes it
// came from: a message has one encoding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> bytes(size); // aligned, as messages are
  if (size > 0) {
    std::memcpy(bytes.data(), data, size);
  }
  const auto view = ovir::decode_block(bytes);
  if (!view) {
    OVIR_CHECK(!view.error().message.empty());
    return 0;
  }
  const ovir::block_header& header = view->header;
  OVIR_CHECK(ovir::encode_block(header, view->payload) == bytes);
  if (header.kind == ovir::block_kind::want) {
    OVIR_CHECK(ovir::encode_want_blocks(header.ticket, view->names()) == bytes);
  } else if (header.kind == ovir::block_kind::claims) {
    OVIR_CHECK(ovir::name_filter::from(view->payload).has_value());
  }
  return 0;
}
