#include "messages/name_filter.hpp"

#include "messages/limits/blocks.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ovir {

namespace {

struct probes {
  std::uint64_t at{0};
  std::uint64_t step{0};
};

probes probes_of(const digest& name) noexcept {
  probes p;
  std::memcpy(&p.at, name.bytes.data(), sizeof(p.at));
  std::memcpy(&p.step, name.bytes.data() + sizeof(p.at), sizeof(p.step));
  p.step |= 1U; // else many probes might meet the same bit
  return p;
}

std::size_t bytes_for(std::size_t names) {
  const std::size_t bits = names * limits::block_filter_bits_per_name;
  return std::clamp(std::bit_ceil((bits + 7) / 8), limits::block_filter_bytes_min,
                    limits::block_filter_bytes_max);
}

} // namespace

name_filter::name_filter(std::size_t names) : bits_(bytes_for(names)) {}

result<name_filter> name_filter::from(std::span<const std::byte> bytes) {
  if (bytes.size() < limits::block_filter_bytes_min ||
      bytes.size() > limits::block_filter_bytes_max || !std::has_single_bit(bytes.size())) {
    return fail(errc::malformed, "a filter of {} bytes", bytes.size());
  }
  return name_filter{std::vector<std::byte>{bytes.begin(), bytes.end()}};
}

void name_filter::add(const digest& name) noexcept {
  probes p = probes_of(name);
  for (std::uint32_t i = 0; i < limits::block_filter_probes; ++i, p.at += p.step) {
    const std::uint64_t bit = p.at % (bits_.size() * 8);
    bits_[bit / 8] |= std::byte{1} << (bit % 8);
  }
}

bool name_filter::may_have(const digest& name) const noexcept {
  probes p = probes_of(name);
  for (std::uint32_t i = 0; i < limits::block_filter_probes; ++i, p.at += p.step) {
    const std::uint64_t bit = p.at % (bits_.size() * 8);
    if ((bits_[bit / 8] & (std::byte{1} << (bit % 8))) == std::byte{0}) {
      return false;
    }
  }
  return true;
}

} // namespace ovir
