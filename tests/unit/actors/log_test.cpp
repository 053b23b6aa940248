#include "actors/runtime/log.hpp"

#include <gtest/gtest.h>

#include <string>

namespace ovir::actors {
namespace {

TEST(log, levels_are_words_in_order_of_weight) {
  for (const log_level level :
       {log_level::debug, log_level::info, log_level::warn, log_level::error}) {
    const auto again = log_level_from_text(to_string(level));
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, level);
  }
  EXPECT_LT(log_level::debug, log_level::info);
  EXPECT_LT(log_level::warn, log_level::error);
  const auto none = log_level_from_text("loud\x1b");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, errc::invalid_argument);
  EXPECT_EQ(none.error().message, "'loud\\x1b' is no log level; they are debug, info, warn, error");
}

TEST(log, passes_on_what_its_level_lets_through) {
  class memory final : public log {
  public:
    void write(log_level, std::optional<request_id>, std::string_view text) override {
      text_ += text;
    }
    [[nodiscard]] log_level level() const noexcept override { return level_; }
    void set_level(log_level level) noexcept override { level_ = level; }
    std::string text_;
    log_level level_{log_level::warn};
  };
  memory journal;
  journal.say(log_level::info, std::nullopt, "a{}", 1);
  journal.say(log_level::warn, std::nullopt, "b{}", 2);
  journal.set_level(log_level::info);
  journal.say(log_level::info, request_id{3}, "c{}", 3);
  EXPECT_EQ(journal.text_, "b2c3");
}

TEST(log, may_go_nowhere) {
  null_log nowhere;
  nowhere.set_level(log_level::debug);
  EXPECT_FALSE(nowhere.writes(log_level::warn));
  nowhere.say(log_level::error, request_id{1}, "{}", "unread");
}

} // namespace
} // namespace ovir::actors
