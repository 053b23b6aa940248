#include "learning/training/example_order.hpp"

#include "compute/base/exact_math.hpp"
#include "messages/digest.hpp"

#include <cstring>
#include <numeric>
#include <utility>

namespace ovir::learning {

// Fisher and Yates' shuffle from the end, with one u64 of BLAKE3's extendable output for each
// place.
std::vector<std::uint32_t> drawn_order(std::uint64_t seed, std::uint64_t round,
                                       std::uint32_t count) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  std::vector<std::uint8_t> bytes(std::size_t{count} * sizeof(std::uint64_t));
  hasher{"ovir/learn-1/order"}.update_u64(seed).update_u64(round).update_u32(count).finish_into(
      bytes);
  for (std::uint32_t i = count; i > 1; --i) {
    std::uint64_t draw{};
    std::memcpy(&draw, bytes.data() + (count - i) * sizeof draw, sizeof draw);
    const auto j = static_cast<std::uint32_t>((static_cast<unsigned __int128>(draw) * i) >> 64U);
    std::swap(order[i - 1], order[j]);
  }
  return order;
}

} // namespace ovir::learning
