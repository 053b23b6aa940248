#include "actors/path/planner.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace ovir::actors {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t mib = 1U << 20U;

plan_node machine(std::string name, std::uint64_t memory_mib, double speed) {
  return {.name = std::move(name),
          .memory = memory_mib * mib,
          .decode_bytes_per_second = speed,
          .prefill_bytes_per_second = speed * 4,
          .rtt_seconds = 0.001,
          .bandwidth_bytes_per_second = 1e8};
}

/// Eight layers of 10 MiB with 1 MiB of KV each, embedding and head of 5 MiB: 98 MiB.
plan_request eight_layers(std::vector<plan_node> nodes) {
  plan_request r;
  r.shape.layer_weights.assign(8, 10 * mib);
  r.shape.kv_per_position = mib / 128;
  r.shape.embedding = 5 * mib;
  r.shape.head = 5 * mib;
  r.nodes = std::move(nodes);
  r.context = 128;
  return r;
}

TEST(planner, uses_one_machine_when_that_is_faster_and_says_so) {
  const auto made = make_plan(eight_layers({machine("a", 200, 1e9), machine("b", 200, 1e9)}));
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->stages.size(), 1U);
  EXPECT_THAT(made->why, HasSubstr("a alone is faster than any split"));
  EXPECT_EQ(made->stages[0].memory(), 98 * mib);
}

TEST(planner, splits_for_throughput_what_it_keeps_together_for_latency) {
  plan_request r = eight_layers({machine("a", 200, 1e9), machine("b", 200, 1e9)});
  r.requests = 4;
  r.nodes[0].memory = r.nodes[1].memory = 400 * mib;
  r.objective = plan_objective::batch;
  const auto made = make_plan(r);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->stages.size(), 2U);
  ASSERT_TRUE(made->alone);
  EXPECT_GT(made->speed.tokens_per_second_together, 1.7 * made->alone->tokens_per_second_together);
}

TEST(planner, splits_when_no_machine_holds_the_model) {
  const auto made = make_plan(eight_layers({machine("a", 60, 1e9), machine("b", 60, 2e9)}));
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->stages.size(), 2U);
  EXPECT_THAT(made->why, HasSubstr("memory binds"));
  EXPECT_FALSE(made->alone);
  for (const plan_stage& stage : made->stages) {
    EXPECT_LE(stage.memory(), 60 * mib);
    EXPECT_EQ(stage.layers.size(), stage.node == 1 ? 5U : 3U) << "the fast one is filled";
  }
}

TEST(planner, leaves_a_slow_machine_out) {
  const auto made = make_plan(
      eight_layers({machine("a", 60, 1e9), machine("slow", 200, 1e6), machine("b", 60, 1e9)}));
  ASSERT_TRUE(made) << made.error().message;
  for (const plan_stage& stage : made->stages) {
    EXPECT_NE(stage.node, 1U);
  }
  EXPECT_THAT(made->why, HasSubstr("1 of 3 machines are left out"));
}

TEST(planner, goes_around_a_slow_link) {
  plan_request r =
      eight_layers({machine("a", 45, 1e9), machine("b", 45, 1e9), machine("c", 45, 1e9)});
  r.links = {{0, 1, 0.5, 1e8}};
  const auto made = make_plan(r);
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->stages.size(), 3U);
  EXPECT_EQ(made->stages[1].node, 2U) << "a and b are not neighbours";
}

TEST(planner, begins_where_the_lead_is_when_all_else_is_equal) {
  plan_request r = eight_layers({machine("a", 200, 1e9), machine("b", 200, 1e9)});
  r.lead = 1;
  const auto made = make_plan(r);
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->stages.size(), 1U);
  EXPECT_EQ(made->stages[0].node, 1U);
}

TEST(planner, holds_a_tied_head_once_where_the_embedding_is_too) {
  plan_request r = eight_layers({machine("a", 93, 1e9)});
  EXPECT_FALSE(make_plan(r));
  r.shape.tied_head = true;
  const auto made = make_plan(r);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->stages[0].weights, 85 * mib);
}

TEST(planner, counts_memory_to_the_byte) {
  plan_request r = eight_layers({machine("a", 98, 1e9)});
  EXPECT_TRUE(make_plan(r));
  --r.nodes[0].memory;
  EXPECT_FALSE(make_plan(r));
}

TEST(planner, names_the_shortfall) {
  const auto one = make_plan(eight_layers({machine("a", 90, 1e9)}));
  ASSERT_FALSE(one);
  EXPECT_EQ(one.error().code, errc::over_limit);
  EXPECT_THAT(one.error().message, HasSubstr("need 98 MiB"));
  EXPECT_THAT(one.error().message, HasSubstr("at least 8 MiB too little"));
  EXPECT_THAT(one.error().message, HasSubstr("; 8 MiB more on each node would do"));
  // Enough in all, but 55 MiB hold an end and 4 layers, and 43 an end and 3. 60 would hold 5.
  const auto two = make_plan(eight_layers({machine("a", 55, 1e9), machine("b", 43, 1e9)}));
  ASSERT_FALSE(two);
  EXPECT_THAT(two.error().message, HasSubstr("no cut between layers fits"));
  EXPECT_THAT(two.error().message, HasSubstr("; 5 MiB more on each node would do"));
}

TEST(planner, keeps_a_stage_within_what_its_node_holds) {
  plan_request r = eight_layers({machine("slow", 200, 1e8), machine("fast", 200, 1e9)});
  r.nodes[0].holds = layer_range{0, 6};
  r.nodes[1].holds = layer_range{2, 8};
  const auto made = make_plan(r);
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->stages.size(), 2U);
  EXPECT_EQ(made->stages[0].layers, (layer_range{0, 2})) << "as little as possible on the slow one";
  EXPECT_EQ(made->stages[1].layers, (layer_range{2, 8}));
  EXPECT_THAT(made->why, HasSubstr("no machine has all layers of the model"));
  EXPECT_FALSE(made->alone);
}

TEST(planner, names_the_first_layers_nobody_holds) {
  plan_request r = eight_layers({machine("a", 2, 1e9), machine("b", 200, 1e9)});
  r.nodes[0].holds = layer_range{0, 4};
  r.nodes[1].holds = layer_range{6, 8};
  auto made = make_plan(r);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, errc::segment_missing);
  EXPECT_EQ(made.error().message, "layers 4 to 5 are held by no node that is there");
  r.nodes[0].holds = layer_range{1, 6};
  made = make_plan(r);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message, "layer 0 is held by no node that is there");
  r.nodes[0].holds = layer_range{0, 6};
  made = make_plan(r);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, errc::over_limit) << "the layers are there, the memory is not";
}

TEST(planner, counts_only_kv_and_buffers_where_the_weights_are_in_memory) {
  plan_request r = eight_layers({machine("a", 8, 1e9)});
  r.nodes[0].holds = layer_range{0, 8};
  EXPECT_FALSE(make_plan(r)) << "the weights come on top";
  r.nodes[0].loaded = true;
  const auto made = make_plan(r);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->stages[0].kv, 8 * mib);
  EXPECT_EQ(made->stages[0].weights, 90 * mib);
  --r.nodes[0].memory;
  const auto refused = make_plan(r);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::over_limit);
  EXPECT_THAT(refused.error().message, HasSubstr("need 8 MiB beside the weights"));
  EXPECT_THAT(refused.error().message, HasSubstr("; 1 MiB more on each node would do"));
}

TEST(planner, refuses_numbers_outside_their_range) {
  const plan_request good = eight_layers({machine("a", 200, 1e9), machine("b", 200, 1e9)});
  std::vector<plan_request> bad(12, good);
  bad[0].nodes.clear();
  bad[1].nodes.assign(limits::path_nodes_max + 1, good.nodes[0]);
  bad[2].nodes[1].decode_bytes_per_second = 0;
  bad[3].nodes[1].rtt_seconds = std::numeric_limits<double>::quiet_NaN();
  bad[4].links = {{0, 2, 0.1, 1e8}};
  bad[5].links = {{1, 1, 0.1, 1e8}};
  bad[6].context = 0;
  bad[7].shape.layer_weights.clear();
  bad[8].lead = 2;
  bad[9].nodes[1].holds = layer_range{3, 3};
  bad[10].nodes[1].holds = layer_range{3, 9};
  bad[11].nodes[1].loaded = true;
  for (std::size_t i = 0; i < bad.size(); ++i) {
    const auto made = make_plan(bad[i]);
    ASSERT_FALSE(made) << i;
    EXPECT_EQ(made.error().code, errc::invalid_argument) << i;
  }
}

TEST(planner, counts_what_weights_take_in_memory_not_in_the_file) {
  OVIR_SHARED_FILE(path, "models/quants/tiny-llama-q5_1.gguf");
  const test::loaded_model model{path};
  const model_shape shape = shape_of(model.get(), 64);
  for (std::size_t l = 0; l < shape.layer_weights.size(); ++l) {
    const compute::layer_weights& w = model.get().layers[l];
    // Of these types, 10 bits an element; other types stay as they are.
    std::uint64_t least = 0;
    for (const compute::layer_part& part : compute::layer_parts) {
      const compute::weight& one = w.*part.member;
      least += !one.empty() && compute::is_unpacked(one.type) ? one.rows * std::uint64_t{one.cols}
                                                              : compute::file_bytes(one);
    }
    EXPECT_GE(shape.layer_weights[l], least) << l;
    EXPECT_GT(shape.layer_weights[l], 3 * compute::file_bytes(w) / 2) << l;
  }
}

TEST(planner, counts_types_with_kernels_of_their_own_as_in_the_file) {
  for (const char* const name : {"q2_k", "q3_k_m", "q5_k_m"}) {
    OVIR_SHARED_FILE(path, std::string{"models/quants/tiny-llama-"} + name + ".gguf");
    const test::loaded_model model{path};
    const model_shape shape = shape_of(model.get(), 64);
    for (std::size_t l = 0; l < shape.layer_weights.size(); ++l) {
      EXPECT_EQ(shape.layer_weights[l], compute::file_bytes(model.get().layers[l])) << name;
    }
  }
}

TEST(planner, takes_the_shape_from_the_model) {
  const test::loaded_model model{test::minimal_llama().build()};
  const model_shape shape = shape_of(model.get(), 64);
  // F32: dim 8, ffn_dim 16, 2 heads of 4, 1 key/value head, vocabulary 10.
  const std::uint64_t layer = 4 * (2 * 8 + 2 * 8 * 8 + 2 * 4 * 8 + 3 * 8 * 16);
  EXPECT_EQ(shape.layer_weights, std::vector<std::uint64_t>(2, layer));
  EXPECT_EQ(shape.kv_per_position, 16U);
  EXPECT_EQ(shape.embedding, 320U);
  EXPECT_EQ(shape.head, 352U);
  EXPECT_FALSE(shape.tied_head);
  EXPECT_EQ(shape.boundary, 32U);
  EXPECT_EQ(shape.logits, 40U);
}

} // namespace
} // namespace ovir::actors
