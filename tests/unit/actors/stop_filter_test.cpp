#include "actors/request/stop_filter.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {

TEST(stop_filter, passes_everything_without_stop_strings) {
  stop_filter f{{}};
  EXPECT_EQ(f.add("any"), "any");
  EXPECT_EQ(f.finish(), "");
}

TEST(stop_filter, cuts_before_the_first_stop_string) {
  stop_filter f{{"END", "STOP"}};
  EXPECT_EQ(f.add("a STOP b END"), "a ");
  EXPECT_TRUE(f.stopped());
  EXPECT_EQ(f.add("more"), "");
  EXPECT_EQ(f.finish(), "");
}

TEST(stop_filter, holds_back_what_may_be_the_beginning_of_one) {
  stop_filter f{{"\n\nUser:"}};
  EXPECT_EQ(f.add("hello\n"), "hello");
  EXPECT_EQ(f.add("\nUs"), "");
  EXPECT_EQ(f.add("e it"), "\n\nUse it");
  EXPECT_EQ(f.add("\n\nUser"), "");
  EXPECT_FALSE(f.stopped());
  EXPECT_EQ(f.add(":x"), "");
  EXPECT_TRUE(f.stopped());
}

TEST(stop_filter, gives_back_what_it_held_at_the_end) {
  stop_filter f{{"abc"}};
  EXPECT_EQ(f.add("xab"), "x");
  EXPECT_EQ(f.finish(), "ab");
}

TEST(stop_filter, finds_a_stop_string_that_overlaps_a_false_start) {
  stop_filter f{{"aab"}};
  EXPECT_EQ(f.add("aa"), "");
  EXPECT_EQ(f.add("ab"), "a");
  EXPECT_TRUE(f.stopped());
}

} // namespace ovir::actors
