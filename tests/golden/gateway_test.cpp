// Bytes of docs/formats/api-keys.md, docs/formats/http.md and docs/formats/batches.md. The hash was
// computed by Python's hashlib.
#include "gateway/access/api_keys.hpp"
#include "gateway/api/answer_writer.hpp"
#include "gateway/batches/batch_lines.hpp"
#include "gateway/batches/batch_record.hpp"

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

// Seals and the id of a request were computed by blake3.py of docs/proofs.
constexpr auto batch_name = "batch_00112233445566778899aabbccddeeff";

TEST(gateway_golden, a_record_of_a_file) {
  const stored_file file{"file-00112233445566778899aabbccddeeff",
                         "7aba32d6cfc1729c",
                         "in.jsonl",
                         "batch",
                         17,
                         1'795'219'200,
                         1'797'811'200};
  EXPECT_EQ(text_of(file), "ovir-file-v1\n"
                           R"({"bytes":17,"created":1795219200,"expires":1797811200,)"
                           R"("id":"file-00112233445566778899aabbccddeeff","name":"in.jsonl",)"
                           R"("owner":"7aba32d6cfc1729c","purpose":"batch"})"
                           "\nd9839c1da4b7a70743405f6f04f4f247d2dd354992b1fc50cc790a0a34759aa9\n");
}

TEST(gateway_golden, a_record_of_a_batch) {
  batch_record b;
  b.id = batch_name;
  b.owner = "7aba32d6cfc1729c";
  b.endpoint = "/v1/completions";
  b.input = "file-00000000000000000000000000000001";
  b.output = "file-00000000000000000000000000000002";
  b.errors = "file-00000000000000000000000000000003";
  b.state = batch_state::in_progress;
  b.counts.total = 5;
  b.created = 1'795'219'200;
  b.expires = 1'795'305'600;
  b.output_life = 3'600;
  b.times = {{"in_progress", 1'795'219'201}};
  b.metadata = {{"for", "ann"}};
  EXPECT_EQ(text_of(b), "ovir-batch-v1\n"
                        R"({"completed":0,"created":1795219200,"endpoint":"/v1/completions",)"
                        R"("errors":"file-00000000000000000000000000000003",)"
                        R"("expires":1795305600,"failed":0,"faults":[],)"
                        R"("id":"batch_00112233445566778899aabbccddeeff",)"
                        R"("input":"file-00000000000000000000000000000001",)"
                        R"("metadata":{"for":"ann"},)"
                        R"("output":"file-00000000000000000000000000000002","output_life":3600,)"
                        R"("owner":"7aba32d6cfc1729c","state":"in_progress",)"
                        R"("times":{"in_progress":1795219201},"total":5})"
                        "\nd7115689713cf604b85904a1f020e0c1e205876396509b5f4592b0a82bf33404\n");
}

TEST(gateway_golden, lines_of_answers_and_errors) {
  http_reply reply;
  reply.body = R"({"object":"text_completion"})";
  EXPECT_EQ(answered_line(batch_name, 12, "a", reply),
            R"({"id":"batch_req_00112233445566778899aabbccddeeff_12","custom_id":"a",)"
            R"("response":{"status_code":200,"request_id":"e2c8202adfbf72e9",)"
            R"("body":{"object":"text_completion"}},"error":null})"
            "\n");
  EXPECT_EQ(unanswered_line(batch_name, 0, "b", "batch_expired", "too late"),
            R"({"id":"batch_req_00112233445566778899aabbccddeeff_0","custom_id":"b",)"
            R"("response":null,"error":{"code":"batch_expired","message":"too late"}})"
            "\n");
}

} // namespace
} // namespace ovir::gateway
