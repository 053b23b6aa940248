// What exactness costs: a model with the kernels that ovir has, and with the same kernels whose
// sums are binary32 in any order, in turn in one process.
//
//   build/release/ovir_exactness_bench MODEL THREADS PROMPT TOKENS ROUNDS
//
// Prints a JSON object: medians of tokens per second, and of the ratio of times exact / any order.
// Only packed AVX-512 products are replaced; everything else of a step is the same code. The logits
// of the two differ, as they should; each side's own must be the same in every round.
#include "apps/compute_threads.hpp"
#include "apps/open_model.hpp"
#include "apps/pack_model.hpp"
#include "bench/exactness/float_kernels.hpp"
#include "compute/base/kernels_ask.hpp"
#include "compute/forward/segment.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/formats/prepared_room.hpp"
#include "messages/check.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace ovir;
using namespace ovir::compute;

struct options {
  std::string model;
  std::uint32_t threads;
  std::uint32_t prompt;
  std::uint32_t tokens;
  std::uint32_t rounds;
};

/// One kind of sums: its segment, and what it does in a round.
struct side {
  std::unique_ptr<segment> whole{};
  std::unique_ptr<segment_state> state{};
  step_output out{};
  double prefill{0}; ///< seconds
  double decode{0};
  std::vector<float> logits{};
};

/// The exact quantisation, but k as a float.
bool quantize(const float* x, quantized_batch& batch, std::uint32_t token) {
  if (!kernels_avx512()->quantize(x, batch, token)) {
    return false;
  }
  const std::size_t scales = batch.cols / batch.scale_block();
  for (std::size_t i = token * scales; i < (token + 1) * scales; ++i) {
    batch.k[i] = std::bit_cast<std::int32_t>(static_cast<float>(batch.k[i]));
  }
  return true;
}

/// The exact one, but k is a float.
void remainder(const float* x, const quantized_batch& batch, std::uint32_t token, float* out) {
  thread_local quantized_batch row; // kept, so that neither side allocates
  row.reshape(batch.form, 1, batch.cols);
  const std::size_t scales = batch.cols / batch.scale_block();
  std::copy_n(batch.q_row(token), batch.cols, row.q.data());
  std::copy_n(batch.m_row(token), batch.cols / 32, row.m.data());
  for (std::size_t i = 0; i < scales; ++i) {
    row.k[i] = static_cast<std::int32_t>(std::bit_cast<float>(batch.k_row(token)[i]));
  }
  row.u[0] = batch.u[token];
  kernels_avx512()->remainder(x, row, 0, out);
}

void product(const weight& w, std::uint32_t first, std::uint32_t last, const quantized_batch& x,
             float* y, std::size_t y_stride, preparation* kept) {
  OVIR_CHECK(w.packed != nullptr);
  // Asked once, as the kernels of ovir do: a virtual machine answers CPUID in tens of microseconds.
  static const x86::ask_policy asks = x86::asks_here();
  const x86::matrix_view matrix{.data = reinterpret_cast<const unsigned char*>(w.data),
                                .row_bytes = w.row_bytes(),
                                .cols = w.cols,
                                .packed = reinterpret_cast<const unsigned char*>(w.packed),
                                .panel_bytes = packed_panel_bytes(w.type, w.cols),
                                .group_rows = w.group_rows,
                                .asks = asks,
                                .long_tiles = false, // of floats alone
                                .unit = unit_of_products(w.type)};
  const x86::batch_view batch{.q = x.q.data(),
                              .k = x.k.data(),
                              .m = x.m.data(),
                              .sum = x.sum.data(),
                              .u = x.u.data(),
                              .tokens = x.tokens,
                              .cols = x.cols,
                              .scales = x.cols / x.scale_block(),
                              .prepared = x86::room_to_prepare(x),
                              .is_prepared = x86::is_prepared(kept, w, x)};
  x86::integer_product* run = bench::product_q8_0;
  switch (w.type) {
  case tensor_type::q8_0: break;
  case tensor_type::q4_0: run = bench::product_q4_0; break;
  case tensor_type::q4_k: run = bench::product_q4_k; break;
  case tensor_type::q6_k: run = bench::product_q6_k; break;
  default: OVIR_CHECK(false, static_cast<std::uint32_t>(w.type));
  }
  run(matrix, first, last, batch, y, y_stride);
}

/// Of the clock, or with one thread of the processor, which other programs disturb less.
double seconds(std::uint32_t threads) {
  timespec now{};
  clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

result<double> timed_step(side& one, std::span<const token_id> ids, const options& given,
                          parallel_runner& runner) {
  const step_input in{.first = one.state->kv.length(),
                      .count = static_cast<std::uint32_t>(ids.size()),
                      .tokens = ids,
                      .logit_rows = 1};
  const double start = seconds(given.threads);
  OVIR_TRY(one.whole->forward(*one.state, in, runner, one.out));
  return seconds(given.threads) - start;
}

/// A prompt and tokens after it, in turn token by token: memory is faster and slower within a
/// second. The same tokens on both sides, whatever the logits say.
result<void> measure(std::array<side, 2>& sides, std::uint32_t round, const options& given,
                     parallel_runner& runner) {
  std::vector<token_id> ids(given.prompt);
  const std::uint32_t vocabulary = sides[0].whole->config().vocabulary;
  for (std::uint32_t i = 0; i < given.prompt; ++i) {
    ids[i] = static_cast<token_id>((std::uint64_t{i} * 7'919 + 3) % vocabulary);
  }
  for (std::uint32_t turn = 0; turn < 2; ++turn) {
    side& one = sides[(turn + round) % 2];
    OVIR_ASSIGN(segment_state state,
                one.whole->open(given.prompt + given.tokens, std::size_t{1} << 34U));
    one.state = std::make_unique<segment_state>(std::move(state));
    OVIR_ASSIGN(one.prefill, timed_step(one, ids, given, runner));
    one.decode = 0;
  }
  for (std::uint32_t i = 0; i < 2 * given.tokens; ++i) {
    side& one = sides[(i + i / 2) % 2]; // each goes first every other time
    OVIR_ASSIGN(const double time,
                timed_step(one, std::span{ids}.subspan(i / 2 % given.prompt, 1), given, runner));
    one.decode += time;
  }
  for (side& one : sides) {
    if (round > 0 && one.out.logits != one.logits) {
      return fail(errc::self_test_failed, "round {} gave other logits than the first", round);
    }
    one.logits = one.out.logits;
  }
  return {};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

nlohmann::json summary(const std::vector<double>& exact, const std::vector<double>& any,
                       double tokens) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    ratios.push_back(exact[i] / any[i]);
  }
  return {{"exact_tps", tokens / median(exact)},
          {"any_order_tps", tokens / median(any)},
          {"exact_over_any_order", median(ratios)},
          {"ratios", ratios}};
}

result<nlohmann::json> run(const options& given) {
  const kernel_set* const exact = kernels_avx512();
  if (exact == nullptr || !processor_has(exact->id)) {
    return fail(errc::unsupported, "this needs a processor with AVX-512 VNNI");
  }
  kernel_set any_order = *exact;
  any_order.quantize = quantize;
  any_order.remainder = remainder;
  any_order.product = product;
  const auto environment = storage::make_env_posix();
  apps::compute_threads runner{given.threads};
  OVIR_ASSIGN(apps::ready_model model, apps::ready_model_at(*environment, given.model));
  const layer_range layers{0, model.weights.config.layers};
  OVIR_TRY(apps::pack_model(model, layers, *exact, *environment, runner));
  std::array<side, 2> sides;
  OVIR_ASSIGN(sides[0].whole, segment::make_checked(model.weights, layers, *exact));
  OVIR_ASSIGN(sides[1].whole, segment::make_checked(model.weights, layers, any_order));
  std::array<std::vector<double>, 2> prefill;
  std::array<std::vector<double>, 2> decode;
  for (std::uint32_t round = 0; round <= given.rounds; ++round) {
    OVIR_TRY(measure(sides, round, given, runner));
    for (std::size_t i = 0; round > 0 && i < 2; ++i) { // the first round warms up
      prefill[i].push_back(sides[i].prefill);
      decode[i].push_back(sides[i].decode);
    }
  }
  return nlohmann::json{
      {"model", given.model},
      {"threads", given.threads},
      {"prompt", given.prompt},
      {"tokens", given.tokens},
      {"superblocks", form_for(model.weights.layers[0].attn_q.type) == activation_form::a256},
      {"prefill", summary(prefill[0], prefill[1], given.prompt)},
      {"decode", summary(decode[0], decode[1], given.tokens)}};
}

std::uint32_t number(const char* text) {
  return static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10));
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: ovir_exactness_bench MODEL THREADS PROMPT TOKENS ROUNDS\n", stderr);
    return 2;
  }
  const options given{argv[1], number(argv[2]), number(argv[3]), number(argv[4]), number(argv[5])};
  if (given.threads == 0 || given.prompt == 0 || given.tokens == 0 || given.rounds == 0 ||
      given.prompt > 512) {
    std::fputs("ovir_exactness_bench: numbers are from 1 on, PROMPT at most 512\n", stderr);
    return 2;
  }
  const auto found = run(given);
  if (!found) {
    std::fprintf(stderr, "ovir_exactness_bench: %s\n", found.error().message.c_str());
    return 1;
  }
  std::puts(found->dump(2).c_str());
  return 0;
}
