// A segment that a group computes gives what one that has all weights gives, to the bit: logits,
// leaves, K and V, errors; for every type of tensor, group, share and way to cross.
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/parts/cut_cost.hpp"
#include "compute/parts/local_group.hpp"
#include "tests/support/model/architecture_model.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace ovir::compute {
namespace {

using testing::HasSubstr;

constexpr std::size_t kv_most = 1U << 26U;
constexpr std::uint32_t room = 96;

/// Parts in order, as if there were three threads.
class three_wide final : public parallel_runner {
public:
  [[nodiscard]] std::size_t width() const noexcept override { return 3; }
  void run(std::size_t count, const std::function<void(std::size_t)>& part) override {
    for (std::size_t i = count; i > 0; --i) {
      part(i - 1);
    }
  }
};

const kernel_set& fastest() { return *select_kernels({}).value(); }

/// All that must not depend on who computed it.
struct computed {
  std::vector<float> rows; ///< boundaries, or logits and hidden states
  std::vector<unit_leaf> leaves;
  std::vector<std::uint16_t> kv;
  std::vector<std::string> errors;

  void expect_same(const computed& other, const std::string& what) const {
    EXPECT_EQ(errors, other.errors) << what;
    EXPECT_EQ(leaves, other.leaves) << what;
    EXPECT_TRUE(kv == other.kv) << what << ": K and V";
    test::expect_same(rows, other.rows, what);
  }
};

struct request_plan {
  std::vector<token_id> tokens;
  std::vector<float> boundary; ///< [room][dim], where the segment is not the first
  std::vector<std::uint32_t> steps;
};

request_plan plan_for(const segment& s, std::vector<std::uint32_t> steps) {
  test::kernel_random random{456};
  request_plan plan{{}, {}, std::move(steps)};
  for (std::uint32_t p = 0; p < room; ++p) {
    plan.tokens.push_back(random.below(s.config().vocabulary));
  }
  plan.boundary = random.floats(std::size_t{room} * s.config().dim, 1);
  return plan;
}

computed compute_all(segment& s, const request_plan& plan) {
  three_wide runner;
  segment_state state = s.open(room, kv_most).value();
  computed all;
  position at = 0;
  for (const std::uint32_t n : plan.steps) {
    step_input in{.first = at, .count = n};
    if (s.is_first()) {
      in.tokens = std::span{plan.tokens}.subspan(at, n);
    } else {
      in.boundary = std::span{plan.boundary}.subspan(at * s.config().dim, n * s.config().dim);
    }
    in.logit_rows = s.is_last() ? std::min(n, 2U) : 0;
    step_output out;
    if (const auto done = s.forward(state, in, runner, out); !done) {
      all.errors.push_back(done.error().message);
      break;
    }
    all.rows.insert(all.rows.end(), out.boundary.begin(), out.boundary.end());
    all.rows.insert(all.rows.end(), out.logits.begin(), out.logits.end());
    all.leaves.insert(all.leaves.end(), out.leaves.begin(), out.leaves.end());
    at += n;
  }
  const auto open = state.units.open_leaves();
  all.leaves.insert(all.leaves.end(), open.begin(), open.end());
  for (layer_index l = s.layers().first; l < s.layers().last; ++l) {
    for (std::uint32_t h = 0; h < s.config().kv_heads; ++h) {
      const std::size_t n = std::size_t{at} * s.config().head_dim;
      all.kv.insert(all.kv.end(), state.kv.keys(l, h), state.kv.keys(l, h) + n);
      all.kv.insert(all.kv.end(), state.kv.values(l, h), state.kv.values(l, h) + n);
    }
  }
  return all;
}

/// A segment of a group, and what crossed in it.
struct grouped {
  std::unique_ptr<segment> s;
  local_group* group;
};
grouped group_of(const model& m, const segment_cut& cut, const kernel_set& kernels,
                 parallel_runner& runner, bool pack = false) {
  auto engine = local_group::make(m, cut, kernels, runner, pack).value();
  local_group* const group = engine.get();
  return {segment::make_with(m, cut.layers, kernels, std::move(engine)).value(), group};
}

/// A group whose members all have something, and one in which some have nothing.
const std::vector<std::vector<std::uint32_t>> groups{
    {1}, {2, 1}, {3, 1, 2}, {1, 1, 1, 1, 1}, {1, 200, 3}};

const std::vector<cut_wish> wishes{
    {output_cut::rows, output_cut::rows, always},
    {output_cut::rows, output_cut::rows, 0},
    {output_cut::columns, output_cut::columns, 0},
    {output_cut::rows, output_cut::columns, limits::group_float_rows},
};

void expect_alike(const model& m, layer_range layers, const std::vector<std::uint32_t>& steps,
                  const kernel_set& kernels, const std::string& what) {
  serial_runner runner;
  auto alone = segment::make(m, layers, kernels, runner);
  ASSERT_TRUE(alone) << what << alone.error().message;
  const request_plan plan = plan_for(**alone, steps);
  const computed wanted = compute_all(**alone, plan);
  ASSERT_TRUE(wanted.errors.empty()) << what << ": " << wanted.errors.front();
  for (const auto& shares : groups) {
    for (std::size_t i = 0; i < wishes.size(); ++i) {
      const auto cut = cut_segment(m, layers, shares, wishes[i]).value();
      const grouped group = group_of(m, cut, kernels, runner, i == 1);
      compute_all(*group.s, plan)
          .expect_same(wanted, what + ", a group of " + std::to_string(shares.size()) + ", wish " +
                                   std::to_string(i));
      if (testing::Test::HasFailure()) {
        return;
      }
    }
  }
}

constexpr test::architecture_shape group_shape{
    .dim = 256, .heads = 10, .kv_heads = 5, .head_dim = 128, .ffn_dim = 1280, .vocabulary = 320};

/// Of one type of matrices, or of those that `make` gives.
test::loaded_model model_of(const char* architecture, const test::matrix_maker& make) {
  for (const test::architecture_case& one : test::architecture_cases()) {
    if (one.name == architecture) {
      return test::loaded_model{test::architecture_model(one, group_shape, 1, make)};
    }
  }
  throw std::invalid_argument{architecture};
}

test::matrix_content matrix_of(test::kernel_random& random, tensor_type type, std::uint32_t rows,
                               std::uint32_t cols) {
  auto made = form_for(type) == activation_form::floats
                  ? test::make_floats(random, type, rows, cols)
                  : test::make_quantized(random, type, rows, cols, test::filling::random, 0x1400);
  return {type, std::move(made.bytes)};
}

TEST(local_group, gives_the_bits_of_one_for_every_type_of_tensor) {
  for (const tensor_row& type : tensor_rows) {
    test::kernel_random random{457};
    const auto m = model_of("llama", [&](std::uint32_t rows, std::uint32_t cols) {
      return matrix_of(random, type.type, rows, cols);
    });
    expect_alike(m.get(), {6, 8}, {6, 1}, fastest(), std::string{name_of(type.type)});
    ASSERT_FALSE(HasFailure());
  }
}

TEST(local_group, reads_the_panels_of_a_model_that_is_packed) {
  serial_runner runner;
  for (const tensor_type type :
       {tensor_type::q4_k, tensor_type::q8_0, tensor_type::iq3_s, tensor_type::f16}) {
    test::kernel_random random{464};
    const auto m = model_of("llama", [&](std::uint32_t rows, std::uint32_t cols) {
      return matrix_of(random, type, rows, cols);
    });
    model packed = m.get();
    ASSERT_TRUE(check_weights(packed, {6, 8}, runner));
    const packing_plan plan = plan_packing(packed, {6, 8}, fastest().id);
    const auto memory = reserve(plan.bytes + 64);
    for (const packing_plan::part& one : plan.parts) {
      pack_weight(one, static_cast<std::byte*>(memory.get()), runner);
    }
    const auto cut = cut_segment(packed, {6, 8}, std::vector<std::uint32_t>{1, 1}).value();
    const auto part = take_part(packed, cut, 1).value();
    const weight& rows = part.weights.layers[7].ffn_up;
    EXPECT_EQ(rows.packed,
              packed.layers[7].ffn_up.packed +
                  cut.members[1].inner.first / packed_rows * packed_panel_bytes(type, rows.cols));
    expect_alike(packed, {6, 8}, {6, 1}, fastest(), std::string{name_of(type)});
    ASSERT_FALSE(HasFailure());
  }
}

TEST(local_group, gives_the_bits_of_one_where_types_differ_from_matrix_to_matrix) {
  constexpr tensor_type types[] = {tensor_type::q4_k, tensor_type::f16, tensor_type::q8_0,
                                   tensor_type::q6_k, tensor_type::bf16};
  test::kernel_random random{458};
  const auto m = model_of("llama", [&](std::uint32_t rows, std::uint32_t cols) {
    return matrix_of(random, types[random.below(std::size(types))], rows, cols);
  });
  for (const kernel_set* kernels : {&kernels_reference(), &fastest()}) {
    expect_alike(m.get(), {2, 5}, {2, 1}, *kernels, std::string{kernels->name});
  }
}

TEST(local_group, computes_every_architecture_through_all_layers) {
  int counted = 0;
  int mixtures = 0;
  for (const test::architecture_case& one : test::architecture_cases()) {
    const test::loaded_model m{test::architecture_model(one)};
    serial_runner runner;
    const auto alone = segment::make(m.get(), {0, 8}, fastest(), runner).value();
    const request_plan plan = plan_for(*alone, {33, 1, 7, 1, 30, 1});
    const computed wanted = compute_all(*alone, plan);
    for (const auto& shares : {std::vector<std::uint32_t>{1, 1}, {2, 1, 5}}) {
      const auto cut = cut_segment(m.get(), {0, 8}, shares).value();
      compute_all(*group_of(m.get(), cut, fastest(), runner).s, plan)
          .expect_same(wanted, one.name + ", a group of " + std::to_string(shares.size()));
    }
    ASSERT_FALSE(HasFailure());
    ++counted;
    mixtures += one.experts > 0 ? 1 : 0;
  }
  EXPECT_GE(counted, 15);
  EXPECT_GE(mixtures, 3);
}

TEST(local_group, computes_mixtures_of_experts_of_every_form_of_activations) {
  test::architecture_shape shape = group_shape;
  for (const test::architecture_case& one : test::architecture_cases()) {
    for (const tensor_type type : {tensor_type::q8_0, tensor_type::q4_k, tensor_type::f16}) {
      if (one.experts == 0) {
        continue;
      }
      shape.expert_dim = type == tensor_type::q4_k ? 256 : 96;
      shape.shared_dim = 256;
      test::kernel_random random{465};
      const test::loaded_model m{
          test::architecture_model(one, shape, 1, [&](std::uint32_t rows, std::uint32_t cols) {
            return matrix_of(random, type, rows, cols);
          })};
      expect_alike(m.get(), {5, 8}, {6, 1}, fastest(), one.name + " " + std::string{name_of(type)});
      ASSERT_FALSE(HasFailure());
    }
  }
}

TEST(local_group, computes_a_trained_model_of_eight_layers) {
  OVIR_SHARED_FILE(path, "models/minimind2-small-q8_0.gguf");
  const test::loaded_model m{path};
  ASSERT_EQ(m.get().config.layers, 8U);
  expect_alike(m.get(), {0, 8}, {40, 1, 1, 5, 1}, fastest(), "minimind2");
}

TEST(local_group, takes_up_a_request_that_another_segment_began_and_leaves_it_to_one) {
  test::kernel_random random{459};
  const auto m = model_of("llama", [&](std::uint32_t rows, std::uint32_t cols) {
    return matrix_of(random, tensor_type::q4_0, rows, cols);
  });
  serial_runner runner;
  const auto alone = segment::make(m.get(), {0, 8}, fastest(), runner).value();
  const auto cut = cut_segment(m.get(), {0, 8}, std::vector<std::uint32_t>{1, 2}).value();
  const auto group = group_of(m.get(), cut, fastest(), runner);
  const request_plan plan = plan_for(*alone, {});
  segment_state plain = alone->open(room, kv_most).value();
  segment_state mixed = alone->open(room, kv_most).value();
  position at = 0;
  for (const auto& [segment, n] : {std::pair{alone.get(), 9U},
                                   {group.s.get(), 3U},
                                   {group.s.get(), 1U},
                                   {alone.get(), 1U},
                                   {alone.get(), 2U},
                                   {group.s.get(), 1U}}) {
    step_input in{.first = at, .count = n};
    in.tokens = std::span{plan.tokens}.subspan(at, n);
    in.logit_rows = 1;
    step_output wanted;
    step_output got;
    ASSERT_TRUE(alone->forward(plain, in, runner, wanted));
    ASSERT_TRUE(segment->forward(mixed, in, runner, got));
    test::expect_same(got.logits, wanted.logits, "from position " + std::to_string(at));
    at += n;
  }
}

/// A model in which rows that do not begin with 0 make keys beyond fp16 in one head alone.
struct hostile_model {
  std::vector<float> norm;
  model m;

  explicit hostile_model(const model& from) : norm(from.config.dim, 1.0F), m(from) {
    norm[0] = 1e9F;
    m.layers.back().attn_norm.data = reinterpret_cast<const std::byte*>(norm.data());
  }
};

TEST(local_group, fails_each_session_with_the_words_that_one_alone_would_say) {
  test::kernel_random random{460};
  const auto m = model_of("llama", [&](std::uint32_t rows, std::uint32_t cols) {
    return matrix_of(random, tensor_type::q8_0, rows, cols);
  });
  const hostile_model hostile{m.get()};
  const std::uint32_t dim = m.get().config.dim;
  serial_runner runner;
  const auto alone = segment::make(hostile.m, {7, 8}, fastest(), runner).value();
  std::vector<float> rows = random.floats(std::size_t{5} * 4 * dim, 1);
  for (std::size_t row = 0; row < 20; ++row) {
    rows[row * dim] = 0;
  }
  rows[(4 + 2) * dim] = 1;                                           // the second: a key
  rows[(8 + 1) * dim + 5] = std::numeric_limits<float>::quiet_NaN(); // the third: on entry
  for (std::size_t i = 0; i < dim; ++i) {
    rows[(12 + 3) * dim + i] = std::numeric_limits<float>::max(); // the fourth: a norm of zeros
  }
  const auto forward = [&](segment& s) {
    std::vector<segment_state> states;
    std::vector<step_output> out(5);
    std::vector<session_step> steps;
    for (std::size_t i = 0; i < 5; ++i) {
      states.push_back(s.open(8, kv_most).value());
    }
    for (std::size_t i = 0; i < 5; ++i) {
      step_input in{.first = 0, .count = 4};
      in.boundary = std::span{rows}.subspan(i * 4 * dim, std::size_t{4} * dim);
      in.logit_rows = 1;
      steps.push_back({&states[i], in, &out[i]});
    }
    s.forward(steps, runner);
    std::vector<std::string> said;
    for (std::size_t i = 0; i < 5; ++i) {
      said.push_back(steps[i].done ? std::to_string(out[i].logits[0])
                                   : steps[i].done.error().message);
    }
    return said;
  };
  const auto wanted = forward(*alone);
  EXPECT_THAT(wanted[1], HasSubstr("in a key or value of layer 7 at position 2"));
  EXPECT_THAT(wanted[2], HasSubstr("entered layer 7 at position 1"));
  for (const cut_wish& wish : wishes) {
    const auto cut = cut_segment(hostile.m, {7, 8}, std::vector<std::uint32_t>{1, 3}, wish).value();
    EXPECT_EQ(forward(*group_of(hostile.m, cut, fastest(), runner).s), wanted);
  }
}

TEST(local_group, shows_a_member_that_is_off_by_one_in_one_partial_sum) {
  test::kernel_random random{461};
  const auto m = model_of("llama", [&](std::uint32_t rows, std::uint32_t cols) {
    return matrix_of(random, tensor_type::q4_k, rows, cols);
  });
  serial_runner runner;
  const auto cut = cut_segment(m.get(), {3, 6}, std::vector<std::uint32_t>{1, 1, 1},
                               {output_cut::columns, output_cut::columns, 0})
                       .value();
  const auto group = group_of(m.get(), cut, fastest(), runner);
  const request_plan plan = plan_for(*group.s, {1});
  const computed wanted = compute_all(*group.s, plan);
  // A sum has more bits than binary32 keeps, so one in its last place shows where it crosses, and
  // in what follows only with luck: statements are of what crossed.
  std::vector<std::byte> honest;
  for (const bool lies : {false, true}) {
    group.group->watch_crossings(
        [&](const crossing_place& place, std::uint32_t member, std::vector<std::byte>& bytes) {
          if (place == crossing_place{4, layer_block::feed_forward, crossing_kind::sums} &&
              member == 1) {
            if (lies) {
              std::vector<int128> sums(256);
              ASSERT_TRUE(add_sums(bytes, sums));
              std::vector<std::int64_t> changed(sums.begin(), sums.end());
              ++changed[17];
              bytes = encode_sums(changed);
              EXPECT_NE(bytes, honest);
            } else {
              honest = bytes;
            }
          }
        });
    (void)compute_all(*group.s, plan);
  }
  ASSERT_FALSE(honest.empty());
  // What binary32 keeps of it changes the boundary's digest.
  group.group->watch_crossings([](const crossing_place& place, std::uint32_t member,
                                  std::vector<std::byte>& bytes) {
    if (place == crossing_place{4, layer_block::feed_forward, crossing_kind::sums} && member == 1) {
      std::vector<int128> sums(256);
      ASSERT_TRUE(add_sums(bytes, sums));
      std::vector<std::int64_t> changed(sums.begin(), sums.end());
      changed[17] += changed[17] / 1000 + 1;
      bytes = encode_sums(changed);
    }
  });
  const computed got = compute_all(*group.s, plan);
  ASSERT_EQ(got.leaves.size(), wanted.leaves.size());
  EXPECT_EQ(got.leaves[0], wanted.leaves[0]) << "layer 3 is before it";
  EXPECT_NE(got.leaves[1], wanted.leaves[1]);
}

TEST(local_group, sends_as_many_bytes_in_as_many_exchanges_as_its_cost_says) {
  test::kernel_random random{463};
  for (const char* architecture : {"llama", "olmo2", "mixtral"}) {
    const auto m = model_of(architecture, [&](std::uint32_t rows, std::uint32_t cols) {
      return matrix_of(random, cols % 256 == 0 ? tensor_type::q5_k : tensor_type::f16, rows, cols);
    });
    serial_runner runner;
    for (const cut_wish& wish : wishes) {
      const auto cut =
          cut_segment(m.get(), {2, 5}, std::vector<std::uint32_t>{2, 1, 2}, wish).value();
      const auto group = group_of(m.get(), cut, fastest(), runner);
      for (const std::uint32_t rows : {1U, 7U}) {
        std::vector<std::uint64_t> sent(3);
        std::uint32_t exchanges = 0;
        group.group->watch_crossings([&](const crossing_place& place, std::uint32_t member,
                                         std::vector<std::byte>& bytes) {
          exchanges += member == 0 ? 1 : 0;
          // Sums take the fewest bytes that hold all; the cost counts what is usual.
          sent[member] += place.kind == crossing_kind::sums ? 1 + rows * 256 * sum_bytes_expected
                                                            : bytes.size();
          if (place.kind == crossing_kind::sums) {
            EXPECT_LE(bytes.size(), 1 + rows * 256 * 7);
          }
        });
        ASSERT_TRUE(compute_all(*group.s, plan_for(*group.s, {rows})).errors.empty());
        const cut_cost cost = cost_of(m.get(), cut, rows);
        EXPECT_EQ(sent, cost.sent) << architecture << ", " << rows << " rows";
        EXPECT_EQ(exchanges, cost.exchanges) << architecture << ", " << rows << " rows";
      }
    }
  }
}

TEST(cut_cost, says_how_many_rows_fit_a_message) {
  model_config c;
  c.dim = 4096;
  c.heads = 32;
  c.kv_heads = 8;
  c.head_dim = 128;
  c.ffn_dim = 14336;
  c.vocabulary = 128'256;
  segment_cut cut{
      {0, 31}, {}, {{{0, 4}, {0, 7168}, {0, 2048}, {}}, {{4, 8}, {7168, 14336}, {2048, 4096}, {}}}};
  EXPECT_EQ(rows_that_fit(c, cut), (limits::frame_bytes_max - 8192) / (2 * 31 * 512 * 2))
      << "K and V of all layers are most";
  cut.layers = {31, 32};
  cut.members[0].words = {0, 64'128};
  cut.members[1].words = {64'128, 128'256};
  EXPECT_EQ(rows_that_fit(c, cut), (limits::frame_bytes_max - 8192) / (64'128 * 4 + 1)) << "logits";
  c.dim = 64;
  cut.members = {{{0, 8}, {0, 64}, {0, 64}, {0, 64}}};
  cut.layers = {0, 1};
  EXPECT_EQ(rows_that_fit(c, cut), (limits::frame_bytes_max - 8192) / (5120 * 4 + 1));
}

TEST(local_group, names_the_member_whose_bytes_are_none) {
  test::kernel_random random{462};
  const auto m = model_of("llama", [&](std::uint32_t rows, std::uint32_t cols) {
    return matrix_of(random, tensor_type::q8_0, rows, cols);
  });
  serial_runner runner;
  for (const cut_wish& wish : wishes) {
    const auto cut = cut_segment(m.get(), {0, 2}, std::vector<std::uint32_t>{2, 1}, wish).value();
    const auto group = group_of(m.get(), cut, fastest(), runner);
    const request_plan plan = plan_for(*group.s, {2});
    std::map<crossing_kind, int> kinds;
    group.group->watch_crossings([&](const crossing_place& place, std::uint32_t,
                                     std::vector<std::byte>&) { ++kinds[place.kind]; });
    ASSERT_TRUE(compute_all(*group.s, plan).errors.empty());
    ASSERT_FALSE(kinds.empty());
    for (const auto& [kind, count] : kinds) {
      group.group->watch_crossings([wrong = kind](const crossing_place& place, std::uint32_t member,
                                                  std::vector<std::byte>& bytes) {
        if (place.kind == wrong && place.layer == 1 && member == 1) {
          bytes.pop_back();
        }
      });
      const auto failed = compute_all(*group.s, plan).errors;
      ASSERT_EQ(failed.size(), 1U);
      EXPECT_THAT(failed[0], HasSubstr("member 1 of the group, layer 1"));
    }
  }
}

} // namespace
} // namespace ovir::compute
