#pragma once

#include <cstddef>
#include <cstdint>

/// The loops of `peak.hpp` for each processor, declared without containers as kernels_x86.hpp is.
namespace ovir::compute::avx2 {
std::uint64_t peak_read(const unsigned char* bytes, std::size_t count);
std::uint64_t peak_multiply(std::uint64_t rounds);
} // namespace ovir::compute::avx2

namespace ovir::compute::avx512 {
std::uint64_t peak_read(const unsigned char* bytes, std::size_t count);
std::uint64_t peak_multiply(std::uint64_t rounds);
} // namespace ovir::compute::avx512
