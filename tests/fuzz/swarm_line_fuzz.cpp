#include "messages/swarm_line.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

// Reads any bytes as the line that machines join a swarm by. What is accepted must be written as
// the very text it came from.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto line = ovir::swarm_line_from(text);
  if (line ? to_text(*line) != text : line.error().message.empty()) {
    std::abort();
  }
  return 0;
}
