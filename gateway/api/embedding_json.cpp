#include "gateway/api/embedding_json.hpp"

#include <sodium.h>

#include <bit>
#include <string>

namespace ovir::gateway {

static_assert(std::endian::native == std::endian::little, "vectors are written in memory order");

json embedding_json(std::span<const float> vector, bool base64) {
  if (!base64) {
    json list = json::array();
    for (const float x : vector) {
      list.push_back(x);
    }
    return list;
  }
  const auto bytes = std::as_bytes(vector);
  constexpr int variant = sodium_base64_VARIANT_ORIGINAL;
  std::string text(sodium_base64_encoded_len(bytes.size(), variant), '\0');
  ::sodium_bin2base64(text.data(), text.size(),
                      reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), variant);
  text.pop_back(); // what ends it in C
  return text;
}

} // namespace ovir::gateway
