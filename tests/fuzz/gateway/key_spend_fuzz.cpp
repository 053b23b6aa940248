#include "gateway/access/key_spend.hpp"
#include "messages/digest.hpp"
#include "messages/limits/access.hpp"

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

// Reads any bytes as what API keys spent, as they are and with the check that belongs to them. What
// is accepted is written the same again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir;
  const std::string bytes{reinterpret_cast<const char*>(data), size};
  const std::string checked =
      bytes + to_hex(hash("ovir/key-spend/v1", std::as_bytes(std::span{bytes}))) + "\n";
  for (const std::string& text : {bytes, checked}) {
    const auto record = gateway::spend_from(text);
    if (record ? gateway::text_of(*record) != text || record->keys.size() > limits::api_keys_max
               : record.error().message.empty()) {
      std::abort();
    }
  }
  return 0;
}
