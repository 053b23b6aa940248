#include "messages/invitation.hpp"
#include "messages/signing.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

namespace {

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

} // namespace

// Reads any bytes as a join token, alone or by an invitation, and as the text of one. What is
// accepted must encode to the very bytes it came from, and be the same token in its other form. No
// input is a token that counts: the fuzzer has no admin's key.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto from_text = ovir::token_from_text(text);
  if (from_text) {
    require(to_text(*from_text) == text);
    require(ovir::token_from_bytes(to_bytes(*from_text)).value() == *from_text);
  }
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto from_bytes = ovir::token_from_bytes(bytes);
  if (from_bytes) {
    const auto again = to_bytes(*from_bytes);
    require(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
    require(ovir::token_from_text(to_text(*from_bytes)).value() == *from_bytes);
  }
  for (const auto* const read : {&from_text, &from_bytes}) {
    if (!*read) {
      require(!read->error().message.empty());
    } else {
      require(!check(**read, ovir::node_id{}, 0));
    }
  }
  const auto shown_text = ovir::shown_token_from_text(text);
  require(!shown_text || to_text(*shown_text) == text);
  require(!from_text || shown_text);
  const auto shown = ovir::shown_token_from_bytes(bytes);
  require(!from_bytes || shown);
  if (shown) {
    const auto again = to_bytes(*shown);
    require(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
    require(ovir::shown_token_from_text(to_text(*shown)).value() == *shown);
  }
  return 0;
}
