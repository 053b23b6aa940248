#include "compute/base/reserved_memory.hpp"
#include "messages/sanitized.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <vector>

namespace ovir::compute {
namespace {

std::size_t pages_of(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page;
}

std::size_t touched(void* address, std::size_t bytes) {
  std::vector<unsigned char> seen(pages_of(bytes));
  EXPECT_EQ(::mincore(address, bytes, seen.data()), 0);
  return static_cast<std::size_t>(
      std::ranges::count_if(seen, [](unsigned char flags) { return (flags & 1U) != 0; }));
}

TEST(reserved_memory, takes_what_is_written_and_gives_all_of_it_back) {
  if (address_sanitized) {
    GTEST_SKIP() << "memory comes from the heap under the address sanitizer";
  }
  constexpr std::size_t bytes = 1U << 20U;
  reserved_memory<float> memory = reserve_for<float>(bytes / sizeof(float));
  ASSERT_TRUE(memory);
  void* const address = memory.get();
  EXPECT_EQ(touched(address, bytes), 0U);
  memory.get()[bytes / sizeof(float) - 1] = 1.0F;
  EXPECT_EQ(touched(address, bytes), 1U);
  const std::span all{memory.get(), bytes / sizeof(float)};
  EXPECT_TRUE(std::ranges::all_of(all.first(all.size() - 1), [](float f) { return f == 0.0F; }));
  memory = nullptr;
  std::vector<unsigned char> seen(pages_of(bytes));
  EXPECT_EQ(::mincore(address, bytes, seen.data()), -1) << "nothing is there any more";
}

TEST(reserved_memory, that_there_is_not_is_none) {
  if (address_sanitized) {
    GTEST_SKIP() << "the address sanitizer ends the process";
  }
  EXPECT_FALSE(reserve_for<std::byte>(std::size_t{1} << 60U));
}

} // namespace
} // namespace ovir::compute
