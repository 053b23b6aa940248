#include "messages/check.hpp"
#include "messages/wire/fetch_frame.hpp"

#include <cstdint>
#include <cstring>
#include <vector>

// Decodes any bytes as a message about weights. What is accepted must encode to the very bytes it
// came from: a message has one encoding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> bytes(size); // aligned, as messages are
  if (size > 0) {
    std::memcpy(bytes.data(), data, size);
  }
  const auto view = ovir::decode_fetch(bytes);
  if (!view) {
    OVIR_CHECK(!view.error().message.empty());
    return 0;
  }
  const ovir::fetch_header& header = view->header;
  OVIR_CHECK(ovir::encode_fetch(header, view->payload) == bytes);
  if (header.kind == ovir::fetch_kind::want_pieces) {
    OVIR_CHECK(ovir::encode_want_pieces(header.model, view->pieces(), header.received) == bytes);
  } else if (header.kind == ovir::fetch_kind::holdings) {
    OVIR_CHECK(ovir::encode_holdings(header.model, view->ranges()) == bytes);
  } else if (header.kind == ovir::fetch_kind::refusal) {
    OVIR_CHECK(ovir::encode_refusal(header.model, header.piece, view->reason()) == bytes);
  }
  return 0;
}
