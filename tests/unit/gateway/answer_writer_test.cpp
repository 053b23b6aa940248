#include "gateway/api/answer_writer.hpp"
#include "gateway/http/bounded_json.hpp"

#include <gtest/gtest.h>

#include <utility>

namespace ovir::gateway {
namespace {

answer_shape shape_of(api_kind kind, std::size_t answers, bool stream) {
  answer_shape shape;
  shape.kind = kind;
  shape.id = request_id{0xabc};
  for (std::size_t i = 0; i < answers; ++i) {
    shape.answers.push_back(request_id{0xabc + i});
  }
  shape.model = std::string{"m"};
  shape.prompt_tokens = 5;
  shape.stream = stream;
  shape.include_usage = stream;
  return shape;
}

generation_outcome outcome_of(std::string text, std::uint32_t tokens) {
  return {finish_reason::stop, tokens, std::move(text), {}};
}

/// The events of a stream: their ids and documents.
std::vector<std::pair<std::string, json>> events_of(const std::string& stream) {
  std::vector<std::pair<std::string, json>> events;
  std::string id;
  std::size_t at = 0;
  while (at < stream.size()) {
    const std::size_t end = stream.find('\n', at);
    const std::string line = stream.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("id: ")) {
      id = line.substr(4);
    } else if (line.starts_with("data: ")) {
      const std::string data = line.substr(6);
      events.emplace_back(id, data == "[DONE]" ? json(data) : json::parse(data));
    }
  }
  return events;
}

/// A whole stream of two answers, as a client sees it that has `received` already.
std::string stream_of(std::vector<std::uint32_t> received) {
  answer_writer writer{shape_of(api_kind::chat, 2, true), std::move(received)};
  std::string all;
  all += writer.on_token(0, {0, {}, "a"});
  all += writer.on_token(1, {0, {}, "x"});
  all += writer.on_token(0, {1, {}, "b"});
  all += writer.on_end(0, outcome_of("abc", 3));
  all += writer.on_token(1, {1, {}, ""});
  all += writer.on_end(1, outcome_of("xy", 2));
  return all;
}

TEST(answer_writer, a_stream_says_every_token_with_the_place_it_leads_to) {
  const auto events = events_of(stream_of({}));
  ASSERT_EQ(events.size(), 8U);
  std::vector<std::string> ids;
  ids.reserve(events.size());
  for (const auto& [id, data] : events) {
    ids.push_back(id.substr(17));
  }
  EXPECT_EQ(ids,
            (std::vector<std::string>{"1,0", "1,1", "2,1", "3,1", "3,2", "3,3", "3,3", "3,3"}));
  EXPECT_EQ(events[0].second["choices"][0]["delta"],
            (json{{"role", "assistant"}, {"content", "a"}}));
  EXPECT_EQ(events[2].second["choices"][0]["delta"], (json{{"content", "b"}}));
  EXPECT_EQ(events[3].second["choices"][0]["delta"],
            (json{{"content", "c"}})); // held back till then
  EXPECT_EQ(events[3].second["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events[6].second["usage"]["completion_tokens"], 5);
  EXPECT_EQ(events[6].second["choices"], json::array());
  EXPECT_EQ(events[7].second, "[DONE]");
}

TEST(answer_writer, whoever_comes_back_at_any_event_gets_exactly_the_rest) {
  const auto all = events_of(stream_of({}));
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    const event_id last = event_id_from(all[i].first).value();
    ASSERT_TRUE(answer_writer::fits(shape_of(api_kind::chat, 2, true), last));
    auto rest = events_of(stream_of(last.received));
    // Tokens of different answers may come in another order; each answer's must not.
    for (const std::uint32_t answer : {0U, 1U}) {
      std::vector<json> expected;
      std::vector<json> got;
      for (std::size_t j = i + 1; j < all.size(); ++j) {
        if (all[j].second.is_object() && !all[j].second["choices"].empty() &&
            all[j].second["choices"][0]["index"] == answer) {
          expected.push_back(all[j].second);
        }
      }
      for (const auto& [id, data] : rest) {
        if (data.is_object() && !data["choices"].empty() && data["choices"][0]["index"] == answer) {
          got.push_back(data);
        }
      }
      EXPECT_EQ(got, expected) << "after event " << i << ", answer " << answer;
    }
    EXPECT_EQ(rest.back().second, "[DONE]");
  }
}

TEST(answer_writer, a_body_has_every_answer_its_text_and_the_usage) {
  answer_writer writer{shape_of(api_kind::completion, 2, false)};
  EXPECT_EQ(writer.on_token(0, {0, {}, "a"}), "");
  EXPECT_EQ(writer.on_end(0, outcome_of("a", 1)), "");
  EXPECT_FALSE(writer.over());
  EXPECT_EQ(writer.on_end(1, {finish_reason::length, 4, "four", {}}), "");
  ASSERT_TRUE(writer.over());
  const json body = json::parse(writer.body());
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_EQ(body["id"], "cmpl-0000000000000abc");
  EXPECT_EQ(body["choices"][0]["text"], "a");
  EXPECT_EQ(body["choices"][1]["finish_reason"], "length");
  EXPECT_EQ(body["choices"][1]["ovir"]["request"], "0000000000000abd");
  EXPECT_EQ(body["usage"], (json{{"prompt_tokens", 5},
                                 {"completion_tokens", 5},
                                 {"total_tokens", 10},
                                 {"prompt_tokens_details", {{"cached_tokens", 0}}}}));
}

TEST(answer_writer, an_event_of_another_request_fits_nowhere) {
  const answer_shape shape = shape_of(api_kind::chat, 2, true);
  EXPECT_FALSE(answer_writer::fits(shape, {request_id{1}, {0, 0}}));
  EXPECT_FALSE(answer_writer::fits(shape, {shape.id, {0}}));
}

TEST(event_id, is_read_as_it_was_written_and_nothing_else_is) {
  const event_id id{request_id{0xfeed}, {3, 0, 12}};
  EXPECT_EQ(to_text(id), "000000000000feed:3,0,12");
  EXPECT_EQ(event_id_from(to_text(id)).value(), id);
  for (const char* wrong :
       {"", "feed:1", "000000000000feed", "000000000000feed:", "000000000000feed:1,",
        "000000000000feed:,1", "000000000000feed:01", "000000000000feed:-1", "000000000000FEED:1",
        "0000000000000000:1", "000000000000feed:1 ", "000000000000feed:9999999999",
        "000000000000feed:1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"}) {
    EXPECT_FALSE(event_id_from(wrong)) << wrong;
  }
}

} // namespace
} // namespace ovir::gateway
