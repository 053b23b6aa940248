#include "gateway/api/embedding_json.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace ovir::gateway {
namespace {

TEST(embedding_json, is_a_list_of_the_same_numbers) {
  const std::vector<float> vector{0.1F, -1, 0x1.fffffep-4F};
  const json list = json::parse(embedding_json(vector, false).dump());
  ASSERT_EQ(list.size(), 3U);
  for (std::size_t i = 0; i < vector.size(); ++i) {
    EXPECT_EQ(list[i].get<double>(), static_cast<double>(vector[i]));
  }
}

TEST(embedding_json, is_the_base64_of_little_endian_numbers) {
  EXPECT_EQ(embedding_json(std::vector<float>{1}, true), "AACAPw==");
  EXPECT_EQ(embedding_json(std::vector<float>{1, -2}, true), "AACAPwAAAMA=");
  EXPECT_EQ(embedding_json(std::vector<float>{1, -2, 0.5F}, true), "AACAPwAAAMAAAAA/");
}

} // namespace
} // namespace ovir::gateway
