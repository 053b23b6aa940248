#include "actors/stage/boundary_log.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace ovir::actors {

TEST(boundary_log, gives_back_any_range_of_what_was_appended_in_any_pieces) {
  std::vector<float> all(7 * 3);
  std::iota(all.begin(), all.end(), 0.0F);
  boundary_log log = boundary_log::make(10, 3, 120).value();
  log.append(std::span{all}.first(6));
  log.append(std::span{all}.subspan(6));
  EXPECT_EQ(log.length(), 7U);
  const auto rows = log.rows(1, 4);
  EXPECT_TRUE(std::equal(rows.begin(), rows.end(), all.begin() + 3, all.begin() + 15));
  EXPECT_EQ(boundary_log{}.length(), 0U);
}

} // namespace ovir::actors
