#include "compute/kernels/peak.hpp"

#include "compute/kernels/arm/kernels.hpp"
#include "compute/kernels/x86/peak_loops.hpp"

#include <array>
#include <cstring>

namespace ovir::compute {

namespace {

constexpr std::size_t lanes = 8;

std::uint64_t read_plainly(const unsigned char* bytes, std::size_t count) {
  std::array<std::uint64_t, lanes> sums{};
  std::array<std::uint64_t, lanes> words{};
  std::size_t at = 0;
  for (; count - at >= sizeof(words); at += sizeof(words)) {
    std::memcpy(words.data(), bytes + at, sizeof(words));
    for (std::size_t i = 0; i < lanes; ++i) {
      sums[i] += words[i];
    }
  }
  std::uint64_t sum = 0;
  for (; at < count; ++at) {
    sum += bytes[at];
  }
  for (const std::uint64_t lane : sums) {
    sum += lane;
  }
  return sum;
}

// A linear congruential step per lane: a multiplication and an addition that no compiler can fold.
std::uint64_t multiply_plainly(std::uint64_t rounds) {
  std::array<std::uint32_t, lanes> values{1, 2, 3, 4, 5, 6, 7, 8};
  for (std::uint64_t i = 0; i < rounds; ++i) {
    for (std::uint32_t& value : values) {
      value = value * 1'664'525U + 1'013'904'223U;
    }
  }
  std::uint64_t sum = 0;
  for (const std::uint32_t value : values) {
    sum += value;
  }
  return sum;
}

constexpr peak_loops plain_loops{read_plainly, multiply_plainly, 2 * lanes};

#if defined(__x86_64__)
// As many as the loops of these files have: accumulators, products of a register, two each.
constexpr peak_loops avx2_loops{avx2::peak_read, avx2::peak_multiply, std::uint64_t{8} * 32 * 2};
constexpr peak_loops avx512_loops{avx512::peak_read, avx512::peak_multiply,
                                  std::uint64_t{12} * 64 * 2};
#elif defined(__aarch64__)
// Eight accumulators; a product of registers is of 16 bytes, of SMMLA of twice as many pairs.
// Reading plainly becomes loads of 16 bytes by itself.
constexpr peak_loops neon_loops{read_plainly, neon::peak_multiply, std::uint64_t{8} * 16 * 2};
constexpr peak_loops dotprod_loops{read_plainly, dotprod::peak_multiply, std::uint64_t{8} * 16 * 2};
constexpr peak_loops i8mm_loops{read_plainly, i8mm::peak_multiply, std::uint64_t{8} * 32 * 2};
#endif

} // namespace

const peak_loops& peak_loops_of([[maybe_unused]] isa id) noexcept {
#if defined(__x86_64__)
  switch (id) {
  case isa::avx512: return avx512_loops;
  case isa::avx2: return avx2_loops;
  default: break;
  }
#elif defined(__aarch64__)
  switch (id) {
  case isa::i8mm: return i8mm_loops;
  case isa::dotprod: return dotprod_loops;
  case isa::neon: return neon_loops;
  default: break;
  }
#endif
  return plain_loops;
}

} // namespace ovir::compute
