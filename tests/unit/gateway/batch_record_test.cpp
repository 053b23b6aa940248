// Records of files and batches: the same again, or refused.
#include "gateway/batches/batch_record.hpp"
#include "messages/digest.hpp"

#include <gtest/gtest.h>

#include <span>
#include <utility>
#include <vector>

namespace ovir::gateway {
namespace {

stored_file file() {
  return {"file-00112233445566778899aabbccddeeff",
          "0123456789abcdef",
          "in \"a\".jsonl",
          "batch",
          17,
          1'795'219'200,
          1'797'811'200};
}

batch_record batch() {
  batch_record b;
  b.id = "batch_00112233445566778899aabbccddeeff";
  b.owner = "0123456789abcdef";
  b.endpoint = "/v1/completions";
  b.input = "file-00000000000000000000000000000001";
  b.output = "file-00000000000000000000000000000002";
  b.errors = "file-00000000000000000000000000000003";
  b.state = batch_state::cancelling;
  b.counts = {5, 2, 1};
  b.created = 1'795'219'200;
  b.expires = 1'795'305'600;
  b.output_life = 3'600;
  b.times = {{"in_progress", 1'795'219'201}, {"cancelling", 1'795'219'202}};
  b.metadata = {{"for", "ann"}};
  b.faults = {{"invalid_json_line", "the line: no", "body", 3}, {"x", "y"}};
  return b;
}

TEST(batch_record, is_read_as_it_was_written) {
  EXPECT_EQ(stored_file_from(text_of(file())).value(), file());
  EXPECT_EQ(batch_record_from(text_of(batch())).value(), batch());
}

TEST(batch_record, is_refused_when_any_byte_is_another) {
  const std::string whole = text_of(batch());
  for (std::size_t i = 0; i < whole.size(); i += 3) {
    std::string text = whole;
    text[i] = text[i] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(batch_record_from(text)) << i;
    EXPECT_FALSE(batch_record_from(whole.substr(0, i))) << i;
  }
  EXPECT_FALSE(batch_record_from(whole + "\n"));
  EXPECT_FALSE(stored_file_from(whole)) << "another title";
}

/// The same record with a seal of its own: what a record says is looked at, too.
TEST(batch_record, is_refused_when_it_says_what_none_says) {
  const auto sealed_again = [](std::string from, std::string to) {
    std::string text = text_of(batch());
    text = text.substr(0, text.size() - 65);
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    return text + to_hex(hash("ovir/batch-record/v1", std::as_bytes(std::span{text}))) + "\n";
  };
  EXPECT_TRUE(batch_record_from(sealed_again("ann", "bob")));
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"state\":\"cancelling\"", "\"state\":\"lost\""},
           {"/v1/completions", "/v1/account"},
           {"batch_0011", "batch_0011/../"},
           {"file-00000000000000000000000000000001", "../../etc/passwd"},
           {"\"total\":5", "\"total\":50001"},
           {"\"total\":5", "\"total\":5,\"more\":1"},
           {"\"total\":5", "\"total\": 5"},
           {"1795219201", "\"soon\""},
           {"\"in_progress\"", "\"in_time\""},
           {"\"ann\"", "7"}}) {
    EXPECT_FALSE(batch_record_from(sealed_again(from, to))) << to;
  }
}

TEST(batch_record, tells_clients_of_files_once_it_is_over) {
  batch_record b = batch();
  EXPECT_TRUE(json_of(b)["output_file_id"].is_null());
  EXPECT_EQ(json_of(b)["cancelling_at"], 1'795'219'202);
  EXPECT_EQ(json_of(b)["errors"]["data"][0]["line"], 3);
  b.state = batch_state::cancelled;
  EXPECT_EQ(json_of(b)["output_file_id"], b.output);
  b.counts.failed = 0;
  EXPECT_TRUE(json_of(b)["error_file_id"].is_null()) << "there is none";
  EXPECT_EQ(json_of(file())["filename"], "in \"a\".jsonl");
}

} // namespace
} // namespace ovir::gateway
