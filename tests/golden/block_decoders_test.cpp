// What the bytes of every quantised type mean: the same numbers as ggml's own functions give.
#include "compute/tensor/quantized_rows.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/peer_library.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using compute::tensor_type;

/// The beginning of `struct ggml_type_traits`, as ggml.h declares it.
struct type_traits {
  const char* name;
  std::int64_t block_elements;
  std::int64_t block_elements_interleaved;
  std::size_t block_bytes;
  bool quantised;
  void (*to_float)(const void* from, float* to, std::int64_t count);
};

class block_decoders : public testing::TestWithParam<tensor_type> {};

TEST_P(block_decoders, give_what_ggml_gives_for_ten_thousand_random_blocks) {
  OVIR_PEER_FOLDER(folder);
  const tensor_type type = GetParam();
  const peer_library ggml{folder / "libggml-base.so"};
  const auto* const traits =
      ggml.function<const type_traits*(int)>("ggml_get_type_traits")(static_cast<int>(type));
  const compute::tensor_layout layout = compute::layout_of(type);
  ASSERT_EQ(traits->block_elements, layout.block_elements);
  ASSERT_EQ(traits->block_bytes, layout.block_bytes);
  kernel_random random{static_cast<std::uint64_t>(type) + 1};
  constexpr std::uint32_t rows = 100;
  constexpr std::uint32_t blocks = 100;
  constexpr std::uint16_t any_finite = 0x7BFF;
  const std::uint32_t cols = blocks * layout.block_elements;
  const owned_weight w = make_quantized(random, type, rows, cols, filling::random, any_finite);
  std::vector<float> theirs(cols);
  std::vector<float> ours(cols);
  for (std::uint32_t row = 0; row < rows; ++row) {
    traits->to_float(w.view.row(row), theirs.data(), cols);
    compute::embed_row(w.view, row, ours.data());
    for (std::uint32_t i = 0; i < cols; ++i) {
      // Equal as numbers: a zero times a negative scale is +0 here, where integers have one zero.
      ASSERT_EQ(ours[i], theirs[i])
          << "row " << row << ", element " << i << ", seed " << random.seed();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(types, block_decoders,
                         testing::Values(tensor_type::q8_0, tensor_type::q4_0, tensor_type::q4_1,
                                         tensor_type::q5_0, tensor_type::q5_1, tensor_type::iq4_nl,
                                         tensor_type::q2_k, tensor_type::q3_k, tensor_type::q4_k,
                                         tensor_type::q5_k, tensor_type::q6_k, tensor_type::iq4_xs,
                                         tensor_type::iq2_xxs, tensor_type::iq2_xs,
                                         tensor_type::iq2_s, tensor_type::iq3_xxs,
                                         tensor_type::iq3_s, tensor_type::mxfp4),
                         [](const auto& one) { return std::string{compute::name_of(one.param)}; });

} // namespace
} // namespace ovir::test
