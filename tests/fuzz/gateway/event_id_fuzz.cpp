#include "gateway/http/event_id.hpp"
#include "messages/limits/gateway.hpp"

#include <cstdint>
#include <cstdlib>

// Reads any bytes as what a client that comes back says it has. Whatever is accepted is written the
// same again, so that no two texts mean one place.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::gateway;
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  if (const auto id = event_id_from(text)) {
    if (to_text(*id) != text || id->received.size() > ovir::limits::api_choices_max) {
      std::abort();
    }
  }
  return 0;
}
