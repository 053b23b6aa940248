// Segments on a device give what segments on the processor give: logits, K and V, leaves, errors;
// alone, cut anywhere, and in passes with others.
#include "compute/devices/device_segment.hpp"
#include "compute/forward/kv_digest.hpp"
#include "compute/make/synth.hpp"
#include "tests/devices/device_path.hpp"
#include "tests/devices/device_under_test.hpp"
#include "tests/support/model/architecture_model.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace ovir::compute {

namespace {

using test::device_path;
using test::device_tokens;
using test::loaded_model;

/// A run of a whole request: all that must not depend on where it was computed.
struct whole_run {
  std::vector<device_path::outcome> steps;
  std::vector<unit_leaf> open;
  std::vector<std::byte> kv;
  friend bool operator==(const whole_run&, const whole_run&) = default;
};

/// Tokens of the steps of a request: chunks of a prompt, then one at a time.
std::vector<std::uint32_t> steps_of(std::uint32_t prompt, std::uint32_t chunk,
                                    std::uint32_t decoded) {
  std::vector<std::uint32_t> steps;
  for (std::uint32_t at = 0; at < prompt; at += chunk) {
    steps.push_back(std::min(chunk, prompt - at));
  }
  steps.insert(steps.end(), decoded, 1);
  return steps;
}

whole_run run_whole(device_path& path, const std::vector<token_id>& tokens,
                    const std::vector<std::uint32_t>& steps) {
  auto request = path.open(static_cast<std::uint32_t>(tokens.size()));
  whole_run run;
  for (const std::uint32_t count : steps) {
    const auto begin = tokens.begin() + request.length;
    run.steps.push_back(path.step({&request, {begin, begin + count}, std::min(count, 3U)}));
  }
  run.open = device_path::open_leaves(request);
  run.kv = path.kv_of(request);
  return run;
}

void expect_same_run(const whole_run& got, const whole_run& wanted, const std::string& what) {
  ASSERT_EQ(got.steps.size(), wanted.steps.size()) << what;
  for (std::size_t i = 0; i < got.steps.size(); ++i) {
    EXPECT_EQ(got.steps[i].failed, wanted.steps[i].failed) << what << ", step " << i;
    EXPECT_EQ(got.steps[i].leaves, wanted.steps[i].leaves) << what << ", step " << i;
    EXPECT_TRUE(got.steps[i].logits == wanted.steps[i].logits) << what << ", logits of step " << i;
  }
  EXPECT_EQ(got.open, wanted.open) << what;
  EXPECT_TRUE(got.kv == wanted.kv) << what << ", K and V";
}

/// The whole model on the processor and on the device, over a prompt in chunks and some tokens.
void compare_whole(const model& m, std::uint32_t prompt, std::uint32_t chunk, std::uint32_t decoded,
                   const std::string& what) {
  const auto tokens = device_tokens(prompt + decoded, m.config.vocabulary);
  const auto steps = steps_of(prompt, chunk, decoded);
  device_path host{m, {}, "c"};
  device_path device{m, {}, "d"};
  expect_same_run(run_whole(device, tokens, steps), run_whole(host, tokens, steps), what);
}

loaded_model tiny(std::string_view quantisation) {
  return loaded_model{test::tiny_model(1, synth_quantization_from(quantisation).value())};
}

loaded_model four_layers() {
  synth_spec spec;
  spec.layers = 4;
  spec.quantization = synth_quantization::q4_k_m;
  return loaded_model{test::synthetic_model(spec)};
}

} // namespace

TEST(device_segment, gives_the_bits_of_the_processor_for_every_quantisation) {
  OVIR_NEEDS_DEVICE();
  for (const char* name : {"q4_k_m", "q8_0", "q4_0", "f16", "f32"}) {
    compare_whole(tiny(name).get(), 70, 33, 4, name);
    ASSERT_FALSE(HasFailure());
  }
}

TEST(device_segment, gives_the_same_leaves_in_chunks_of_any_length) {
  OVIR_NEEDS_DEVICE();
  const loaded_model m = tiny("q4_k_m");
  const auto tokens = device_tokens(300, m.get().config.vocabulary);
  device_path host{m.get(), {}, "c"};
  device_path device{m.get(), {}, "d"};
  // 300 positions of one step are more than a tile, and are cut between windows.
  for (const std::uint32_t chunk : {1U, 31U, 32U, 50U, 300U}) {
    const auto steps = steps_of(chunk == 1 ? 40 : 300, chunk, 0);
    expect_same_run(run_whole(device, tokens, steps), run_whole(host, tokens, steps),
                    "chunks of " + std::to_string(chunk));
    ASSERT_FALSE(HasFailure());
  }
}

TEST(device_segment, computes_every_dense_architecture) {
  OVIR_NEEDS_DEVICE();
  int computed = 0;
  for (const test::architecture_case& c : test::architecture_cases()) {
    const loaded_model m{test::architecture_model(c)};
    if (c.experts > 0) {
      const auto can = check_for_device(m.get(), {0, m.get().config.layers});
      ASSERT_FALSE(can) << c.name;
      EXPECT_EQ(can.error().code, errc::unsupported);
      EXPECT_NE(can.error().message.find("mixture of experts"), std::string::npos);
      continue;
    }
    compare_whole(m.get(), 45, 40, 2, c.name);
    ASSERT_FALSE(HasFailure());
    ++computed;
  }
  EXPECT_GE(computed, 8);
}

TEST(device_segment, stands_anywhere_between_segments_of_the_processor) {
  OVIR_NEEDS_DEVICE();
  const loaded_model m = four_layers();
  const auto tokens = device_tokens(80, m.get().config.vocabulary);
  const auto steps = steps_of(75, 40, 5);
  device_path host{m.get(), {}, "c"};
  const whole_run wanted = run_whole(host, tokens, steps);
  struct cut {
    std::vector<layer_index> at;
    std::string where;
  };
  for (const cut& c :
       {cut{{1, 3}, "cdc"}, cut{{2}, "dc"}, cut{{3}, "cd"}, cut{{1, 2, 3}, "dcdc"}}) {
    device_path mixed{m.get(), c.at, c.where};
    whole_run got = run_whole(mixed, tokens, steps);
    // The order of leaves is that of stages here.
    for (auto* run : {&got}) {
      for (auto& step : run->steps) {
        std::sort(step.leaves.begin(), step.leaves.end(),
                  [](const unit_leaf& a, const unit_leaf& b) { return a.unit < b.unit; });
      }
    }
    expect_same_run(got, wanted, c.where);
    ASSERT_FALSE(HasFailure());
  }
}

TEST(device_segment, gives_each_session_of_a_pass_what_it_would_get_alone) {
  OVIR_NEEDS_DEVICE();
  const loaded_model m = tiny("q4_k_m");
  const std::uint32_t vocabulary = m.get().config.vocabulary;
  for (const std::size_t sessions : {1U, 3U, 8U}) {
    device_path host{m.get(), {}, "c"};
    device_path device{m.get(), {}, "d"};
    std::vector<device_path::request> alone;
    std::vector<device_path::request> together;
    for (std::size_t i = 0; i < sessions; ++i) {
      alone.push_back(host.open(200));
      together.push_back(device.open(200));
    }
    for (std::size_t turn = 0; turn < 6; ++turn) {
      std::vector<device_path::part> parts;
      for (std::size_t i = 0; i < sessions; ++i) {
        // Some begin with prompts of several lengths while others decode.
        const std::size_t count = turn == i % 3 ? 20 + 17 * i : 1 + (turn + i) % 3;
        parts.push_back({&together[i],
                         device_tokens(count, vocabulary, static_cast<std::uint32_t>(7 * i + turn)),
                         1});
      }
      const auto got = device.step(parts);
      for (std::size_t i = 0; i < sessions; ++i) {
        device_path::part one = parts[i];
        one.of = &alone[i];
        EXPECT_TRUE(got[i] == host.step(one)) << sessions << " sessions, number " << i;
      }
    }
    for (std::size_t i = 0; i < sessions; ++i) {
      EXPECT_TRUE(device.kv_of(together[i]) == host.kv_of(alone[i]));
      EXPECT_EQ(device_path::open_leaves(together[i]), device_path::open_leaves(alone[i]));
    }
    ASSERT_FALSE(HasFailure());
  }
}

TEST(device_segment, keeps_of_guessed_tokens_those_that_were_right) {
  OVIR_NEEDS_DEVICE();
  const loaded_model m = tiny("q4_k_m");
  const auto tokens = device_tokens(200, m.get().config.vocabulary);
  device_path host{m.get(), {}, "c"};
  device_path device{m.get(), {}, "d"};
  auto there = device.open(200);
  auto here = host.open(200);
  const auto step = [&](std::uint32_t from, std::uint32_t count, std::uint32_t drafts) {
    const std::vector<token_id> some{tokens.begin() + from, tokens.begin() + from + count};
    const auto got = device.step({&there, some, count, drafts});
    const auto wanted = host.step({&here, some, count, drafts});
    EXPECT_TRUE(got == wanted) << "at " << from << ": " << got.failed << wanted.failed;
  };
  step(0, 30, 0);
  step(30, 6, 5); // 30 counts, 31 to 35 are guesses
  // Two of them were right: the next step begins behind these.
  there.length = here.length = 33;
  step(33, 5, 4);
  // None was.
  step(50, 40, 0);
  EXPECT_TRUE(device.kv_of(there) == host.kv_of(here));
  EXPECT_EQ(device_path::open_leaves(there), device_path::open_leaves(here));
}

TEST(device_segment, goes_on_with_k_and_v_that_others_computed_and_they_with_its) {
  OVIR_NEEDS_DEVICE();
  const loaded_model m = tiny("q8_0");
  const auto tokens = device_tokens(120, m.get().config.vocabulary);
  device_path host{m.get(), {}, "c"};
  device_path device{m.get(), {}, "d"};
  device_path other{m.get(), {}, "d"};
  const std::vector<std::uint32_t> steps{45, 1, 20, 1, 1, 30, 1, 1};
  const whole_run wanted = run_whole(host, tokens, steps);
  // One request that changes places: its K and V travel in its state.
  auto request = host.open(120);
  const std::array<device_path*, 8> places{&host,  &device, &device, &host,
                                           &other, &host,   &device, &other};
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto begin = tokens.begin() + request.length;
    const auto got = places[i]->step({&request, {begin, begin + steps[i]}, std::min(steps[i], 3U)});
    EXPECT_TRUE(got == wanted.steps[i]) << "step " << i << " " << got.failed;
  }
  EXPECT_TRUE(host.kv_of(request) == wanted.kv);
}

TEST(device_segment, gives_the_pages_of_dropped_requests_to_others_and_makes_more) {
  OVIR_NEEDS_DEVICE();
  const loaded_model m = tiny("q8_0");
  const auto tokens = device_tokens(192, m.get().config.vocabulary);
  device_path host{m.get(), {}, "c"};
  device_path device{m.get(), {}, "d"};
  const whole_run wanted = run_whole(host, tokens, {190, 1});
  // Twelve requests of six pages are more than the first pool has; they stay, and three are
  // dropped.
  std::vector<device_path::request> kept;
  for (int i = 0; i < 15; ++i) {
    auto request = device.open(192);
    EXPECT_TRUE(device.step({&request, {tokens.begin(), tokens.begin() + 190}, 3}) ==
                wanted.steps[0])
        << "request " << i;
    if (i % 5 != 1) {
      kept.push_back(std::move(request));
    }
  }
  for (device_path::request& request : kept) {
    EXPECT_TRUE(device.step({&request, {tokens[190]}, 1}) == wanted.steps[1]);
    EXPECT_TRUE(device.kv_of(request) == wanted.kv);
  }
}

namespace {

/// A model whose layer 2 multiplies element 3 of what a block reads by `factor`.
struct overflowing_model {
  model weights;
  std::vector<float> norm;

  overflowing_model(const model& m, weight layer_weights::*which, float factor)
      : weights(m), norm(m.config.dim, 1.0F) {
    norm[3] = factor;
    (weights.layers[2].*which).data = reinterpret_cast<const std::byte*>(norm.data());
  }
};

/// Two sessions in layers 2 and 3, of which the second has zeros in element 3: what became of each.
std::array<device_path::outcome, 2> run_two(segment& s) {
  const std::uint32_t dim = s.config().dim;
  serial_runner runner;
  std::array<device_path::outcome, 2> out;
  std::array<std::vector<float>, 2> rows;
  std::array<std::optional<segment_state>, 2> states;
  std::array<step_output, 2> outputs;
  std::vector<session_step> steps;
  for (std::size_t i = 0; i < 2; ++i) {
    rows[i].resize(std::size_t{40} * dim);
    for (std::size_t j = 0; j < rows[i].size(); ++j) {
      const bool loud = j % dim == 3;
      rows[i][j] = loud ? 0.0F : static_cast<float>(static_cast<int>(j * 37 % 101) - 50) * 0.02F;
    }
    states[i] = s.open(64, 1U << 26U).value();
    steps.push_back(
        {&*states[i], {.count = 40, .boundary = rows[i], .logit_rows = 2}, &outputs[i]});
  }
  rows[0][17 * dim + 3] = 0.5F;
  rows[0][29 * dim + 3] = -0.9F;
  s.forward(steps, runner);
  for (std::size_t i = 0; i < 2; ++i) {
    out[i].failed = steps[i].done ? "" : steps[i].done.error().message;
    if (steps[i].done) {
      out[i].logits = outputs[i].logits;
      out[i].leaves = outputs[i].leaves;
    } else {
      EXPECT_EQ(steps[i].done.error().code, errc::nonfinite);
      EXPECT_EQ(states[i]->length(), 0U);
    }
  }
  return out;
}

} // namespace

TEST(device_segment, fails_a_session_alone_and_says_what_the_processor_says) {
  OVIR_NEEDS_DEVICE();
  const loaded_model m = four_layers();
  struct overflow {
    weight layer_weights::*norm;
    float factor;
    const char* place;
  };
  for (const overflow& o :
       {overflow{&layer_weights::attn_norm, 3e38F, "in the attention input of layer 2"},
        overflow{&layer_weights::attn_norm, 1e9F, "in a key or value of layer 2 at position 17"},
        overflow{&layer_weights::ffn_norm, 3e38F, "of layer 2"},
        overflow{&layer_weights::ffn_norm, 1e25F, "in the feed-forward block of layer 2"}}) {
    const overflowing_model loud{m.get(), o.norm, o.factor};
    device_path host{loud.weights, {2}, "cc"};
    device_path device{loud.weights, {2}, "cd"};
    const auto wanted = run_two(host.stage(1));
    const auto got = run_two(device.stage(1));
    EXPECT_NE(wanted[0].failed.find(o.place), std::string::npos) << wanted[0].failed;
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(got[i].failed, wanted[i].failed);
      EXPECT_TRUE(got[i] == wanted[i]);
    }
    EXPECT_EQ(o.norm == &layer_weights::attn_norm, wanted[1].failed.empty()) << o.place;
  }
}

TEST(device_segment, refuses_inputs_as_the_processor_does) {
  OVIR_NEEDS_DEVICE();
  const loaded_model m = four_layers();
  device_path device{m.get(), {2}, "cd"};
  segment& s = device.stage(1);
  auto state = s.open(4, 1U << 26U).value();
  serial_runner runner;
  step_output out;
  std::vector<float> rows(m.get().config.dim, 1.0F);
  EXPECT_EQ(s.forward(state, {.count = 2, .boundary = rows}, runner, out).error().code,
            errc::malformed);
  rows[3] = std::numeric_limits<float>::infinity();
  const auto failed = s.forward(state, {.count = 1, .boundary = rows}, runner, out);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("entered layer 2"), std::string::npos)
      << failed.error().message;
}

TEST(device_segment, refuses_weights_whose_sums_need_more_than_64_bits) {
  OVIR_NEEDS_DEVICE();
  const loaded_model m = tiny("q8_0");
  model wide = m.get();
  wide.layers[1].ffn_up.wide = true;
  const auto can = check_for_device(wide, {0, 2});
  ASSERT_FALSE(can);
  EXPECT_EQ(can.error().code, errc::unsupported);
  EXPECT_NE(can.error().message.find("layer 1, ffn_up"), std::string::npos) << can.error().message;
  EXPECT_TRUE(check_for_device(wide, {0, 1}));
}

TEST(device_segment, computes_the_embedded_model) {
  OVIR_NEEDS_DEVICE();
  const loaded_model m{test::source_file("assets/tales-q4_k_m.gguf")};
  compare_whole(m.get(), 100, 70, 10, "tales");
}

TEST(device_segment, computes_stories15m) {
  OVIR_NEEDS_DEVICE();
  OVIR_SHARED_FILE(file, "models/stories15M-q8_0.gguf");
  const loaded_model m{file};
  compare_whole(m.get(), 70, 50, 4, "stories15M");
}

TEST(device_segment, computes_minimind2_small) {
  OVIR_NEEDS_DEVICE();
  OVIR_SHARED_FILE(file, "models/minimind2-small-q8_0.gguf");
  const loaded_model m{file};
  compare_whole(m.get(), 70, 50, 4, "minimind2-small");
}

} // namespace ovir::compute
