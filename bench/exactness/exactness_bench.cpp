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
#include "compute/packed_weights.hpp"
#include "compute/segment.hpp"
#include "messages/check.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstdlib>
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

struct timing {
  double prefill;
  double decode;
  std::vector<float> logits;
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

void product(const weight& w, std::uint32_t first, std::uint32_t last, const quantized_batch& x,
             float* y, std::size_t y_stride) {
  OVIR_CHECK(w.packed != nullptr);
  const x86::matrix_view matrix{.data = reinterpret_cast<const unsigned char*>(w.data),
                                .row_bytes = w.row_bytes(),
                                .cols = w.cols,
                                .packed = reinterpret_cast<const unsigned char*>(w.packed),
                                .panel_bytes = packed_panel_bytes(w.type, w.cols)};
  const x86::batch_view batch{.q = x.q.data(),
                              .k = x.k.data(),
                              .m = x.m.data(),
                              .sum = x.sum.data(),
                              .u = x.u.data(),
                              .tokens = x.tokens,
                              .cols = x.cols,
                              .scales = x.cols / x.scale_block()};
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

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

result<timing> measure(segment& whole, const options& given, parallel_runner& runner) {
  OVIR_ASSIGN(segment_state state, whole.open(given.prompt + given.tokens, std::size_t{1} << 34U));
  std::vector<token_id> ids(given.prompt);
  for (std::uint32_t i = 0; i < given.prompt; ++i) {
    ids[i] = static_cast<token_id>((std::uint64_t{i} * 7'919 + 3) % whole.config().vocabulary);
  }
  step_output out;
  timing all{};
  const double start = seconds();
  OVIR_TRY(
      whole.forward(state, {.count = given.prompt, .tokens = ids, .logit_rows = 1}, runner, out));
  const double prefilled = seconds();
  // The same tokens on both sides, whatever the logits say.
  for (std::uint32_t i = 0; i < given.tokens; ++i) {
    const step_input in{.first = state.kv.length(),
                        .count = 1,
                        .tokens = std::span{ids}.subspan(i % given.prompt, 1),
                        .logit_rows = 1};
    OVIR_TRY(whole.forward(state, in, runner, out));
  }
  all.prefill = prefilled - start;
  all.decode = seconds() - prefilled;
  all.logits = out.logits;
  return all;
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
  any_order.product = product;
  const auto environment = storage::make_env_posix();
  apps::compute_threads runner{given.threads};
  OVIR_ASSIGN(auto file, apps::map_file(*environment, given.model));
  OVIR_ASSIGN(apps::ready_model model, apps::prepare_model(given.model, std::move(file)));
  const layer_range layers{0, model.weights.config.layers};
  OVIR_TRY(apps::pack_model(model, layers, *exact, *environment, runner));
  OVIR_ASSIGN(const auto ours, segment::make_checked(model.weights, layers, *exact));
  OVIR_ASSIGN(const auto theirs, segment::make_checked(model.weights, layers, any_order));
  std::vector<double> prefill[2];
  std::vector<double> decode[2];
  std::vector<float> logits[2];
  for (std::uint32_t round = 0; round <= given.rounds; ++round) { // the first one warms up
    for (std::uint32_t turn = 0; turn < 2; ++turn) {
      const std::uint32_t side = (turn + round) % 2;
      OVIR_ASSIGN(const timing one, measure(side == 0 ? *ours : *theirs, given, runner));
      if (round == 0) {
        logits[side] = one.logits;
        continue;
      }
      if (one.logits != logits[side]) {
        return fail(errc::self_test_failed, "round {} gave other logits than the first", round);
      }
      prefill[side].push_back(one.prefill);
      decode[side].push_back(one.decode);
    }
  }
  return nlohmann::json{{"model", given.model},
                        {"threads", given.threads},
                        {"prompt", given.prompt},
                        {"tokens", given.tokens},
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
