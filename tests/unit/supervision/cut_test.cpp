#include "messages/limits/general.hpp"
#include "messages/wire/frame.hpp"
#include "node/cut.hpp"

#include <gtest/gtest.h>

namespace ovir::supervision {

TEST(cut, tiles_the_model_for_every_number_of_layers_and_stages) {
  for (std::uint32_t layers = 1; layers <= 24; ++layers) {
    const std::vector<std::uint64_t> bytes(layers, 100);
    for (std::uint32_t stages = 1; stages <= layers; ++stages) {
      const auto ranges = cut(bytes, 170, stages);
      ASSERT_EQ(ranges.size(), stages);
      layer_index next = 0;
      for (const layer_range r : ranges) {
        EXPECT_EQ(r.first, next);
        EXPECT_LT(r.first, r.last);
        next = r.last;
      }
      EXPECT_EQ(next, layers);
    }
  }
}

TEST(cut, gives_fewer_layers_to_the_segment_with_the_head) {
  const auto ranges = cut(std::vector<std::uint64_t>(8, 100), 300, 2);
  EXPECT_EQ(ranges[0], (layer_range{0, 5}));
  EXPECT_EQ(ranges[1], (layer_range{5, 8}));
}

TEST(prefill_chunk, is_cut_where_a_wide_model_would_need_gigabytes_for_one_step) {
  compute::model_config config;
  config.dim = 2'048;
  config.heads = 32;
  config.head_dim = 64;
  config.ffn_dim = 5'632;
  EXPECT_EQ(prefill_chunk_for(config, 64), 64U);
  EXPECT_EQ(prefill_chunk_for(config, limits::prefill_chunk_max), limits::prefill_chunk_max);
  // A small file can state a wide feed-forward block, since its rows may be short.
  config.dim = 32;
  config.ffn_dim = limits::feed_forward_max;
  EXPECT_EQ(prefill_chunk_for(config, limits::prefill_chunk_max), 256U);
  config.ffn_dim = 64;
  config.heads = limits::heads_max;
  config.head_dim = limits::feed_forward_max / limits::heads_max;
  EXPECT_EQ(prefill_chunk_for(config, limits::prefill_chunk_max), 256U);
}

TEST(prefill_chunk, leaves_a_boundary_that_fits_a_frame) {
  compute::model_config config;
  config.dim = limits::embedding_max;
  config.heads = 1;
  config.head_dim = 2;
  config.ffn_dim = 1;
  const std::uint32_t chunk = prefill_chunk_for(config, limits::prefill_chunk_max);
  EXPECT_GE(chunk, 1U);
  EXPECT_LE(std::size_t{chunk} * config.dim * 4 + frame_overhead_bytes, limits::frame_bytes_max);
}

} // namespace ovir::supervision
