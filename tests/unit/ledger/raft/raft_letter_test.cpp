#include "ledger/raft/letter.hpp"
#include "messages/limits/raft.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::raft {
namespace {

using testing::HasSubstr;

std::vector<std::byte> some(std::size_t size) { return std::vector<std::byte>(size, std::byte{7}); }

std::vector<letter> one_of_each() {
  return {
      append_entries{5, 0, 0, 1, {{1, entry_kind::servers, {}}}},
      append_entries{5, 7, 3, 6, {{3, entry_kind::command, some(9)}, {5, entry_kind::barrier, {}}}},
      append_entries{5, 7, 3, 6, {}},
      appended{5, 0, 9},
      vote_request{6, 9, 5, true},
      vote_answer{6, true, false},
      install_snapshot{5, {4, 2, some(33)}},
      ask_standing{77},
      standing{77, 5, 9, 5}};
}

TEST(raft_letter, reads_back_as_it_was_written) {
  for (const letter& what : one_of_each()) {
    const auto back = letter_from(to_bytes(what));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, what);
  }
}

TEST(raft_letter, is_refused_when_bytes_are_missing_or_too_many) {
  for (const letter& what : one_of_each()) {
    std::vector<std::byte> bytes = to_bytes(what);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(letter_from(std::span{bytes}.first(size))) << what.index() << " " << size;
    }
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(letter_from(bytes)) << what.index();
  }
}

TEST(raft_letter, with_a_flipped_bit_is_refused_or_another_letter) {
  for (const letter& what : one_of_each()) {
    const std::vector<std::byte> bytes = to_bytes(what);
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      std::vector<std::byte> flipped = bytes;
      flipped[bit / 8] ^= std::byte{1} << (bit % 8);
      if (const auto back = letter_from(flipped)) {
        EXPECT_NE(*back, what) << bit;
        EXPECT_EQ(to_bytes(*back), flipped) << bit; // one encoding for each letter
      }
    }
  }
}

void expect_refused(const letter& what, std::string_view why) {
  const auto back = letter_from(to_bytes(what));
  ASSERT_FALSE(back);
  EXPECT_THAT(back.error().message, HasSubstr(why));
}

TEST(raft_letter, is_refused_when_its_numbers_contradict_each_other) {
  expect_refused(append_entries{0, 0, 0, 0, {}}, "term");
  expect_refused(append_entries{limits::raft_term_max + 1, 0, 0, 0, {}}, "term");
  expect_refused(append_entries{5, 7, 0, 0, {}}, "index");
  expect_refused(append_entries{5, 0, 3, 0, {}}, "index");
  expect_refused(append_entries{5, 7, 6, 0, {}}, "index");
  expect_refused(append_entries{5, 7, 3, 0, {{2, entry_kind::barrier, {}}}}, "terms fall");
  expect_refused(append_entries{5, 7, 3, 0, {{6, entry_kind::barrier, {}}}}, "terms fall");
  expect_refused(
      append_entries{5, 7, 3, 0, {{4, entry_kind::barrier, {}}, {3, entry_kind::barrier, {}}}},
      "terms fall");
  expect_refused(append_entries{5, 7, 3, 0, {{4, entry_kind::servers, {}}}}, "entry 1");
  expect_refused(append_entries{5, 0, 0, 0, {{4, entry_kind::barrier, {}}}}, "entry 1");
  expect_refused(append_entries{5, 7, 3, 0, {{4, entry_kind::command, {}}}}, "without bytes");
  expect_refused(append_entries{5, 7, 3, 0, {{4, entry_kind::barrier, some(1)}}}, "without bytes");
  expect_refused(append_entries{5, 7, 3, 0, {{4, static_cast<entry_kind>(4), {}}}}, "unknown kind");
  expect_refused(vote_request{4, 9, 5, false}, "index");
  expect_refused(install_snapshot{5, {0, 0, {}}}, "index");
  expect_refused(install_snapshot{5, {4, 6, {}}}, "index");
  expect_refused(standing{1, 4, 9, 5}, "index");
}

TEST(raft_letter, is_refused_beyond_its_bounds) {
  expect_refused(
      append_entries{
          5, 7, 3, 0, {{4, entry_kind::command, some(limits::raft_entry_bytes_max + 1)}}},
      "at most");
  expect_refused(append_entries{5, 7, 3, 0,
                                std::vector<entry>(limits::raft_letter_entries_max + 1,
                                                   {4, entry_kind::barrier, {}})},
                 "at most");
  expect_refused(install_snapshot{5, {4, 2, some(limits::raft_snapshot_bytes_max + 1)}}, "at most");
}

} // namespace
} // namespace ovir::raft
