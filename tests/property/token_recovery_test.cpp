// What activations tell of tokens: an attack on privacy "ends" by a node of the middle that has the
// model's first layers, as everybody can. docs/PRIVACY.md has the table that this prints.
#include "compute/forward/segment.hpp"
#include "compute/text/tokenizer.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace ovir::compute {
namespace {

constexpr std::size_t attack_kv_bytes = std::size_t{1} << 28U;
constexpr auto secret_text = "Once upon a time there was a fox who lived at the edge of a wood.";
constexpr std::size_t positions_most = 16;
constexpr std::size_t near_tokens = 10;

/// What a node of the middle is sent of one position.
using row = std::vector<float>;

double cosine(const row& a, const row& b) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb + 1e-30);
}

struct recovered {
  std::size_t positions{0};
  std::size_t nearest{0};    ///< tokens that are the nearest of all
  std::size_t among_near{0}; ///< or among the ten nearest
  std::size_t by_trying{0};  ///< found by computing the layers with each token in turn
  std::size_t tries{0};      ///< of all of these
};

/// The first layers of a model, as whoever downloads it has them, and what comes out behind them.
class attacked_depth {
public:
  attacked_depth(const model& m, std::uint32_t depth)
      : first_(
            segment::make(m, {0, depth}, *select_kernels(std::nullopt).value(), runner_).value()) {}

  /// The rows that leave the first layers.
  [[nodiscard]] std::vector<row> boundary_of(std::span<const token_id> tokens) {
    segment_state state = open(tokens.size());
    const auto all = rows_of(state, 0, tokens);
    return all;
  }

  /// Finds the tokens of these rows; `begin` is known, as every text begins with it.
  recovered attack(const std::vector<row>& rows, std::span<const token_id> truth) {
    recovered found;
    const token_id begin = truth.front();
    make_templates(begin);
    segment_state state = open(rows.size());
    (void)rows_of(state, 0, std::span{&begin, 1});
    for (std::size_t p = 1; p < rows.size(); ++p) {
      const std::vector<token_id> order = by_nearness(rows[p]);
      const auto rank =
          static_cast<std::size_t>(std::find(order.begin(), order.end(), truth[p]) - order.begin());
      ++found.positions;
      found.nearest += rank == 0 ? 1 : 0;
      found.among_near += rank < near_tokens ? 1 : 0;
      found.by_trying += try_all(state, static_cast<position>(p), rows[p], order, found.tries) ==
                                 std::optional{truth[p]}
                             ? 1
                             : 0;
    }
    return found;
  }

private:
  segment_state open(std::size_t positions) {
    return first_->open(static_cast<std::uint32_t>(positions), attack_kv_bytes).value();
  }
  std::vector<row> rows_of(segment_state& state, position at, std::span<const token_id> tokens) {
    const auto done = first_->forward(
        state, {.first = at, .count = static_cast<std::uint32_t>(tokens.size()), .tokens = tokens},
        runner_, out_);
    EXPECT_TRUE(done);
    const std::size_t dim = first_->config().dim;
    std::vector<row> rows;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      rows.emplace_back(out_.boundary.begin() + static_cast<std::ptrdiff_t>(i * dim),
                        out_.boundary.begin() + static_cast<std::ptrdiff_t>((i + 1) * dim));
    }
    return rows;
  }
  /// What becomes of each token behind the known one: the tokens of a text look alike.
  void make_templates(token_id begin) {
    for (token_id t = 0; t < first_->config().vocabulary; ++t) {
      const token_id pair[] = {begin, t};
      segment_state state = open(2);
      templates_.push_back(rows_of(state, 0, pair)[1]);
    }
  }
  std::vector<token_id> by_nearness(const row& seen) {
    std::vector<double> close;
    for (const row& t : templates_) {
      close.push_back(cosine(t, seen));
    }
    std::vector<token_id> order(templates_.size());
    std::iota(order.begin(), order.end(), token_id{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](token_id a, token_id b) { return close[a] > close[b]; });
    return order;
  }
  /// Computes the layers with one token after the other, until the row is the one that was seen.
  std::optional<token_id> try_all(segment_state& state, position at, const row& seen,
                                  const std::vector<token_id>& order, std::size_t& tries) {
    const unit_digests before = state.units;
    for (const token_id t : order) {
      state.kv.set_length(at);
      state.units = before;
      ++tries;
      const row got = rows_of(state, at, std::span{&t, 1}).front();
      if (std::memcmp(got.data(), seen.data(), seen.size() * sizeof(float)) == 0) {
        return t;
      }
    }
    return std::nullopt;
  }

  serial_runner runner_;
  std::unique_ptr<segment> first_;
  step_output out_;
  std::vector<row> templates_;
};

recovered attack_at(const model& m, std::span<const token_id> tokens, std::uint32_t depth) {
  attacked_depth first{m, depth};
  const recovered found = first.attack(first.boundary_of(tokens), tokens);
  std::printf("| %u | %.0f %% | %.0f %% | %.0f %% | %.1f |\n", depth,
              100.0 * static_cast<double>(found.nearest) / static_cast<double>(found.positions),
              100.0 * static_cast<double>(found.among_near) / static_cast<double>(found.positions),
              100.0 * static_cast<double>(found.by_trying) / static_cast<double>(found.positions),
              static_cast<double>(found.tries) / static_cast<double>(found.positions));
  return found;
}

// OVIR_ATTACK_MODEL: another model's file, for the table.
TEST(token_recovery, who_has_the_first_layers_finds_every_token_whatever_the_depth) {
  const char* const other = std::getenv("OVIR_ATTACK_MODEL");
  test::loaded_model file{other == nullptr ? test::source_file("assets/tales-q4_k_m.gguf")
                                           : std::filesystem::path{other}};
  model checked = file.get();
  serial_runner runner;
  ASSERT_TRUE(check_weights(checked, {0, checked.config.layers}, runner));
  std::vector<token_id> tokens =
      tokenizer::make(file.file()).value()->encode(secret_text, {}).value();
  tokens.resize(std::min(tokens.size(), positions_most));
  ASSERT_GE(tokens.size(), 8U);
  std::printf(
      "| layers | nearest | among ten | by trying | tries per token |\n|---|---|---|---|---|\n");
  for (std::uint32_t depth = 1; depth < checked.config.layers; ++depth) {
    const recovered found = attack_at(checked, tokens, depth);
    EXPECT_EQ(found.by_trying, found.positions) << "the same bits come of the same tokens";
    EXPECT_LE(found.nearest, found.among_near);
  }
}

} // namespace
} // namespace ovir::compute
