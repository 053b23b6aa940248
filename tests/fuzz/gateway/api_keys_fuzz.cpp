#include "gateway/access/api_keys.hpp"
#include "messages/limits/gateway.hpp"

#include <cstdint>
#include <cstdlib>

// Reads any bytes as a file of keys, and as a key that somebody presents. What is accepted is
// written and read the same again; no bytes are a key that nobody made.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::gateway;
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto table = api_key_table::parse(text);
  if (!table) {
    if (table.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  const auto again = api_key_table::parse(table->text());
  if (!again || again->keys() != table->keys() ||
      table->keys().size() > ovir::limits::api_keys_max ||
      table->find(text, hash_key{}) != nullptr) {
    std::abort();
  }
  return 0;
}
