#include "gateway/api/answer_shelf.hpp"
#include "messages/limits/gateway.hpp"

#include <gtest/gtest.h>

namespace ovir::gateway {
namespace {

TEST(answer_shelf, an_owner_finds_its_own_answers_alone) {
  answer_shelf shelf;
  shelf.keep("ann", request_id{1}, {"body", "[]"});
  ASSERT_NE(shelf.find("ann", request_id{1}), nullptr);
  EXPECT_EQ(shelf.find("ann", request_id{1})->body, "body");
  EXPECT_EQ(shelf.find("bob", request_id{1}), nullptr);
  EXPECT_FALSE(shelf.drop("bob", request_id{1}));
  EXPECT_TRUE(shelf.of("bob")->empty());
}

TEST(answer_shelf, what_was_shared_does_not_change) {
  answer_shelf shelf;
  shelf.keep("ann", request_id{1}, {"body", "[]"});
  const auto before = shelf.of("ann");
  shelf.keep("ann", request_id{2}, {"other", "[]"});
  EXPECT_TRUE(shelf.drop("ann", request_id{1}));
  EXPECT_EQ(before->size(), 1U);
  EXPECT_TRUE(before->contains(request_id{1}));
  EXPECT_EQ(shelf.size(), 1U);
}

TEST(answer_shelf, the_oldest_make_room_when_there_are_too_many) {
  answer_shelf shelf;
  for (std::uint64_t i = 1; i <= limits::api_answers_kept_max + 1; ++i) {
    shelf.keep(i % 2 == 0 ? "ann" : "bob", request_id{i}, {"b", "c"});
  }
  EXPECT_EQ(shelf.size(), limits::api_answers_kept_max);
  EXPECT_EQ(shelf.find("bob", request_id{1}), nullptr);
  EXPECT_NE(shelf.find("ann", request_id{2}), nullptr);
}

TEST(answer_shelf, the_oldest_make_room_when_they_are_too_large_and_one_that_is_is_not_kept) {
  answer_shelf shelf;
  const std::string large(limits::api_answer_bytes_max - 1, 'x');
  const std::size_t room = limits::api_answers_bytes_max / limits::api_answer_bytes_max;
  for (std::uint64_t i = 1; i <= room + 1; ++i) {
    shelf.keep("ann", request_id{i}, {large, "y"});
    EXPECT_LE(shelf.bytes(), limits::api_answers_bytes_max);
  }
  EXPECT_EQ(shelf.size(), room);
  shelf.keep("ann", request_id{99}, {large, "yz"});
  EXPECT_EQ(shelf.find("ann", request_id{99}), nullptr);
  EXPECT_EQ(shelf.size(), room);
}

TEST(answer_shelf, an_answer_that_is_told_again_takes_the_place_of_itself) {
  answer_shelf shelf;
  shelf.keep("ann", request_id{1}, {"body", "[]"});
  shelf.keep("ann", request_id{1}, {"again", "[]"});
  EXPECT_EQ(shelf.size(), 1U);
  EXPECT_EQ(shelf.bytes(), 7U);
  EXPECT_EQ(shelf.find("ann", request_id{1})->body, "again");
}

} // namespace
} // namespace ovir::gateway
