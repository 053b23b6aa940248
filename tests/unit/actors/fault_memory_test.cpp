#include "actors/path/fault_memory.hpp"
#include "messages/limits/paths.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

node_id faulty_node(std::uint32_t number) {
  node_id id;
  id.key[0] = static_cast<std::uint8_t>(number);
  id.key[1] = static_cast<std::uint8_t>(number >> 8U);
  return id;
}

constexpr fault_memory::time_point start{std::chrono::hours{1}};

TEST(fault_memory, adds_up_to_a_bound_and_fades) {
  fault_memory memory;
  EXPECT_EQ(memory.level(faulty_node(1), start), 0U);
  memory.note(faulty_node(1), limits::fault_weight, start);
  EXPECT_EQ(memory.level(faulty_node(1), start), limits::fault_weight);
  EXPECT_EQ(memory.level(faulty_node(2), start), 0U);
  EXPECT_EQ(memory.level(faulty_node(1), start + limits::fault_decay), limits::fault_weight - 1);
  for (int i = 0; i < 10; ++i) {
    memory.note(faulty_node(1), limits::fault_weight, start);
  }
  EXPECT_EQ(memory.level(faulty_node(1), start), limits::fault_level_max);
  EXPECT_EQ(memory.level(faulty_node(1), start + limits::fault_level_max * limits::fault_decay),
            0U);
  EXPECT_EQ(memory.level(faulty_node(1), start - limits::fault_decay), limits::fault_level_max)
      << "a clock that went back forgives nothing";
}

TEST(fault_memory, remembers_a_bounded_number_and_the_worst_of_them) {
  fault_memory memory;
  memory.note(faulty_node(0), limits::fault_level_max, start);
  for (std::uint32_t i = 1; i < 1'000; ++i) {
    memory.note(faulty_node(i), 1, start);
  }
  EXPECT_EQ(memory.size(), limits::fault_nodes_max);
  EXPECT_EQ(memory.level(faulty_node(0), start), limits::fault_level_max);
  memory.note(faulty_node(0), 1, start + 2 * limits::fault_decay);
  EXPECT_EQ(memory.size(), 1U) << "what faded makes room";
}

} // namespace
} // namespace ovir::actors
