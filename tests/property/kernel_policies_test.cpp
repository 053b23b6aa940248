// Whatever a processor was measured to like best (compute/base/kernels_ask.hpp), products are those
// of the reference: every policy is tried on every processor, not only the one it was made for.
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/formats/prepared_room.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/kernels/x86/kernels.hpp"
#include "tests/support/model/kernel_inputs.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace ovir::compute {
namespace {

#if defined(__x86_64__)

using test::filling;
using test::kernel_random;
using test::owned_weight;
using x86::ask_into;

constexpr float untouched = 12345.678F;
constexpr std::uint16_t moderate_scale = 0x1C00; // 2^-8

struct float_kernel {
  tensor_type type;
  x86::float_product* run;
};

struct integer_kernel {
  tensor_type type;
  x86::integer_product* run;
};

/// The products of one instruction set.
struct products {
  const kernel_set* set;
  std::array<float_kernel, 3> floats;
  std::array<integer_kernel, 8> integers;
};

std::vector<products> products_here() {
  const std::array<products, 2> all{{{kernels_avx2(),
                                      {{{tensor_type::f32, avx2::product_f32},
                                        {tensor_type::f16, avx2::product_f16},
                                        {tensor_type::bf16, avx2::product_bf16}}},
                                      {{{tensor_type::q8_0, avx2::product_q8_0},
                                        {tensor_type::q4_0, avx2::product_q4_0},
                                        {tensor_type::q4_k, avx2::product_q4_k},
                                        {tensor_type::q6_k, avx2::product_q6_k},
                                        {tensor_type::q2_k, avx2::product_q2_k},
                                        {tensor_type::q3_k, avx2::product_q3_k},
                                        {tensor_type::q5_k, avx2::product_q5_k},
                                        {tensor_type::iq4_xs, avx2::product_iq4_xs}}}},
                                     {kernels_avx512(),
                                      {{{tensor_type::f32, avx512::product_f32},
                                        {tensor_type::f16, avx512::product_f16},
                                        {tensor_type::bf16, avx512::product_bf16}}},
                                      {{{tensor_type::q8_0, avx512::product_q8_0},
                                        {tensor_type::q4_0, avx512::product_q4_0},
                                        {tensor_type::q4_k, avx512::product_q4_k},
                                        {tensor_type::q6_k, avx512::product_q6_k},
                                        {tensor_type::q2_k, avx512::product_q2_k},
                                        {tensor_type::q3_k, avx512::product_q3_k},
                                        {tensor_type::q5_k, avx512::product_q5_k},
                                        {tensor_type::iq4_xs, avx512::product_iq4_xs}}}}}};
  std::vector<products> here;
  for (const products& one : all) {
    if (one.set != nullptr && processor_has(one.set->id)) {
      here.push_back(one);
    }
  }
  return here;
}

/// Weights in panels, as a session has them.
struct panels {
  owned_weight weights;
  std::vector<std::byte> bytes;

  explicit panels(owned_weight given)
      : weights(std::move(given)), bytes(test::packed(weights.view)) {}

  [[nodiscard]] const weight& view() const noexcept { return weights.view; }
  [[nodiscard]] x86::matrix_view with(x86::ask_policy asks, bool long_tiles) const {
    return {.data = reinterpret_cast<const unsigned char*>(view().data),
            .row_bytes = view().row_bytes(),
            .cols = view().cols,
            .packed = reinterpret_cast<const unsigned char*>(bytes.data()),
            .panel_bytes = packed_panel_bytes(view().type, view().cols),
            .group_rows = view().group_rows,
            .asks = asks,
            .long_tiles = long_tiles,
            .unit = unit_of_products(view().type)};
  }
};

/// Nowhere, from the first token, from more tokens than one, and a single one little ahead.
constexpr std::array<x86::ask_policy, 5> policies{{
    {.from = 0, .integers = ask_into::nothing, .floats = ask_into::nothing},
    {.from = 0, .integers = ask_into::first_level, .floats = ask_into::second_level},
    {.from = 0, .integers = ask_into::second_level, .floats = ask_into::first_level},
    {.from = x86::ask_tokens_self_reading,
     .integers = ask_into::first_level,
     .floats = ask_into::first_level},
    {.from = 1,
     .integers = ask_into::first_level,
     .floats = ask_into::first_level,
     .soon_alone = true},
}};

std::string name_of_case(const products& of, const weight& w, std::uint32_t tokens) {
  return std::string{of.set->name} + " " + std::string{name_of(w.type)} + " rows " +
         std::to_string(w.rows) + " cols " + std::to_string(w.cols) + " tokens " +
         std::to_string(tokens);
}

void compare_floats(kernel_random& random, const products& of, const float_kernel& kernel,
                    std::uint32_t cols, std::uint32_t tokens, std::uint32_t group_rows) {
  owned_weight made = test::make_floats(random, kernel.type, 1 + random.below(70), cols);
  made.view.group_rows = group_rows;
  const panels w{std::move(made)};
  const std::uint32_t rows = w.view().rows;
  const std::uint32_t first = random.below(rows);
  const std::size_t x_stride = cols + 5;
  const std::size_t y_stride = rows + 2;
  const std::vector<float> x = random.floats(x_stride * tokens, 8);
  std::vector<float> wanted(y_stride * tokens, untouched);
  kernels_reference().product_float(w.view(), first, rows, x.data(), x_stride, tokens,
                                    wanted.data(), y_stride);
  for (const x86::ask_policy& asks : policies) {
    for (const bool long_tiles : {false, true}) {
      std::vector<float> got(y_stride * tokens, untouched);
      kernel.run(w.with(asks, long_tiles), first, rows,
                 {.x = x.data(),
                  .x_stride = x_stride,
                  .tokens = tokens,
                  .y = got.data(),
                  .y_stride = y_stride});
      test::expect_same(got, wanted,
                        name_of_case(of, w.view(), tokens) + (long_tiles ? " long tiles" : ""));
    }
  }
}

TEST(kernel_policies, sums_of_floats_do_not_depend_on_them) {
  kernel_random random{41};
  RecordProperty("seed", std::to_string(random.seed()));
  for (const products& of : products_here()) {
    for (const float_kernel& kernel : of.floats) {
      for (const std::uint32_t cols : {1U, 16U, 31U, 128U, 129U, 512U, 1113U}) {
        // Long tiles begin at 32 tokens and have 6; what is left of them is 0 to 5.
        for (const std::uint32_t tokens :
             {1U, 2U, 4U, 5U, 6U, 7U, 31U, 32U, 33U, 34U, 35U, 36U, 37U}) {
          compare_floats(random, of, kernel, cols, tokens, 4);
          compare_floats(random, of, kernel, cols, tokens, packed_rows);
          ASSERT_FALSE(HasFatalFailure()) << "seed " << random.seed();
        }
      }
    }
  }
}

void compare_integers(kernel_random& random, const products& of, const integer_kernel& kernel,
                      std::uint32_t cols, std::uint32_t tokens) {
  const panels w{test::make_quantized(random, kernel.type, 1 + random.below(37), cols,
                                      filling::random, moderate_scale)};
  const std::uint32_t rows = w.view().rows;
  const std::uint32_t first = random.below(rows);
  const std::size_t y_stride = rows + 3;
  const quantized_batch x =
      test::make_batch(random, form_for(kernel.type), tokens, cols, filling::random);
  const x86::batch_view batch{.q = x.q.data(),
                              .k = x.k.data(),
                              .m = x.m.data(),
                              .sum = x.sum.data(),
                              .u = x.u.data(),
                              .tokens = tokens,
                              .cols = cols,
                              .scales = cols / x.scale_block(),
                              .prepared = x86::room_to_prepare(x)};
  std::vector<float> wanted(y_stride * tokens, untouched);
  kernels_reference().product(w.view(), first, rows, x, wanted.data(), y_stride, nullptr);
  for (const x86::ask_policy& asks : policies) {
    std::vector<float> got(y_stride * tokens, untouched);
    kernel.run(w.with(asks, false), first, rows, batch, got.data(), y_stride);
    test::expect_same(got, wanted, name_of_case(of, w.view(), tokens));
  }
}

TEST(kernel_policies, sums_of_integers_do_not_depend_on_them) {
  kernel_random random{42};
  RecordProperty("seed", std::to_string(random.seed()));
  for (const products& of : products_here()) {
    for (const integer_kernel& kernel : of.integers) {
      for (const std::uint32_t cols : {256U, 1280U}) {
        for (const std::uint32_t tokens : {1U, 2U, 3U, 4U, 7U, 8U, 17U}) {
          compare_integers(random, of, kernel, cols, tokens);
          ASSERT_FALSE(HasFatalFailure()) << "seed " << random.seed();
        }
      }
    }
  }
}

/// What was prepared is taken over: a product after it does not look at the sums it was made of.
TEST(kernel_policies, a_series_prepares_its_activations_once) {
  kernel_random random{43};
  for (const products& of : products_here()) {
    const panels w{
        test::make_quantized(random, tensor_type::q4_k, 16, 512, filling::random, moderate_scale)};
    weight view = w.view();
    view.packed = w.bytes.data();
    quantized_batch x = test::make_batch(random, activation_form::a256, 3, 512, filling::random);
    preparation kept;
    std::vector<float> wanted(16 * x.tokens);
    of.set->product(view, 0, 16, x, wanted.data(), 16, &kept);
    x.sum.assign(x.sum.size(), 1);
    std::vector<float> again(wanted.size());
    of.set->product(view, 0, 16, x, again.data(), 16, &kept);
    test::expect_same(again, wanted, std::string{of.set->name});
    std::vector<float> alone(wanted.size());
    of.set->product(view, 0, 16, x, alone.data(), 16, nullptr);
    EXPECT_NE(alone, wanted) << of.set->name << ": these sums make no difference; choose others";
  }
}

#else

TEST(kernel_policies, are_of_x86_alone) {
  EXPECT_EQ(kernels_avx2(), nullptr);
  EXPECT_EQ(kernels_avx512(), nullptr);
}

#endif

} // namespace
} // namespace ovir::compute
