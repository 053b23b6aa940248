#include "apps/ovir/shell/why_text.hpp"

#include <gmock/gmock.h>

namespace ovir::apps {
namespace {

json stage(const char* name, unsigned first, unsigned last, double ms) {
  return {{"name", name}, {"first_layer", first}, {"last_layer", last}, {"ms", ms}};
}

TEST(why_text, draws_where_the_time_of_a_token_goes) {
  const json pace{{"token_ms", 50.0},
                  {"planned_ms", 40.0},
                  {"stages", {stage("a", 0, 3, 10), stage("bee", 4, 7, 32)}},
                  {"left_ms", 12'000.0},
                  {"needed_ms", 9'000.0}};
  EXPECT_EQ(why_text({{"job", {{"pace", pace}}}}),
            "a token takes 50.0 ms; 40.0 ms were planned (+25 %)\n"
            "a 0-3          10.0 ms  ████████████▌\n"
            "bee 4-7        32.0 ms  ████████████████████████████████████████\n"
            "scheduler       8.0 ms  ██████████\n"
            "deadline: 12.0 s are left and 9.0 s needed at this pace: 3.0 s of slack\n");
}

TEST(why_text, says_when_a_deadline_will_be_missed) {
  const json pace{{"token_ms", 50.0}, {"left_ms", 1'000.0}, {"needed_ms", 9'000.0}};
  EXPECT_EQ(why_text({{"job", {{"pace", pace}}}}),
            "a token takes 50.0 ms\n"
            "deadline: 1.0 s are left and 9.0 s needed at this pace: it will be missed\n");
}

TEST(why_text, says_when_nothing_is_known_whatever_the_document_is) {
  const json odd[] = {json{}, json{{"job", 3}}, json{{"job", {{"pace", nullptr}}}},
                      json{{"job", {{"pace", {{"token_ms", "x"}}}}}}, json::array()};
  for (const json& one : odd) {
    EXPECT_THAT(why_text(one), testing::HasSubstr("nothing was seen of it yet")) << one;
  }
  const json stages{{"token_ms", 5}, {"stages", {7, nullptr, {{"ms", -3}}, {{"name", {}}}}}};
  EXPECT_THAT(why_text({{"job", {{"pace", stages}}}}), testing::HasSubstr("a token takes 5.0 ms"));
}

} // namespace
} // namespace ovir::apps
