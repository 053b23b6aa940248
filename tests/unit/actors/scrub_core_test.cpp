#include "actors/weights/scrub_core.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ovir::actors {
namespace {

class scrubs : public ::testing::Test {
protected:
  /// A model of so many tensors of one piece each; its first piece, the tokenizer, has no bytes.
  scrub_core::part part_of(int tensors) {
    test::gguf_builder builder;
    builder.text("general.architecture", "llama").text("general.name", std::to_string(tensors));
    for (int i = 0; i < tensors; ++i) {
      builder.tensor("t" + std::to_string(i), 0, {8});
    }
    bytes_.push_back(builder.build());
    auto model = std::make_shared<catalog_model>();
    model->metadata = compute::gguf::parse(bytes_.back()).value();
    model->manifest =
        std::make_shared<const compute::model_manifest>(*compute::manifest_of(model->metadata));
    return std::make_shared<const held_pieces>(held_pieces::of(model).value());
  }

  static std::vector<std::uint32_t> indices(const std::vector<scrub_core::piece>& pieces) {
    std::vector<std::uint32_t> out;
    out.reserve(pieces.size());
    for (const scrub_core::piece& piece : pieces) {
      out.push_back(piece.index);
    }
    return out;
  }

  static constexpr std::uint64_t all = 1U << 30U;
  std::vector<std::vector<std::byte>> bytes_;
  scrub_core core_;
};

TEST_F(scrubs, go_through_every_part_and_begin_again) {
  const std::vector<scrub_core::part> parts{part_of(3), part_of(2)};
  const auto first = core_.next(parts, 4, all);
  const auto second = core_.next(parts, 4, all);
  const std::vector<std::uint32_t> seen = indices(first);
  EXPECT_EQ(first.size(), 4U);
  EXPECT_EQ(first[3].of, parts[1]);
  ASSERT_EQ(second.size(), 1U) << "the rest of the round";
  EXPECT_EQ(second.front().of, parts[1]);
  EXPECT_EQ(core_.rounds(), 1U);
  EXPECT_EQ(indices(core_.next(parts, 4, all)), seen);
  EXPECT_EQ(core_.checked(), 9U);
}

TEST_F(scrubs, take_no_piece_twice_in_one_batch) {
  const std::vector<scrub_core::part> parts{part_of(3)};
  static_cast<void>(core_.next(parts, 2, all));
  EXPECT_EQ(core_.next(parts, 100, all).size(), 1U);
  EXPECT_EQ(core_.next(parts, 100, all).size(), 3U);
}

TEST_F(scrubs, end_with_the_piece_that_reaches_the_bytes) {
  const std::vector<scrub_core::part> parts{part_of(9)};
  EXPECT_EQ(core_.next(parts, 100, 3 * 32).size(), 3U) << "tensors of 32 bytes";
  EXPECT_EQ(core_.next(parts, 100, 1).size(), 1U) << "however large it is";
}

TEST_F(scrubs, of_nothing_are_nothing) {
  EXPECT_TRUE(core_.next({}, 16, all).empty());
  EXPECT_TRUE(core_.next({part_of(0)}, 16, all).empty());
}

TEST_F(scrubs, go_on_when_a_part_is_gone) {
  const scrub_core::part one = part_of(3);
  const scrub_core::part two = part_of(2);
  static_cast<void>(core_.next({one, two}, 4, all));
  EXPECT_FALSE(core_.next({one}, 2, all).empty());
}

TEST_F(scrubs, report_a_damaged_piece_once) {
  EXPECT_TRUE(core_.note_damaged(digest{}, 3));
  EXPECT_FALSE(core_.note_damaged(digest{}, 3));
  EXPECT_TRUE(core_.note_damaged(digest{}, 4));
}

} // namespace
} // namespace ovir::actors
