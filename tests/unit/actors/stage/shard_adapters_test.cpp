// A stage's sessions with the adapters of their models: in one pass, and when they begin afresh.
#include "actors/stage/shard_core.hpp"
#include "compute/model/lora.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace ovir::actors {
namespace {

digest adapted_name(std::uint8_t number) {
  digest d;
  d.bytes.fill(number);
  return d;
}

class shard_adapters : public ::testing::Test {
protected:
  shard_adapters() : model_(test::tiny_model(1, compute::synth_quantization::q8_0)) {}

  /// A stage of the first layer.
  struct stage {
    std::shared_ptr<stage_bench> bench{std::make_shared<stage_bench>()};
    std::unique_ptr<shard_core> core{};
  };
  [[nodiscard]] stage first_layer() {
    stage s;
    s.bench->segment =
        compute::segment::make(model_.get(), {0, 1}, compute::kernels_reference(), runner_).value();
    s.bench->kv_bytes_max = 1U << 20U;
    s.core = std::make_unique<shard_core>(s.bench);
    return s;
  }

  /// A model with an adapter of rank 1 for the values of every layer, all of whose numbers are
  /// `value`.
  [[nodiscard]] session_model with(std::uint8_t number, float value) {
    const compute::model_config& c = model_.get().config;
    numbers_.push_back(std::make_unique<std::vector<float>>(std::max(c.dim, c.kv_dim()), value));
    const auto* const data = reinterpret_cast<const std::byte*>(numbers_.back()->data());
    auto made = std::make_shared<compute::lora_weights>();
    made->layers.resize(c.layers);
    for (auto& layer : made->layers) {
      layer[compute::at_v] = {{.rows = 1, .cols = c.dim, .data = data},
                              {.rows = c.kv_dim(), .cols = 1, .data = data},
                              1};
    }
    return {adapted_name(number), std::move(made)};
  }

  /// More than passes gather for, and few enough for three to share one.
  static frame_bytes five_tokens(std::uint64_t request, std::uint32_t e) {
    const std::vector<token_id> ids{3, 14, 15, 9, 2};
    const frame_header h{frame_kind::tokens, request_id{request}, epoch{e}, 0, 5, 1, 0};
    return std::make_shared<const std::vector<std::byte>>(
        encode_frame(h, std::as_bytes(std::span{ids})));
  }
  /// Of each request, in order of their ids, the boundary that went out.
  std::vector<std::vector<std::byte>> boundaries_of_a_pass(stage& s, std::size_t expected) {
    const auto pass = s.core->next_pass(false);
    EXPECT_EQ(pass.size(), expected) << "they do not share a pass";
    const auto outcomes = perform(pass, *s.bench, runner_);
    std::vector<std::vector<std::byte>> all(expected);
    for (std::size_t i = 0; i < pass.size(); ++i) {
      (void)s.core->job_ended(pass[i].request, outcomes[i].length);
      const auto tensor = decode_frame(*outcomes[i].outgoing).value().tensor;
      all.at(pass[i].request.value - 1).assign(tensor.begin(), tensor.end());
    }
    return all;
  }

  test::loaded_model model_;
  compute::serial_runner runner_;
  std::vector<std::unique_ptr<std::vector<float>>> numbers_;
};

TEST_F(shard_adapters,
       sessions_with_two_of_them_and_none_share_a_pass_with_the_bytes_of_each_alone) {
  const session_model models[] = {{}, with(1, 0.5F), with(2, -0.25F)};
  std::vector<std::vector<std::byte>> alone;
  for (const session_model& m : models) {
    stage s = first_layer();
    ASSERT_TRUE(s.core->open(request_id{1}, epoch{1}, 64, 64, 64, m));
    ASSERT_TRUE(s.core->accept(five_tokens(1, 1)));
    alone.push_back(boundaries_of_a_pass(s, 1).front());
  }
  EXPECT_NE(alone[0], alone[1]);
  EXPECT_NE(alone[1], alone[2]);
  stage s = first_layer();
  for (std::uint64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(s.core->open(request_id{1 + i}, epoch{1}, 64, 64, 64, models[i]));
    ASSERT_TRUE(s.core->accept(five_tokens(1 + i, 1)));
  }
  EXPECT_EQ(boundaries_of_a_pass(s, 3), alone);
}

TEST_F(shard_adapters, stay_with_a_session_that_begins_afresh_and_no_other_takes_their_place) {
  const session_model one = with(1, 0.5F);
  stage s = first_layer();
  ASSERT_TRUE(s.core->open(request_id{1}, epoch{1}, 64, 64, 64, one));
  ASSERT_TRUE(s.core->accept(five_tokens(1, 1)));
  const auto first = boundaries_of_a_pass(s, 1);
  ASSERT_TRUE(s.core->open(request_id{1}, epoch{2}, 64, 0, 64, one)); // knows of no position
  ASSERT_TRUE(s.core->accept(five_tokens(1, 2)));
  EXPECT_EQ(boundaries_of_a_pass(s, 1), first);
  const auto refused = s.core->open(request_id{1}, epoch{3}, 64, 64, 64, with(2, 0.5F));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::invalid_argument);
  EXPECT_FALSE(s.core->open(request_id{1}, epoch{3}, 64, 64));
}

TEST_F(shard_adapters, name_what_their_sessions_sign_and_keep) {
  stage_bench bench;
  bench.cache.model = adapted_name(9);
  EXPECT_EQ(model_of(bench, with(1, 0.5F)), adapted_name(1));
  EXPECT_EQ(model_of(bench, {}), adapted_name(9));
}

} // namespace
} // namespace ovir::actors
