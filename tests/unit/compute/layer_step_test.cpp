#include "compute/forward/layer_step.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace ovir::compute {
namespace {

using testing::Each;

/// A thread for every part.
class threads_runner final : public parallel_runner {
public:
  explicit threads_runner(std::size_t width) : width_{width} {}
  [[nodiscard]] std::size_t width() const noexcept override { return width_; }
  void run(std::size_t count, const std::function<void(std::size_t)>& part) override {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < count; ++i) {
      threads.emplace_back([&part, i] { part(i); });
    }
    for (std::thread& t : threads) {
      t.join();
    }
  }

private:
  std::size_t width_;
};

struct matrix {
  std::uint32_t rows;
  std::uint32_t cols;
  std::vector<float> values;

  matrix(std::uint32_t seed, std::uint32_t r, std::uint32_t c) : rows{r}, cols{c} {
    std::mt19937 random{seed};
    values.resize(std::size_t{r} * c);
    for (float& v : values) {
      v = static_cast<float>(random() % 2001) / 1000.0F - 1;
    }
  }
  [[nodiscard]] weight view() const {
    weight w;
    w.type = tensor_type::f32;
    w.rows = rows;
    w.cols = cols;
    w.data = reinterpret_cast<const std::byte*>(values.data());
    return w;
  }
};

activations input_of(std::uint32_t tokens, const matrix& x, std::span<const product_group> group) {
  activations input;
  input.reshape(tokens, x.cols, forms_of(group));
  for (std::uint32_t t = 0; t < tokens; ++t) {
    std::copy_n(x.values.data() + std::size_t{t} * x.cols, x.cols, input.row(t));
  }
  return input;
}

TEST(multiply_alike, tells_of_every_row_once_and_when_all_its_products_are_there) {
  constexpr std::uint32_t cols = 64;
  const kernel_set& kernels = kernels_reference();
  for (const std::uint32_t rows : {1U, 16U, 40U, 200U}) {
    const matrix first{1, rows, cols};
    const matrix second{2, rows, cols};
    const weight views[] = {first.view(), second.view()};
    for (const std::uint32_t tokens : {1U, 2U, 5U}) {
      const std::size_t n = std::size_t{tokens} * rows;
      std::vector<float> expected[2] = {std::vector<float>(n), std::vector<float>(n)};
      const product_group plain[] = {{&views[0], expected[0].data()},
                                     {&views[1], expected[1].data()}};
      const activations input = input_of(tokens, matrix{3, tokens, cols}, plain);
      serial_runner serial;
      multiply(kernels, input, plain, serial);
      for (const std::size_t width : {1U, 2U, 7U}) {
        std::vector<float> out[2] = {std::vector<float>(n, 1e9F), std::vector<float>(n, 1e9F)};
        const product_group group[] = {{&views[0], out[0].data()}, {&views[1], out[1].data()}};
        std::vector<std::atomic<int>> told(rows);
        std::atomic<int> wrong{0};
        threads_runner runner{width};
        multiply_alike(kernels, input, group, runner, [&](std::uint32_t from, std::uint32_t to) {
          for (std::uint32_t r = from; r < to; ++r) {
            ++told.at(r);
            for (std::size_t i = r; i < n; i += rows) {
              wrong += out[0][i] != expected[0][i] || out[1][i] != expected[1][i] ? 1 : 0;
            }
          }
        });
        EXPECT_THAT(std::vector<int>(told.begin(), told.end()), Each(1))
            << rows << " rows, " << tokens << " tokens, " << width;
        EXPECT_EQ(wrong, 0) << rows << " rows, " << tokens << " tokens, " << width;
      }
    }
  }
}

TEST(for_tokens, calls_for_every_token_once) {
  for (const std::size_t tokens : {1U, 2U, 8U, 129U}) {
    for (const std::size_t width : {1U, 2U, 7U, 70U}) {
      std::vector<std::atomic<int>> calls(tokens);
      threads_runner runner{width};
      for_tokens(tokens, runner, [&](std::size_t t) { ++calls.at(t); });
      EXPECT_THAT(std::vector<int>(calls.begin(), calls.end()), Each(1))
          << tokens << " tokens, " << width;
    }
  }
}

} // namespace
} // namespace ovir::compute
