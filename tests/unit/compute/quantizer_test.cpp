// Floats to blocks: what is written means about what was there, in the same bytes every time.
#include "compute/make/quantize_model.hpp"
#include "compute/model/weight_bounds.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "compute/tensor/quantizer.hpp"
#include "storage/env/thread_runner.hpp"
#include "tests/support/model/architecture_model.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace ovir::compute {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t cols = 1'024;

std::vector<std::byte> quantized(tensor_type type, const std::vector<float>& x) {
  std::vector<std::byte> out(x.size() / layout_of(type).block_elements *
                             layout_of(type).block_bytes);
  EXPECT_TRUE(quantize_row(type, x, out.data()));
  return out;
}

std::vector<float> meant(tensor_type type, const std::vector<std::byte>& bytes) {
  const weight w{.type = type, .rows = 1, .cols = cols, .data = bytes.data()};
  EXPECT_FALSE(bounds_of_rows(w, 0, 1).nonfinite);
  std::vector<float> out(cols);
  embed_row(w, 0, out.data());
  return out;
}

double relative_error(const std::vector<float>& x, const std::vector<float>& y) {
  double off = 0;
  double all = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    off += (double{x[i]} - double{y[i]}) * (double{x[i]} - double{y[i]});
    all += double{x[i]} * double{x[i]};
  }
  return std::sqrt(off / all);
}

struct type_case {
  tensor_type type;
  double most; ///< relative error of even numbers
};

class quantizer : public testing::TestWithParam<type_case> {};

TEST_P(quantizer, loses_little) {
  test::kernel_random random{3};
  for (const float magnitude : {1e-3F, 0.1F, 40.0F}) {
    const std::vector<float> x = random.floats(cols, magnitude);
    const auto bytes = quantized(GetParam().type, x);
    EXPECT_LE(relative_error(x, meant(GetParam().type, bytes)), GetParam().most) << magnitude;
    EXPECT_EQ(quantized(GetParam().type, x), bytes);
  }
}

TEST_P(quantizer, keeps_what_it_can_mean_exactly) {
  for (const float value : {0.0F, 0.5F, -0.25F}) {
    const std::vector<float> x(cols, value);
    const auto y = meant(GetParam().type, quantized(GetParam().type, x));
    for (const float v : y) {
      ASSERT_NEAR(v, value, std::fabs(value) / 250);
    }
  }
  std::vector<float> one(cols, 0.0F);
  one[77] = -3;
  const auto y = meant(GetParam().type, quantized(GetParam().type, one));
  EXPECT_NEAR(y[77], -3, 0.02);
  EXPECT_NEAR(y[78], 0, 0.02);
}

TEST_P(quantizer, says_where_numbers_are_too_large) {
  std::vector<float> x(cols, 0.0F);
  x[5] = 1e30F;
  std::vector<std::byte> out(cols * 4);
  EXPECT_FALSE(quantize_row(GetParam().type, x, out.data()));
  x[5] = std::numeric_limits<float>::denorm_min(); // too small for any scale: zeros
  EXPECT_TRUE(quantize_row(GetParam().type, x, out.data()));
}

INSTANTIATE_TEST_SUITE_P(types, quantizer,
                         testing::Values(type_case{tensor_type::q8_0, 0.006},
                                         type_case{tensor_type::q6_k, 0.025},
                                         type_case{tensor_type::q5_0, 0.045},
                                         type_case{tensor_type::q4_k, 0.08},
                                         type_case{tensor_type::q4_0, 0.09}),
                         [](const auto& one) { return std::string{name_of(one.param.type)}; });

std::vector<std::byte> file_of(const gguf& model, quantize_recipe recipe, std::size_t threads) {
  const auto plan = plan_quantized(model, recipe);
  EXPECT_TRUE(plan) << plan.error().message;
  class runner final : public parallel_runner {
  public:
    explicit runner(std::size_t threads) : threads_(threads) {}
    [[nodiscard]] std::size_t width() const noexcept override { return threads_.width(); }
    void run(std::size_t count, const std::function<void(std::size_t)>& part) override {
      threads_.run(count, part);
    }

  private:
    storage::thread_runner threads_;
  } all{threads};
  std::vector<std::byte> bytes;
  const auto done = write_quantized(
      *plan,
      [&](std::span<const std::byte> some) -> result<void> {
        bytes.insert(bytes.end(), some.begin(), some.end());
        return {};
      },
      {}, all);
  EXPECT_TRUE(done) << done.error().message;
  EXPECT_EQ(bytes.size(), plan->bytes);
  return bytes;
}

test::architecture_case case_named(const std::string& name) {
  for (const test::architecture_case& one : test::architecture_cases()) {
    if (one.name == name) {
      return one;
    }
  }
  throw std::invalid_argument(name);
}

TEST(quantize_model, writes_the_same_file_for_any_number_of_threads) {
  const test::loaded_model model{test::architecture_model(case_named("qwen3moe"))};
  for (const auto recipe : {quantize_recipe::q8_0, quantize_recipe::q4_0, quantize_recipe::q4_k_m,
                            quantize_recipe::q6_k}) {
    const auto bytes = file_of(model.file(), recipe, 1);
    EXPECT_EQ(file_of(model.file(), recipe, 3), bytes);
    const auto made = gguf::parse(bytes);
    ASSERT_TRUE(made) << made.error().message;
    const auto bound = bind_model(*made);
    ASSERT_TRUE(bound) << bound.error().message;
    EXPECT_EQ(bound->layers[2].ffn_router.type, tensor_type::f32);
    // Rows of 192 and of 88 elements: no whole superblocks, and no whole blocks.
    const tensor_type up = recipe == quantize_recipe::q4_0     ? tensor_type::q4_0
                           : recipe == quantize_recipe::q4_k_m ? tensor_type::q5_0
                                                               : tensor_type::q8_0;
    EXPECT_EQ(bound->layers[2].experts[1].up.type, up);
    EXPECT_EQ(bound->layers[2].experts[1].down.type, tensor_type::f16);
    EXPECT_EQ(*made->text_at("general.name"), "synthetic");
    const auto again = plan_quantized(*made, recipe);
    ASSERT_FALSE(again);
    EXPECT_THAT(again.error().message, HasSubstr("already"));
  }
}

TEST(quantize_model, writes_out_what_weights_mean) {
  const test::loaded_model model{test::architecture_model(case_named("llama"))};
  const auto small = file_of(model.file(), quantize_recipe::q8_0, 2);
  const gguf made = gguf::parse(small).value();
  const auto floats = file_of(made, quantize_recipe::f32, 2);
  const gguf large = gguf::parse(floats).value();
  const auto bound_small = bind_model(made).value();
  const auto bound_large = bind_model(large).value();
  std::vector<float> a(bound_small.config.dim);
  std::vector<float> b(a.size());
  for (std::uint32_t r = 0; r < bound_small.layers[1].attn_q.rows; ++r) {
    embed_row(bound_small.layers[1].attn_q, r, a.data());
    embed_row(bound_large.layers[1].attn_q, r, b.data());
    ASSERT_EQ(a, b);
  }
}

TEST(quantize_model, names_a_tensor_that_is_not_finite) {
  auto bytes = test::architecture_model(case_named("llama"));
  const gguf before = gguf::parse(bytes).value();
  const gguf_tensor* const tensor = before.find_tensor("blk.2.attn_k.weight");
  const std::size_t at = tensor->offset + 3 * tensor->shape[0] * 2;
  bytes[at] = std::byte{0};
  bytes[at + 1] = std::byte{0x7C}; // infinity
  const gguf model = gguf::parse(bytes).value();
  const auto plan = plan_quantized(model, quantize_recipe::q8_0).value();
  serial_runner runner;
  const auto done = write_quantized(
      plan, [](std::span<const std::byte>) { return result<void>{}; }, {}, runner);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("row 3 of tensor \"blk.2.attn_k.weight\""));
}

} // namespace
} // namespace ovir::compute
