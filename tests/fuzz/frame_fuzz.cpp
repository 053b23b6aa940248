#include "messages/wire/frame.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

// Decodes any bytes as a frame. What is accepted must encode to the very bytes it came from: a
// frame has one encoding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> bytes(size); // aligned, as frames are
  if (size > 0) {
    std::memcpy(bytes.data(), data, size);
  }
  const auto view = ovir::decode_frame(bytes);
  if (!view) {
    return 0;
  }
  if (ovir::holds_tokens(view->header.kind)) {
    if (view->tokens().size() != view->header.count) {
      std::abort();
    }
  } else if (view->floats().size() != std::size_t{view->header.count} * view->header.width) {
    std::abort();
  }
  if (ovir::encode_frame(view->header, view->tensor) != bytes) {
    std::abort();
  }
  return 0;
}
