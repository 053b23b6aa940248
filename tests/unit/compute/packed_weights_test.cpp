// Packed weights: their sizes, their places, and that a model computes the same with them. Products
// of every shape are compared in tests/property/kernels_test.cpp.
#include "compute/forward/segment.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/make/synth.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

namespace ovir::compute {
namespace {

using test::loaded_model;

loaded_model tiny(std::string_view quantisation) {
  return loaded_model{test::tiny_model(1, synth_quantization_from(quantisation).value())};
}

layer_range all_of(const model& m) { return {0, m.config.layers}; }

/// 64-byte aligned memory for a plan.
struct plan_memory {
  explicit plan_memory(const packing_plan& plan) : bytes(plan.bytes + 64) {}
  std::byte* begin() {
    void* at = bytes.data();
    std::size_t space = bytes.size();
    return static_cast<std::byte*>(std::align(64, 1, at, space));
  }
  std::vector<std::byte> bytes;
};

std::vector<float> logits_of(const model& m, const kernel_set& kernels) {
  serial_runner runner;
  const auto whole = segment::make_checked(m, all_of(m), kernels).value();
  segment_state state = whole->open(16, 1U << 26U).value();
  std::vector<token_id> tokens(11);
  std::iota(tokens.begin(), tokens.end(), token_id{3});
  step_output out;
  std::vector<float> all;
  for (std::uint32_t first = 0, count = 10; first < 11; first += count, count = 1) {
    const step_input in{.first = first,
                        .count = count,
                        .tokens = std::span{tokens}.subspan(first, count),
                        .logit_rows = count};
    EXPECT_TRUE(whole->forward(state, in, runner, out));
    all.insert(all.end(), out.logits.begin(), out.logits.end());
  }
  return all;
}

TEST(packed_weights, take_as_many_bytes_as_the_file_but_for_padding) {
  for (const tensor_type type : {tensor_type::q8_0, tensor_type::q4_0, tensor_type::q4_k}) {
    const weight w{.type = type, .rows = 32, .cols = 512};
    EXPECT_EQ(packed_bytes(w), w.rows * w.row_bytes()) << name_of(type);
  }
  const weight six{.type = tensor_type::q6_k, .rows = 32, .cols = 512};
  EXPECT_EQ(packed_bytes(six), six.rows * six.row_bytes() + std::size_t{2} * 2 * 32);
  // A panel is whole even where its last rows or the last blocks of its group are missing.
  const weight odd{.type = tensor_type::q4_0, .rows = 17, .cols = 96};
  EXPECT_EQ(packed_bytes(odd), 2U * (256 + 3 * 256));
  for (const tensor_type type : {tensor_type::f32, tensor_type::f16, tensor_type::bf16}) {
    const weight w{.type = type, .rows = 32, .cols = 512};
    EXPECT_EQ(packed_bytes(w), w.rows * w.row_bytes()) << name_of(type);
    const weight ragged{.type = type, .rows = 33, .cols = 81};
    EXPECT_EQ(packed_bytes(ragged), 48U * 96 * layout_of(type).block_bytes) << name_of(type);
  }
}

TEST(packed_weights, are_planned_apart_from_each_other_and_only_for_the_layers_held) {
  const loaded_model loaded = tiny("q4_k_m");
  model m = loaded.get();
  const packing_plan whole = plan_packing(m, all_of(m), isa::avx512);
  ASSERT_EQ(whole.parts.size(), m.config.layers * 7U + 1U);
  std::size_t end = 0;
  for (const packing_plan::part& part : whole.parts) {
    EXPECT_EQ(part.at, end);
    EXPECT_EQ(part.at % 64, 0U);
    end = part.at + packed_bytes(*part.target);
  }
  EXPECT_EQ(whole.bytes, end);
  EXPECT_EQ(whole.parts.back().target, &m.output);
  EXPECT_EQ(plan_packing(m, {0, 1}, isa::avx512).parts.size(),
            7U); // the head is with the last layer
}

TEST(packed_weights, of_floats_with_long_rows_are_in_larger_groups_where_registers_allow) {
  EXPECT_EQ(float_group_rows(isa::avx512, 2560), 4U);
  EXPECT_EQ(float_group_rows(isa::avx512, 2561), packed_rows);
  EXPECT_EQ(float_group_rows(isa::avx2, 2561), 4U);
  EXPECT_EQ(float_group_rows(isa::reference, 2561), 4U);
  const loaded_model loaded = tiny("f16");
  model m = loaded.get();
  m.layers[0].ffn_down.cols = 2561; // planned, not packed: nobody reads its rows
  EXPECT_GT(plan_packing(m, all_of(m), isa::avx512).bytes, 0U);
  EXPECT_EQ(m.layers[0].ffn_down.group_rows, packed_rows);
  EXPECT_EQ(m.layers[0].attn_q.group_rows, 4U);
  EXPECT_GT(plan_packing(m, all_of(m), isa::avx2).bytes, 0U); // planned again for another set
  EXPECT_EQ(m.layers[0].ffn_down.group_rows, 4U);
}

TEST(packed_weights, leave_wide_weights_as_they_are) {
  const loaded_model quantised = tiny("q8_0");
  model m = quantised.get();
  m.layers[0].ffn_up.wide = true;
  EXPECT_EQ(plan_packing(m, all_of(m), isa::avx512).parts.size(), m.config.layers * 7U);
}

TEST(packed_weights, are_not_checked_again) {
  const loaded_model loaded = tiny("q8_0");
  model m = loaded.get();
  serial_runner runner;
  std::vector<std::byte> damaged(m.layers[0].attn_q.rows * m.layers[0].attn_q.row_bytes(),
                                 std::byte{0xFF}); // NaN scales
  m.layers[0].attn_q.data = damaged.data();
  EXPECT_FALSE(check_weights(m, all_of(m), runner));
  m.layers[0].attn_q.packed = damaged.data();
  EXPECT_TRUE(check_weights(m, all_of(m), runner));
}

TEST(packed_weights, change_no_logit) {
  for (const char* quantisation : {"q8_0", "q4_0", "q4_k", "q6_k", "q4_k_m", "f16", "f32"}) {
    const loaded_model loaded = tiny(quantisation);
    model m = loaded.get();
    const std::vector<float> wanted = logits_of(m, kernels_reference());
    const packing_plan plan = plan_packing(m, all_of(m), isa::avx512);
    plan_memory memory{plan};
    serial_runner runner;
    for (const packing_plan::part& part : plan.parts) {
      if (part.at > 0) { // of both sizes of groups: the rows of so small a model are short
        part.target->group_rows = packed_rows;
      }
      pack_weight(part, memory.begin(), runner);
      ASSERT_EQ(part.target->packed, memory.begin() + part.at);
    }
    for (const kernel_set* set : fast_kernels_here()) {
      EXPECT_EQ(logits_of(m, *set), wanted) << quantisation << ' ' << set->name;
    }
  }
}

} // namespace
} // namespace ovir::compute
