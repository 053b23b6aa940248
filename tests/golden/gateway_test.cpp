// Bytes of docs/formats/api-keys.md and docs/formats/http.md. The hash was computed by Python's
// hashlib.
#include "gateway/access/api_keys.hpp"
#include "gateway/api/answer_writer.hpp"

#include <gtest/gtest.h>

namespace ovir::gateway {
namespace {

TEST(gateway_golden, a_key_and_its_hash) {
  std::array<std::byte, 32> secret{};
  hash_key with{};
  for (std::size_t i = 0; i < secret.size(); ++i) {
    secret[i] = std::byte{static_cast<unsigned char>(i)};
    with[i] = std::byte{static_cast<unsigned char>(i + 32)};
  }
  api_key key;
  key.name = "ann";
  key.created = 1'795'219'200;
  key.tokens_per_day = 1'000;
  api_key_table table;
  EXPECT_EQ(table.add(key, secret, with).value(),
            "sk-ovir-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
  EXPECT_EQ(table.text(), R"({
  "keys": [
    {
      "concurrent": 0,
      "created": 1795219200,
      "hash": "7aba32d6cfc1729ca7eea48bbabeaeb09483b8a4131d9b3f41a425f28ec14f9c",
      "id": "7aba32d6cfc1729c",
      "name": "ann",
      "requests_per_minute": 0,
      "reveal": "at_once",
      "revoked": 0,
      "roles": [
        "infer"
      ],
      "tokens_per_day": 1000
    }
  ],
  "version": 1
}
)");
}

TEST(gateway_golden, an_event_of_a_stream) {
  answer_shape shape;
  shape.kind = api_kind::chat;
  shape.id = request_id{0x00f3a1c2d4e5b697};
  shape.answers = {shape.id};
  shape.model = "m";
  shape.fingerprint = "f";
  shape.created = 7;
  shape.stream = true;
  answer_writer writer{shape};
  EXPECT_EQ(writer.on_token(0, {0, {}, "Hi"}),
            "id: 00f3a1c2d4e5b697:1\n"
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\",\"role\":\"assistant\"},"
            "\"finish_reason\":null,\"index\":0,\"logprobs\":null}],\"created\":7,"
            "\"id\":\"chatcmpl-00f3a1c2d4e5b697\",\"model\":\"m\","
            "\"object\":\"chat.completion.chunk\",\"system_fingerprint\":\"f\"}\n\n");
}

} // namespace
} // namespace ovir::gateway
