#include "gateway/api/tool_call_reader.hpp"

#include <gtest/gtest.h>

namespace ovir::gateway {
namespace {

struct heard {
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls; ///< name and arguments
};

void take(heard& all, const tool_call_reader::pieces& pieces) {
  all.content += pieces.content;
  for (const auto& piece : pieces.calls) {
    if (!piece.name.empty()) {
      EXPECT_EQ(piece.call, all.calls.size());
      all.calls.emplace_back(piece.name, "");
    }
    ASSERT_EQ(piece.call + 1, all.calls.size());
    all.calls.back().second += piece.arguments;
  }
}

/// The same whatever the pieces are that it comes in.
heard read(const std::string& text, std::size_t step) {
  tool_call_reader reader;
  heard all;
  for (std::size_t at = 0; at < text.size(); at += step) {
    take(all, reader.add(text.substr(at, step)));
  }
  take(all, reader.finish());
  return all;
}

const std::string one =
    "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":{\"b\":\"}\"}}}\n</tool_call>";
const std::string two = "<tool_call>\n{\"name\": \"g-2\", \"arguments\": []}\n</tool_call>";

TEST(tool_call_reader, finds_calls_behind_text_however_it_comes) {
  for (std::size_t step = 1; step < 40; ++step) {
    const heard all = read("Let me <tool see.\n" + one + "\n" + two, step);
    EXPECT_EQ(all.content, "Let me <tool see.\n") << step;
    ASSERT_EQ(all.calls.size(), 2U) << step;
    EXPECT_EQ(all.calls[0], (std::pair<std::string, std::string>{"f", "{\"a\":{\"b\":\"}\"}}"}));
    EXPECT_EQ(all.calls[1], (std::pair<std::string, std::string>{"g-2", "[]"}));
  }
}

TEST(tool_call_reader, text_alone_is_text) {
  for (std::size_t step = 1; step < 9; ++step) {
    EXPECT_EQ(read("a < b <tool_cal", step).content, "a < b <tool_cal");
    EXPECT_TRUE(read("a < b <tool_cal", step).calls.empty());
  }
}

TEST(tool_call_reader, a_call_that_was_cut_off_has_what_there_was) {
  for (std::size_t step = 1; step < 9; ++step) {
    const heard all = read(one.substr(0, one.size() - 20), step);
    ASSERT_EQ(all.calls.size(), 1U);
    EXPECT_TRUE(std::string{"{\"a\":{\"b\":\"}\"}}"}.starts_with(all.calls[0].second));
    EXPECT_FALSE(all.calls[0].second.empty());
    EXPECT_TRUE(read("<tool_call>\n{\"name\": \"f", step).calls.empty());
  }
}

} // namespace
} // namespace ovir::gateway
