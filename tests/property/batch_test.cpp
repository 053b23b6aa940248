// Steps of several sessions in one pass over the weights, against the same steps alone, bit for
// bit.
#include "compute/forward/segment.hpp"
#include "compute/make/synth.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace ovir::compute {
namespace {

constexpr std::uint32_t positions_max = 40; // a window and some
constexpr std::size_t kv_bytes_max = 1U << 26U;

/// Parts in any order, more of them than one.
class shuffling_runner final : public parallel_runner {
public:
  explicit shuffling_runner(std::mt19937& random) : random_(random) {}
  [[nodiscard]] std::size_t width() const noexcept override { return 3; }
  void run(std::size_t count, const std::function<void(std::size_t)>& part) override {
    std::vector<std::size_t> order(count);
    for (std::size_t i = 0; i < count; ++i) {
      order[i] = i;
    }
    std::shuffle(order.begin(), order.end(), random_);
    for (const std::size_t i : order) {
      part(i);
    }
  }

private:
  std::mt19937& random_;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

/// A request in one segment, and what it would be if it were alone there.
struct session {
  std::vector<token_id> tokens;  // of the first segment
  std::vector<float> boundaries; // of a later one: [positions][dim]
  segment_state alone;
  segment_state shared;
  position length{0};
};

using parameters = std::tuple<const kernel_set*, const char*>;

class batch : public testing::TestWithParam<parameters> {
protected:
  batch() : model_(test::tiny_model(3, synth_quantization_from(std::get<1>(GetParam())).value())) {
    RecordProperty("seed", std::to_string(seed));
  }

  static constexpr std::uint32_t seed = 7;

  std::uint32_t up_to(std::uint32_t most) {
    return std::uniform_int_distribution<std::uint32_t>{1, most}(random_);
  }
  std::unique_ptr<segment> segment_of(layer_range layers) {
    return segment_of(model_.get(), layers);
  }
  std::unique_ptr<segment> segment_of(const model& m, layer_range layers) {
    return segment::make(m, layers, *std::get<0>(GetParam()), runner_).value();
  }
  std::vector<session> sessions_for(const segment& s, std::size_t count) {
    std::vector<session> made;
    const model_config& c = s.config();
    for (std::size_t i = 0; i < count; ++i) {
      session one;
      for (std::uint32_t p = 0; p < positions_max; ++p) {
        one.tokens.push_back(up_to(c.vocabulary) - 1);
      }
      std::normal_distribution<float> value{0, 1};
      one.boundaries.resize(std::size_t{positions_max} * c.dim);
      std::generate(one.boundaries.begin(), one.boundaries.end(), [&] { return value(random_); });
      one.alone = s.open(positions_max, kv_bytes_max).value();
      one.shared = s.open(positions_max, kv_bytes_max).value();
      made.push_back(std::move(one));
    }
    return made;
  }

  step_input input_of(const segment& s, const session& one, std::uint32_t count) {
    const std::size_t dim = s.config().dim;
    step_input in{.first = one.length, .count = count};
    if (s.is_first()) {
      in.tokens = std::span{one.tokens}.subspan(one.length, count);
    } else {
      in.boundary = std::span{one.boundaries}.subspan(one.length * dim, count * dim);
    }
    in.logit_rows = s.is_last() ? up_to(count + 1) - 1 : 0;
    return in;
  }

  void expect_as_alone(segment& s, session& one, const session_step& step) {
    step_output alone;
    const auto done = s.forward(one.alone, step.in, runner_, alone);
    ASSERT_EQ(bool{step.done}, bool{done}) << step.done.error().message;
    if (!done) {
      EXPECT_EQ(step.done.error(), done.error());
      return;
    }
    EXPECT_TRUE(same_bits(step.out->boundary, alone.boundary));
    EXPECT_TRUE(same_bits(step.out->logits, alone.logits));
    EXPECT_EQ(step.out->leaves, alone.leaves);
    EXPECT_EQ(one.shared.units.open_leaves(), one.alone.units.open_leaves());
    EXPECT_EQ(one.shared.kv.length(), one.alone.kv.length());
    one.length += step.in.count;
  }

  /// Everything all sessions have, in passes of random subsets with decode and prefill steps.
  void run_all(segment& s, std::vector<session> all) {
    std::vector<step_output> outputs(all.size());
    while (std::any_of(all.begin(), all.end(), [](auto& o) { return o.length < positions_max; })) {
      std::vector<session*> members;
      std::vector<session_step> steps;
      std::vector<std::size_t> order(all.size());
      for (std::size_t i = 0; i < order.size(); ++i) {
        order[i] = i;
      }
      std::shuffle(order.begin(), order.end(), random_);
      order.resize(up_to(static_cast<std::uint32_t>(all.size())));
      for (const std::size_t i : order) {
        if (const std::uint32_t left = positions_max - all[i].length; left > 0) {
          const std::uint32_t count = up_to(3) == 1 ? up_to(std::min(left, 40U)) : 1;
          members.push_back(&all[i]);
          steps.push_back({&all[i].shared, input_of(s, all[i], count), &outputs[i]});
        }
      }
      s.forward(steps, shuffled_);
      for (std::size_t i = 0; i < steps.size(); ++i) {
        expect_as_alone(s, *members[i], steps[i]);
        ASSERT_FALSE(HasFailure()) << "step " << i << " of " << steps.size() << ", "
                                   << steps[i].in.count << " positions from " << steps[i].in.first;
      }
    }
  }

  std::mt19937 random_{seed};
  serial_runner runner_;
  shuffling_runner shuffled_{random_};
  test::loaded_model model_;
};

TEST_P(batch, gives_every_session_the_bits_it_would_get_alone) {
  const std::uint32_t layers = model_.get().config.layers;
  for (const layer_range range :
       {layer_range{0, layers}, layer_range{0, 1}, layer_range{1, layers}}) {
    const auto s = segment_of(range);
    run_all(*s, sessions_for(*s, std::get<0>(GetParam())->id == isa::reference ? 3 : 6));
    ASSERT_FALSE(HasFailure()) << "layers " << range.first << " to " << range.last;
  }
}

TEST_P(batch, fails_sessions_one_by_one_with_the_error_they_would_get_alone) {
  // A layer that makes keys beyond fp16 of rows that do not begin with 0.
  const std::uint32_t layers = model_.get().config.layers;
  const std::size_t dim = model_.get().config.dim;
  std::vector<float> norm(dim, 1.0F);
  norm[0] = 1e9F;
  model hostile = model_.get();
  hostile.layers.back().attn_norm.data = reinterpret_cast<const std::byte*>(norm.data());
  const auto s = segment_of(hostile, {layers - 1, layers});
  auto all = sessions_for(*s, 7);
  for (session& one : all) {
    for (std::size_t at = 0; at < one.boundaries.size(); at += dim) {
      one.boundaries[at] = 0;
    }
  }
  // Fails on entry, within the layer, and by its shape; sessions between them are in order.
  all[1].boundaries[2 * dim + 3] = std::numeric_limits<float>::infinity();
  all[3].boundaries[dim] = 1;
  std::vector<step_output> outputs(all.size());
  for (std::uint32_t round = 0; round < 6; ++round) {
    std::vector<session_step> steps;
    for (std::size_t i = 0; i < all.size(); ++i) {
      step_input in = input_of(*s, all[i], i % 2 == 0 ? 1 : 4);
      in.first += i == 5 ? 1 : 0;
      steps.push_back({&all[i].shared, in, &outputs[i]});
    }
    s->forward(steps, shuffled_);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      EXPECT_EQ(bool{steps[i].done}, i != 1 && i != 3 && i != 5) << i;
      expect_as_alone(*s, all[i], steps[i]);
      ASSERT_FALSE(HasFailure()) << "session " << i << ", round " << round;
    }
  }
}

TEST_P(batch, of_failures_alone_ends_with_their_errors) {
  const auto s = segment_of({1, model_.get().config.layers});
  auto all = sessions_for(*s, 2);
  std::vector<step_output> outputs(2);
  std::vector<session_step> steps;
  for (std::size_t i = 0; i < 2; ++i) {
    all[i].boundaries[i] = std::numeric_limits<float>::quiet_NaN();
    steps.push_back({&all[i].shared, input_of(*s, all[i], 2), &outputs[i]});
  }
  s->forward(steps, shuffled_);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_FALSE(steps[i].done);
    expect_as_alone(*s, all[i], steps[i]);
  }
  s->forward({}, shuffled_);
}

std::vector<const kernel_set*> sets() {
  std::vector<const kernel_set*> all{&kernels_reference()};
  const std::vector<const kernel_set*> fast = fast_kernels_here();
  all.insert(all.end(), fast.begin(), fast.end());
  return all;
}

INSTANTIATE_TEST_SUITE_P(exact, batch,
                         testing::Combine(testing::ValuesIn(sets()),
                                          testing::Values("f16", "q8_0", "q4_0", "q4_k_m")),
                         [](const testing::TestParamInfo<parameters>& one) {
                           return std::string{std::get<0>(one.param)->name} + "_" +
                                  std::get<1>(one.param);
                         });

} // namespace
} // namespace ovir::compute
