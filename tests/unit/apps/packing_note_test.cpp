#include "apps/packing_note.hpp"

#include <gtest/gtest.h>

namespace ovir::apps {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t mib = 1U << 20U;

TEST(packing_note, says_nothing_of_what_is_quick) {
  const storage::env::time_point start{};
  packing_note note{start};
  EXPECT_EQ(note.at(start, 0, 600 * mib), "");
  EXPECT_EQ(note.at(start + 999ms, 500 * mib, 600 * mib), "");
  EXPECT_EQ(note.at(start + 1'200ms, 600 * mib, 600 * mib), "") << "it is over";
}

TEST(packing_note, tells_each_second_how_far_it_is) {
  const storage::env::time_point start{};
  packing_note note{start};
  EXPECT_EQ(note.at(start + 1s, 300 * mib, 4'000 * mib), "packing weights: 300 of 4000 MiB\n");
  EXPECT_EQ(note.at(start + 1'500ms, 400 * mib, 4'000 * mib), "");
  EXPECT_EQ(note.at(start + 2'100ms, 700 * mib, 4'000 * mib), "packing weights: 700 of 4000 MiB\n");
}

} // namespace
} // namespace ovir::apps
