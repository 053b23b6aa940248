// Which experts a row goes through, with which shares, and where a mixture's weights come from.
#include "compute/base/exact_math.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/kernels/reference/plain_blocks.hpp"
#include "compute/model/model.hpp"
#include "tests/support/model/architecture_model.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace ovir::compute {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<chosen_expert> chosen_of(const std::vector<float>& logits, std::size_t used,
                                     bool of_all) {
  std::vector<chosen_expert> out(used);
  EXPECT_TRUE(choose_experts(logits, of_all, out));
  return out;
}

std::vector<std::uint32_t> numbers(const std::vector<chosen_expert>& chosen) {
  std::vector<std::uint32_t> out;
  out.reserve(chosen.size());
  for (const chosen_expert& c : chosen) {
    out.push_back(c.expert);
  }
  return out;
}

TEST(experts, of_equal_logits_the_lower_number_is_chosen) {
  EXPECT_THAT(numbers(chosen_of({1, 3, 3, 2, 3}, 2, false)), ElementsAre(1, 2));
  EXPECT_THAT(numbers(chosen_of({0.0F, -0.0F, -1}, 1, false)), ElementsAre(0));
  EXPECT_THAT(numbers(chosen_of({-0.0F, 0.0F, -1}, 1, false)), ElementsAre(0));
  EXPECT_THAT(numbers(chosen_of({5, 5, 5, 5}, 3, true)), ElementsAre(0, 1, 2));
  EXPECT_THAT(numbers(chosen_of({1, 2, 3}, 3, true)), ElementsAre(0, 1, 2));
}

TEST(experts, are_those_that_sorting_would_give) {
  std::mt19937 random{5}; // NOLINT(cert-msc51-cpp): the same every time
  for (int round = 0; round < 2'000; ++round) {
    std::vector<float> logits(1 + random() % 70);
    for (float& l : logits) {
      l = static_cast<float>(static_cast<int>(random() % 20)) - 10; // many are equal
    }
    const std::size_t used = 1 + random() % std::min<std::size_t>(logits.size(), 8);
    std::vector<std::uint32_t> order(logits.size());
    for (std::uint32_t e = 0; e < order.size(); ++e) {
      order[e] = e;
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return logits[a] > logits[b]; });
    order.resize(used);
    std::sort(order.begin(), order.end());
    ASSERT_EQ(numbers(chosen_of(logits, used, round % 2 == 0)), order);
  }
}

TEST(experts, shares_are_of_those_chosen_or_of_all) {
  // Lanes 0 and 1, folded: e^-1 + 1 over the two chosen, with e^-2 over all three.
  const float one = exact_exp(-1);
  const float two = exact_exp(-2);
  const auto of_chosen = chosen_of({3, 4, 2}, 2, false);
  EXPECT_EQ(of_chosen[0].share, one / (one + 1));
  EXPECT_EQ(of_chosen[1].share, 1 / (one + 1));
  const auto of_all = chosen_of({3, 4, 2}, 2, true);
  EXPECT_EQ(of_all[0].share, one / ((one + two) + 1)); // lanes 0 and 2 come together first
  EXPECT_EQ(of_all[1].share, 1 / ((one + two) + 1));
}

TEST(experts, a_logit_that_is_not_finite_is_refused_wherever_it_stands) {
  std::vector<chosen_expert> out(2);
  for (std::size_t at = 0; at < 5; ++at) {
    for (const float bad :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::quiet_NaN()}) {
      std::vector<float> logits{1, 2, 3, 4, 5};
      logits[at] = bad;
      EXPECT_FALSE(choose_experts(logits, false, out));
    }
  }
}

test::architecture_case case_named(const std::string& name) {
  for (const test::architecture_case& one : test::architecture_cases()) {
    if (one.name == name) {
      return one;
    }
  }
  throw std::invalid_argument(name);
}

TEST(experts, are_views_of_one_tensor_each_and_counted_like_all_weights) {
  const test::loaded_model loaded{test::architecture_model(case_named("qwen2moe"))};
  const layer_weights& layer = loaded.get().layers[3];
  ASSERT_EQ(layer.experts.size(), 7U);
  const gguf_tensor* const up = loaded.file().find_tensor("blk.3.ffn_up_exps.weight");
  ASSERT_NE(up, nullptr);
  for (std::size_t e = 0; e < layer.experts.size(); ++e) {
    EXPECT_EQ(layer.experts[e].up.data, up->data.data() + e * up->data.size() / 7);
    EXPECT_EQ(layer.experts[e].up.rows * 7 * layer.experts[e].up.row_bytes(), up->data.size());
  }
  std::uint64_t in_file = 0;
  for (const gguf_tensor& tensor : loaded.file().tensors()) {
    in_file += tensor.name.starts_with("blk.3.") ? tensor.data.size() : 0;
  }
  EXPECT_EQ(file_bytes(layer), in_file);
  EXPECT_EQ(held_bytes(layer), in_file);
  std::uint64_t products = 0;
  for_each_product(
      layer, [&](std::string_view, const weight& w, std::uint32_t) { products += file_bytes(w); });
  EXPECT_LT(products, in_file); // less the norms and biases
  EXPECT_GT(products, in_file / 10 * 9);
}

TEST(plain_blocks, are_required_by_name_of_what_is_beyond_them) {
  EXPECT_TRUE(require_plain_blocks(
      test::loaded_model{test::architecture_model(case_named("llama"))}.get(), "checks"));
  for (const auto& [name, part] : {std::pair{"mixtral", "a router and experts"},
                                   {"qwen2", "biases"},
                                   {"qwen3", "norms of queries"},
                                   {"qwen3moe", "experts"},
                                   {"olmo2", "norms"},
                                   {"gemma", "rotation"},
                                   {"granite", "factors"},
                                   {"llama_yarn", "rotation"},
                                   {"smollm3", "rotation"}}) {
    const test::loaded_model model{test::architecture_model(case_named(name))};
    const auto plain = require_plain_blocks(model.get(), "checks without weights");
    ASSERT_FALSE(plain) << name;
    EXPECT_EQ(plain.error().code, errc::unsupported);
    EXPECT_THAT(plain.error().message, HasSubstr(part));
    EXPECT_THAT(plain.error().message, HasSubstr("checks without weights know"));
  }
}

} // namespace
} // namespace ovir::compute
