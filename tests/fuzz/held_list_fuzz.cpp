#include "node/held_list.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

// Reads any bytes as the list of layers that a node held. What is accepted must come back from its
// text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto held = ovir::supervision::held_list_from(text);
  if (held ? ovir::supervision::held_list_from(ovir::supervision::to_text(*held)).value() != *held
           : held.error().message.empty()) {
    std::abort();
  }
  return 0;
}
