#include "actors/stage/row_digests.hpp"
#include "compute/model/transcript.hpp"
#include "messages/limits/general.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <vector>

namespace ovir::actors {
namespace {

constexpr std::uint32_t width = 4;
constexpr layer_index layer = 3;
constexpr std::uint32_t window = limits::window_positions;

/// Row `p` of the request, or a guess of it that is wrong.
std::vector<float> row(position p, bool guess = false) {
  std::vector<float> values(width);
  for (std::uint32_t i = 0; i < width; ++i) {
    values[i] = static_cast<float>(p * width + i) + (guess ? 0.5F : 0.0F);
  }
  return values;
}

class kept_rows : public ::testing::Test {
protected:
  kept_rows() { digests_.keep_rows(); }

  /// `certain` rows from `first` on, and behind them as many wrong guesses.
  void add(position first, std::uint32_t certain, std::uint32_t guesses = 0) {
    frame_header h;
    h.kind = guesses > 0 ? frame_kind::drafted_boundary : frame_kind::boundary;
    h.request = request_id{1};
    h.epoch = epoch{1};
    h.first = first;
    h.count = certain + guesses;
    h.width = width;
    h.logit_rows = guesses + 1;
    std::vector<float> values;
    for (std::uint32_t i = 0; i < h.count; ++i) {
      const std::vector<float> one = row(first + i, i >= certain);
      values.insert(values.end(), one.begin(), one.end());
    }
    const auto frame = std::make_shared<const std::vector<std::byte>>(
        encode_frame(h, std::as_bytes(std::span{values})));
    const auto view = decode_frame(*frame);
    ASSERT_TRUE(view);
    digests_.add(*view, frame);
  }
  /// Whether these are the rows of the window's first positions, and what its digest is of.
  [[nodiscard]] bool right(const std::vector<float>& rows, std::uint32_t w,
                           std::uint32_t positions) {
    std::vector<float> wanted;
    for (position p = w * window; p < w * window + positions; ++p) {
      const std::vector<float> one = row(p);
      wanted.insert(wanted.end(), one.begin(), one.end());
    }
    compute::unit_digests again{{layer, layer + 1}};
    again.skip_to(w);
    std::vector<compute::unit_leaf> leaves;
    again.add(layer, w * window, positions, rows, width, leaves);
    for (const compute::unit_leaf& open : again.open_leaves()) {
      leaves.push_back(open);
    }
    return rows == wanted && leaves.size() == 1 &&
           leaves.front().boundary == digests_.at(w, positions);
  }

  row_digests digests_ = row_digests::of_boundary(layer);
};

TEST_F(kept_rows, are_those_that_the_digest_of_their_window_names) {
  add(0, 40);
  add(40, 30);
  EXPECT_TRUE(right(digests_.take_rows(0, window), 0, window));
  EXPECT_TRUE(right(digests_.take_rows(1, window), 1, window));
  EXPECT_TRUE(right(digests_.take_rows(2, 6), 2, 6)); // the window that the request ends in
}

TEST_F(kept_rows, have_no_wrong_guess_among_them) {
  add(0, 29);
  add(29, 1, 5);
  add(30, 1, 3); // none of the five was right
  add(31, 1);
  EXPECT_TRUE(right(digests_.take_rows(0, window), 0, window));
}

TEST_F(kept_rows, are_taken_once_and_only_where_all_are_there) {
  add(0, window);
  EXPECT_EQ(digests_.take_rows(1, 1), std::vector<float>{});
  EXPECT_EQ(digests_.take_rows(0, window).size(), std::size_t{window} * width);
  EXPECT_EQ(digests_.take_rows(0, window), std::vector<float>{});
  add(window, 3);
  EXPECT_EQ(digests_.take_rows(1, 4), std::vector<float>{});
}

TEST(rows, are_not_kept_unless_it_is_asked_for) {
  row_digests digests = row_digests::of_boundary(layer);
  EXPECT_EQ(digests.take_rows(0, window), std::vector<float>{});
}

} // namespace
} // namespace ovir::actors
