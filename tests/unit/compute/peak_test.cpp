#include "compute/kernels/peak.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace ovir::compute {
namespace {

std::vector<isa> usable() {
  std::vector<isa> all{isa::reference};
  for (const kernel_set* set : fast_kernels_here()) {
    all.push_back(set->id);
  }
  return all;
}

TEST(peak, reads_every_byte_once) {
  // A multiple of every loop's stride, so that all of them add up the same 64-bit words.
  std::vector<unsigned char> bytes(2'048);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(i * 37 + 11);
  }
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof(word));
    expected += word;
  }
  for (const isa id : usable()) {
    EXPECT_EQ(peak_loops_of(id).read(bytes.data(), bytes.size()), expected);
    EXPECT_EQ(peak_loops_of(id).read(bytes.data(), 3), std::uint64_t{11} + 48 + 85) << "the rest";
    EXPECT_EQ(peak_loops_of(id).read(bytes.data(), 0), 0U);
  }
}

TEST(peak, multiplies_as_often_as_it_is_told) {
  for (const isa id : usable()) {
    const peak_loops& loops = peak_loops_of(id);
    EXPECT_GT(loops.operations, 0U);
    EXPECT_EQ(loops.multiply(7), loops.multiply(7));
    EXPECT_NE(loops.multiply(7), loops.multiply(8));
  }
}

} // namespace
} // namespace ovir::compute
