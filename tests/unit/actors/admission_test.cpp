#include "actors/link/admission.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using answer = admission::answer;

TEST(admission, starts_then_queues_then_turns_away) {
  admission a{2, 1};
  EXPECT_EQ(a.submit(request_id{1}), answer::start);
  EXPECT_EQ(a.submit(request_id{2}), answer::start);
  EXPECT_EQ(a.submit(request_id{3}), answer::wait);
  EXPECT_EQ(a.submit(request_id{4}), answer::busy);
}

TEST(admission, gives_a_freed_place_to_whoever_waited_longest) {
  admission a{1, 2};
  (void)a.submit(request_id{1});
  (void)a.submit(request_id{2});
  (void)a.submit(request_id{3});
  EXPECT_EQ(a.done(request_id{1}), request_id{2});
  EXPECT_EQ(a.done(request_id{2}), request_id{3});
  EXPECT_EQ(a.done(request_id{3}), std::nullopt);
  EXPECT_EQ(a.active(), 0U);
}

TEST(admission, a_withdrawn_request_is_not_started) {
  admission a{1, 2};
  (void)a.submit(request_id{1});
  (void)a.submit(request_id{2});
  EXPECT_TRUE(a.withdraw(request_id{2}));
  EXPECT_FALSE(a.withdraw(request_id{1}));
  EXPECT_EQ(a.done(request_id{1}), std::nullopt);
}

TEST(admission, an_end_told_twice_frees_one_place_only) {
  admission a{1, 2};
  (void)a.submit(request_id{1});
  (void)a.submit(request_id{2});
  (void)a.submit(request_id{3});
  EXPECT_EQ(a.done(request_id{1}), request_id{2});
  EXPECT_EQ(a.done(request_id{1}), std::nullopt);
  EXPECT_EQ(a.active(), 1U);
}

} // namespace
} // namespace ovir::actors
