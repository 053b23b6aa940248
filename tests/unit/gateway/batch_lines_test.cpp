// Lines of batches: which are requests, and what an output says of them.
#include "gateway/batches/batch_lines.hpp"
#include "gateway/http/bounded_json.hpp"
#include "messages/limits/batches.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::gateway {
namespace {

constexpr std::string_view endpoint_path = "/v1/completions";
constexpr std::string_view batch_id = "batch_00112233445566778899aabbccddeeff";

std::string line(const std::string& name, const std::string& body = "{}") {
  return fmt::format(R"({{"custom_id": "{}", "method": "POST", "url": "{}", "body": {}}})", name,
                     endpoint_path, body);
}
std::string fault_in(const std::string& text) {
  const auto read = batch_line_from(text, endpoint_path, 4);
  const auto* const fault = std::get_if<batch_fault>(&read);
  return fault == nullptr ? "" : fault->code + " " + fault->param;
}

TEST(batch_line, keeps_the_order_of_its_body) {
  const auto read = batch_line_from(
      line("a", R"({"z": 1, "a": {"y": 0.5, "b": 18446744073709551615}})"), endpoint_path, 1);
  ASSERT_TRUE(std::holds_alternative<batch_line>(read));
  EXPECT_EQ(std::get<batch_line>(read).body, R"({"z":1,"a":{"y":0.5,"b":18446744073709551615}})");
  EXPECT_EQ(std::get<batch_line>(read).name, "a");
}

TEST(batch_line, says_what_is_wrong_with_it) {
  EXPECT_EQ(fault_in(line("a")), "");
  EXPECT_EQ(fault_in(line("a", R"({"stream": false})")), "");
  EXPECT_EQ(fault_in(line("a", R"({"stream": true})")), "invalid_value body.stream");
  EXPECT_EQ(fault_in(line("a", "[]")), "invalid_value body");
  EXPECT_EQ(fault_in(line("")), "invalid_value custom_id");
  EXPECT_EQ(fault_in(line(std::string(limits::batch_name_bytes_max + 1, 'x'))),
            "invalid_value custom_id");
  EXPECT_EQ(fault_in("{"), "invalid_json_line ");
  EXPECT_EQ(fault_in(""), "invalid_json_line ");
  EXPECT_EQ(
      fault_in(R"({"custom_id": "a", "method": "GET", "url": "/v1/completions", "body": {}})"),
      "invalid_value method");
  EXPECT_EQ(fault_in(R"({"custom_id": "a", "method": "POST", "url": "/v1/models", "body": {}})"),
            "invalid_value url");
  EXPECT_EQ(fault_in(R"({"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {},
                         "more": 1})"),
            "unknown_parameter more");
  EXPECT_EQ(fault_in(line("a", "\"" + std::string(limits::batch_line_bytes_max, 'x') + "\"")),
            "line_too_long ");
}

TEST(line_scan, finds_lines_in_steps_of_any_size) {
  const std::string input = line("a") + "\n" + line("b") + "\r\n" + line("c");
  for (std::size_t bytes = 1; bytes <= input.size(); bytes += 7) {
    line_scan scan{std::string{endpoint_path}};
    while (!scan.step(input, bytes)) {
    }
    ASSERT_EQ(scan.lines(), 3U) << bytes;
    EXPECT_TRUE(scan.faults().empty());
    EXPECT_EQ(scan.line(input, 0), line("a"));
    EXPECT_EQ(scan.line(input, 2), line("c"));
  }
}

TEST(line_scan, refuses_a_name_that_is_twice_and_lines_that_are_too_many) {
  line_scan twice{std::string{endpoint_path}};
  EXPECT_TRUE(twice.step(line("a") + "\n" + line("a") + "\n\n", 1'000'000));
  ASSERT_EQ(twice.faults().size(), 2U);
  EXPECT_EQ(twice.faults()[0].code, "duplicate_custom_id");
  EXPECT_EQ(twice.faults()[0].line, 2U);
  EXPECT_EQ(twice.faults()[1].line, 3U) << "an empty line is none";
  std::string faulty;
  for (std::size_t i = 0; i < 2 * limits::batch_faults_max; ++i) {
    faulty += "{\n";
  }
  line_scan much{std::string{endpoint_path}};
  EXPECT_TRUE(much.step(faulty, 1'000'000));
  EXPECT_TRUE(much.step(faulty, 1'000'000));
  EXPECT_EQ(much.faults().size(), limits::batch_faults_max) << "also when it is asked again";
  std::string many;
  for (std::uint32_t i = 0; i <= limits::batch_lines_max; ++i) {
    many += line(fmt::format("{}", i)) + "\n";
  }
  line_scan large{std::string{endpoint_path}};
  while (!large.step(many, 1U << 20U)) {
  }
  ASSERT_EQ(large.faults().size(), 1U);
  EXPECT_EQ(large.faults()[0].code, "too_many_lines");
}

TEST(batch_output, says_which_lines_it_has_and_where_it_was_torn) {
  http_reply reply;
  reply.status = 400;
  reply.body = R"({"error":{}})";
  const std::string first = answered_line(batch_id, 12, "na\"me", reply);
  const std::string second = unanswered_line(batch_id, 3, "b", "batch_expired", "too late");
  const json told = json::parse(first);
  EXPECT_EQ(told["custom_id"], "na\"me");
  EXPECT_EQ(told["response"]["status_code"], 400);
  EXPECT_EQ(told["response"]["body"], json::parse(reply.body));
  EXPECT_EQ(json::parse(second)["error"]["code"], "batch_expired");
  const std::string both = first + second;
  for (std::size_t cut = 0; cut <= both.size(); ++cut) {
    const auto lines = written_lines_from(std::string_view{both}.substr(0, cut), batch_id);
    ASSERT_TRUE(lines) << cut;
    const std::size_t whole = cut == both.size() ? 2 : cut >= first.size() ? 1 : 0;
    EXPECT_EQ(lines->indexes.size(), whole) << cut;
    EXPECT_EQ(lines->bytes, whole == 2 ? both.size() : whole * first.size());
  }
  EXPECT_EQ(written_lines_from(both, batch_id)->indexes, (std::vector<std::uint32_t>{12, 3}));
  EXPECT_FALSE(written_lines_from(both, "batch_ff112233445566778899aabbccddeeff"));
  EXPECT_FALSE(written_lines_from("\n", batch_id));
}

TEST(batch_output, names_a_line_the_same_each_time_and_no_two_the_same) {
  EXPECT_EQ(request_of_line(batch_id, 7), request_of_line(batch_id, 7));
  EXPECT_NE(request_of_line(batch_id, 7), request_of_line(batch_id, 8));
  EXPECT_NE(request_of_line(batch_id, 7), request_of_line("batch_other", 7));
}

} // namespace
} // namespace ovir::gateway
