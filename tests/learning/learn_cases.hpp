#pragma once

#include "compute/kernels/kernels.hpp"
#include "compute/make/synth.hpp"
#include "compute/model/model.hpp"
#include "learning/adapter/adapter.hpp"
#include "learning/gradient/example.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

/// Models, adapters and examples of the tests of learning.
namespace ovir::test {

/// Of width 64 in `quantization`, or 256 where its blocks are that long.
[[nodiscard]] loaded_model small_llama(compute::synth_quantization quantization,
                                       std::uint32_t layers = 2);
/// A small model of F16 matrices of an architecture of `architecture_cases()`.
[[nodiscard]] loaded_model small_model_of(const std::string& architecture);

/// A checked copy of the model's views.
[[nodiscard]] compute::model checked(const loaded_model& model);

/// An adapter of rank 3 on all matrices whose B is not zero either.
[[nodiscard]] learning::adapter stirred_adapter(const compute::model& m, std::uint64_t seed);

/// Of `tokens` ids below `vocabulary`; the first third does not count.
[[nodiscard]] learning::example random_example(std::uint64_t seed, std::uint32_t tokens,
                                               std::uint32_t vocabulary);

/// Every kernel set that runs here.
[[nodiscard]] std::vector<const compute::kernel_set*> all_kernels();

/// |a - b| / |b| over all numbers.
[[nodiscard]] double relative_distance(const learning::lora_numbers& a,
                                       const learning::lora_numbers& b);

} // namespace ovir::test
