#include "compute/gguf/piece_list.hpp"
#include "messages/limits/fetch.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace ovir::compute {
namespace {

std::shared_ptr<const model_manifest> manifest_from_file(const std::vector<std::byte>& bytes) {
  return std::make_shared<const model_manifest>(manifest_of(gguf::parse(bytes).value()).value());
}

std::shared_ptr<const model_manifest> of_spec(std::uint32_t layers, bool tied) {
  synth_spec spec;
  spec.layers = layers;
  spec.tied = tied;
  return manifest_from_file(test::synthetic_model(spec));
}

std::set<std::string> tensors_of(const piece_list& list, const std::vector<std::uint32_t>& pieces) {
  std::set<std::string> names;
  for (const std::uint32_t piece : pieces) {
    const std::uint32_t tensor = list.at(piece).tensor;
    names.insert(tensor == model_piece::tokenizer ? "tokenizer"
                                                  : list.manifest().tensors[tensor].name);
  }
  return names;
}

TEST(piece_list, numbers_the_tokenizer_and_then_every_chunk) {
  model_manifest m;
  m.tokenizer_bytes = 5;
  tensor_manifest a{"a", 0, 1, {1, 1, 1, 1}, 2 * manifest_chunk_bytes + 1, {}};
  a.chunks.resize(3);
  a.chunks[2].bytes[0] = 9;
  const tensor_manifest empty{"b", 0, 1, {1, 1, 1, 1}, 0, {}};
  tensor_manifest c{"c", 0, 1, {1, 1, 1, 1}, 7, {}};
  c.chunks.resize(1);
  m.tensors = {a, empty, c};
  const auto list = piece_list::of(std::make_shared<const model_manifest>(m)).value();
  ASSERT_EQ(list.size(), 5U);
  EXPECT_EQ(list.at(0).bytes, 5U);
  EXPECT_EQ(list.at(0).tensor, model_piece::tokenizer);
  EXPECT_EQ(list.at(2).offset, manifest_chunk_bytes);
  EXPECT_EQ(list.at(3).bytes, 1U);
  EXPECT_EQ(list.at(3).content, a.chunks[2]);
  EXPECT_EQ(list.at(4).tensor, 2U);
  EXPECT_EQ(list.at(4).bytes, 7U);
  EXPECT_EQ(list.layers(), 0U);
}

TEST(piece_list, segments_that_tile_a_model_have_every_piece_and_no_block_twice) {
  for (const bool tied : {false, true}) {
    const auto list = piece_list::of(of_spec(5, tied)).value();
    ASSERT_EQ(list.layers(), 5U);
    const auto whole = list.of_segment({0, 5}).value();
    EXPECT_EQ(std::set<std::uint32_t>(whole.begin(), whole.end()).size(), whole.size());
    EXPECT_EQ(whole.size(), list.size());
    for (layer_index cut = 1; cut < 5; ++cut) {
      const auto head = list.of_segment({0, cut}).value();
      const auto tail = list.of_segment({cut, 5}).value();
      std::set<std::uint32_t> both{head.begin(), head.end()};
      both.insert(tail.begin(), tail.end());
      EXPECT_EQ(both.size(), list.size());
      for (const std::string& name : tensors_of(list, head)) {
        EXPECT_FALSE(name.starts_with("blk.") && tensors_of(list, tail).contains(name)) << name;
      }
      EXPECT_EQ(tensors_of(list, tail).contains("token_embd.weight"), tied);
      EXPECT_FALSE(tensors_of(list, head).contains("output_norm.weight"));
      EXPECT_TRUE(tensors_of(list, tail).contains("output_norm.weight"));
    }
  }
}

TEST(piece_list, a_segment_is_in_the_order_of_its_layers) {
  const auto list = piece_list::of(of_spec(12, false)).value(); // blk.10 sorts before blk.2
  const auto pieces = list.of_segment({1, 12}).value();
  std::vector<std::string> blocks;
  for (const std::uint32_t piece : pieces) {
    const std::uint32_t tensor = list.at(piece).tensor;
    if (tensor != model_piece::tokenizer && list.manifest().tensors[tensor].name[0] == 'b') {
      const std::string& name = list.manifest().tensors[tensor].name;
      const std::string block = name.substr(0, name.find('.', 4));
      if (blocks.empty() || blocks.back() != block) {
        blocks.push_back(block);
      }
    }
  }
  ASSERT_EQ(blocks.size(), 11U);
  EXPECT_EQ(blocks.front(), "blk.1");
  EXPECT_EQ(blocks[1], "blk.2");
  EXPECT_EQ(blocks.back(), "blk.11");
}

TEST(piece_list, layers_the_model_has_not_are_refused) {
  const auto list = piece_list::of(of_spec(2, false)).value();
  for (const layer_range wrong : {layer_range{0, 3}, {1, 1}, {2, 1}, {2, 3}, {0, 0}}) {
    EXPECT_EQ(list.of_segment(wrong).error().code, errc::invalid_argument);
  }
}

TEST(piece_list, a_tokenizer_too_large_for_a_piece_is_refused) {
  model_manifest m;
  m.tokenizer_bytes = limits::fetch_piece_bytes_max + 1;
  EXPECT_EQ(piece_list::of(std::make_shared<const model_manifest>(m)).error().code,
            errc::over_limit);
}

} // namespace
} // namespace ovir::compute
