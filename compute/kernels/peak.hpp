#pragma once

#include "compute/kernels/kernels.hpp"

#include <cstddef>
#include <cstdint>

/// What a processor does at best, as loops for others to time: the denominators of every share that
/// `ovir bench` prints. They compute nothing that anybody needs.
namespace ovir::compute {

struct peak_loops {
  /// Reads every byte once, from first to last, and does nothing else. The value must be kept, or
  /// a compiler may leave the reading out.
  std::uint64_t (*read)(const unsigned char* bytes, std::size_t count);
  /// Multiplies and adds small integers in registers alone, by the instructions that the products
  /// of these kernels are made of.
  std::uint64_t (*multiply)(std::uint64_t rounds);
  /// Of one round of `multiply`; a multiplication with its addition is two.
  std::uint64_t operations;
};

/// The loops for the instructions that kernels `id` use. Precondition: `processor_has(id)`.
[[nodiscard]] const peak_loops& peak_loops_of(isa id) noexcept;

} // namespace ovir::compute
