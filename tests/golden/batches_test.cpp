// Bytes of docs/formats/batches.md. Seals and the id were computed by docs/proofs/blake3.py.
#include "gateway/batches/batch_lines.hpp"
#include "gateway/batches/batch_record.hpp"

#include <gtest/gtest.h>

namespace ovir::gateway {
namespace {

constexpr auto batch_name = "batch_00112233445566778899aabbccddeeff";

TEST(batches_golden, a_record_of_a_file) {
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

TEST(batches_golden, a_record_of_a_batch) {
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

TEST(batches_golden, lines_of_answers_and_errors) {
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
