// HTTP clients that mean no good: whatever they send, they get the right status, cost next to
// nothing, and an honest client is served beside them.
#include "messages/limits/gateway.hpp"
#include "tests/hostile/hostile_gateway.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>

namespace ovir::test {
namespace {

using testing::HasSubstr;

/// Answers that cannot end before hundreds of tokens were drawn, whatever chance says: what they
/// must be has so many items.
std::string long_body(int answers) {
  return fmt::format(R"({{"model": "embedded", "prompt": "Once", "max_tokens": 500, "stream": true,
      "temperature": 2, "n": {}, "response_format": {{"type": "json_schema", "json_schema": {{
      "name": "long", "schema": {{"type": "array", "items": {{"type": "boolean"}},
      "minItems": 90}}}}}}}})",
                     answers);
}

class hostile_http : public hostile_gateway {};

TEST_F(hostile_http, bytes_that_are_no_request_are_refused) {
  for (const std::string bytes :
       {"\r\n\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\nHost: localhost\n\n",
        "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x01\x01\xfc\x03\x03",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n", "GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nA: \x7f\x00\r\n\r\n"}) {
    http_socket socket{port_};
    socket.send(bytes);
    socket.send("\r\n\r\n");
    const int status = socket.answer().status;
    EXPECT_TRUE(status == 400 || status == 505 || status == 408) << status << " for " << bytes;
  }
}

TEST_F(hostile_http,
       a_request_whose_end_is_a_matter_of_opinion_is_refused_and_nothing_behind_it_read) {
  const std::string smuggled = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const std::string line = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                           "Content-Type: application/json\r\n";
  for (const std::string fields :
       {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n", "Content-Length: +5\r\n", "Content-Length: 0x5\r\n",
        "Content-Length: -1\r\n", "Content-Length: 18446744073709551617\r\n",
        "Transfer-Encoding: identity\r\n", "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: \x0b"
        "chunked\r\n",
        "Host: localhost\r\nContent-Length: 5\r\n"}) {
    http_socket socket{port_};
    socket.send(line + fields + "\r\n" + "0\r\n\r\n" + smuggled);
    const std::string all = socket.read_to_end().value_or("still open");
    EXPECT_THAT(all, testing::StartsWith("HTTP/1.1 4")) << fields;
    EXPECT_EQ(all.find("\"status\""), std::string::npos) << "smuggled: " << fields << all;
    EXPECT_EQ(all.find("HTTP/1.1", 1), std::string::npos) << "two answers: " << fields << all;
  }
  EXPECT_EQ(status_of("POST /v1/completions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"
                      "Content-Type: application/json\r\n\r\n0\r\n\r\n"),
            400);
  EXPECT_EQ(status_of("GET /health HTTP/1.1\r\n\r\n"), 400) << "no Host";
}

TEST_F(hostile_http, what_is_too_large_is_refused_before_it_is_read) {
  EXPECT_EQ(status_of("GET /" + std::string(2'000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            414);
  EXPECT_EQ(status_of("GET /health HTTP/1.1\r\nHost: localhost\r\nA: " +
                      std::string(limits::http_header_bytes_max, 'a') + "\r\n\r\n"),
            431);
  std::string many = "GET /health HTTP/1.1\r\nHost: localhost\r\n";
  for (std::size_t i = 0; i <= limits::http_fields_max; ++i) {
    many += fmt::format("a{}: b\r\n", i);
  }
  EXPECT_EQ(status_of(many + "\r\n"), 431);
  EXPECT_EQ(status_of("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                      "application/json\r\nContent-Length: 1000000000000\r\n\r\n"),
            413);
  std::string chunks = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                       "application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 40; ++i) {
    chunks += "10000\r\n" + std::string(65'536, ' ') + "\r\n";
  }
  EXPECT_EQ(status_of(chunks), 413);
  EXPECT_EQ(status_of("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                      "application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "fffffffffffffffff\r\n"),
            400);
  const std::string deep(1'000'000, '[');
  EXPECT_EQ(http_ask(port_, "POST", "/v1/completions", deep).status, 400);
  std::string numbers = R"({"model": "embedded", "prompt": [1)";
  for (int i = 0; i < 500'000; ++i) {
    numbers += ",1";
  }
  EXPECT_EQ(http_ask(port_, "POST", "/v1/completions", numbers + "]}").status, 400);
}

TEST_F(hostile_http, who_sends_too_slowly_is_told_and_let_go) {
  http_socket head{port_};
  head.send("GET /health HTT");
  EXPECT_EQ(head.answer().status, 408);
  EXPECT_TRUE(head.read_to_end());
  http_socket body{port_};
  body.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: 100\r\n\r\n{");
  EXPECT_EQ(body.answer().status, 408);
  EXPECT_TRUE(body.read_to_end());
}

TEST_F(hostile_http, hundreds_of_idle_and_half_begun_connections_stop_nobody) {
  std::vector<http_socket> crowd;
  for (int i = 0; i < 400; ++i) { // ten times as many as there are places
    crowd.emplace_back(port_);
    if (i % 2 == 1) {
      crowd.back().send("POST /v1/completions HTTP/1.1\r\nHost");
    }
    if (i % 50 == 0) {
      expect_service();
    }
  }
  expect_service();
  EXPECT_LT(use_of_process(node_->id())->descriptors, 150U);
}

TEST_F(hostile_http, more_requests_than_there_may_be_are_refused_and_those_left_alone_make_room) {
  // With the slow kernels: what is to be left alone must not be over before.
  start_node({{"OVIR_ISA", "reference"}});
  std::vector<http_socket> busy;
  for (int i = 0; i < 4; ++i) {
    busy.emplace_back(port_);
    busy.back().send(http_text("POST", "/v1/completions", long_body(4)));
    (void)busy.back().read_until("data: "); // one that is only being read is not abandoned
  }
  EXPECT_EQ(metric("requests_under_way"), 4);
  const http_answer refused = http_ask(port_, "POST", "/v1/completions", honest_body);
  EXPECT_EQ(refused.status, 503) << refused.body;
  EXPECT_TRUE(refused.fields.contains("retry-after"));
  busy.clear(); // aborted: nobody will want the answers
  while (metric("requests_under_way") > 0) {
  }
  EXPECT_EQ(metric("requests_abandoned_total"), 4);
}

TEST_F(hostile_http, a_connection_more_than_there_may_be_is_told_so_and_one_that_ends_makes_room) {
  const auto config = folder_.path() / "node.toml";
  std::string text = read_file(config);
  text.replace(text.find("connections = 40"), 16, "connections = 3");
  write_file(config, text);
  start_node({{"OVIR_ISA", "reference"}});
  std::vector<http_socket> busy;
  for (int i = 0; i < 3; ++i) {
    busy.emplace_back(port_);
    busy.back().send(http_text("POST", "/v1/completions", long_body(4)));
    (void)busy.back().read_until("data: ");
  }
  std::vector<http_socket> more;
  more.reserve(200);
  for (int i = 0; i < 200; ++i) { // far more than are told
    more.emplace_back(port_);
  }
  for (std::size_t i = 0; i < 20; ++i) {
    more[i].send(http_text("POST", "/v1/completions", honest_body));
    const http_answer refused = more[i].answer();
    EXPECT_EQ(refused.status, 503) << refused.body;
    EXPECT_TRUE(refused.fields.contains("retry-after"));
    EXPECT_THAT(refused.body, HasSubstr("overloaded"));
    EXPECT_TRUE(more[i].read_to_end());
  }
  EXPECT_LT(use_of_process(node_->id())->descriptors, 150U);
  busy.pop_back();
  while (http_ask(port_, "GET", "/health").status != 200) {
  }
  busy.clear();
  while (metric("requests_under_way") > 0) {
  }
}

TEST_F(hostile_http, who_reads_nothing_is_let_go_and_costs_its_own_answer_alone) {
  http_socket asleep{port_, 4'096};
  asleep.send(http_text("POST", "/v1/completions", long_body(16)));
  (void)asleep.read_until("data: ");
  while (metric("connections") > 1) { // ours that asks
    expect_service();
  }
  EXPECT_EQ(asleep.answer().body.find("[DONE]"), std::string::npos);
}

TEST_F(hostile_http, requests_one_behind_the_other_are_answered_in_order_and_bounded) {
  http_socket socket{port_};
  std::string many;
  for (int i = 0; i < 50; ++i) {
    many += i % 2 == 0 ? http_text("GET", "/health") : http_text("GET", "/nowhere");
  }
  socket.send(many);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(socket.answer().status, i % 2 == 0 ? 200 : 404) << i;
  }
}

} // namespace
} // namespace ovir::test
