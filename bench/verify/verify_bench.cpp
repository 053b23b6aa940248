// What checking costs, beside computing: the figures of tiers T0 and T1.
//
//   build/release/ovir_verify_bench MODEL ROUNDS
//
// MODEL has at least 3 layers, such as `ovir model synth m.gguf --preset 1.1b --layers 3`. One
// thread. Both sides in turn; prints medians as a JSON object, and a digest of what was computed.
#include "apps/compute_threads.hpp"
#include "apps/open_model.hpp"
#include "apps/pack_model.hpp"
#include "compute/forward/layer_step.hpp"
#include "compute/forward/segment.hpp"
#include "messages/check.hpp"
#include "messages/secret_random.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "verify/reveal_check.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <string>

namespace {

using namespace ovir;
using namespace ovir::compute;

constexpr std::uint32_t context = 512;
constexpr std::uint32_t window = 15; ///< the last of the context
constexpr layer_index layer = 1;     ///< neither the first nor the last

template <class T>
T must(result<T> r) {
  if (!r) {
    std::fprintf(stderr, "ovir_verify_bench: %s\n", r.error().message.c_str());
    std::exit(4);
  }
  return std::move(r).value();
}

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

std::vector<float> rows_before(const model& m, const receipt& r, const kernel_set& kernels,
                               parallel_runner& runner) {
  const auto first = must(segment::make_checked(m, {0, layer}, kernels));
  segment_state state = must(first->open(context, std::numeric_limits<std::size_t>::max()));
  std::vector<token_id> tokens = r.asked.prompt;
  tokens.resize(context, 5);
  std::vector<float> rows;
  step_output out;
  for (position p = 0; p < context; p += 32) {
    step_input in;
    in.first = p;
    in.count = 32;
    in.tokens = std::span{tokens}.subspan(p, 32);
    OVIR_CHECK(first->forward(state, in, runner, out).has_value());
    rows.insert(rows.end(), out.boundary.begin(), out.boundary.end());
  }
  return rows;
}

/// The layer as its worker computed it: seconds of each window, and what it states of them.
std::vector<double> compute_layer(segment& one, const std::vector<float>& rows, std::uint32_t dim,
                                  parallel_runner& runner, std::vector<digest>& outputs) {
  segment_state state = must(one.open(context, std::numeric_limits<std::size_t>::max()));
  step_output out;
  std::vector<double> each;
  outputs.clear();
  for (position p = 0; p < context; p += 32) {
    step_input in;
    in.first = p;
    in.count = 32;
    in.boundary = std::span{rows}.subspan(std::size_t{p} * dim, std::size_t{32} * dim);
    each.push_back(seconds([&] { OVIR_CHECK(one.forward(state, in, runner, out).has_value()); }));
    outputs.push_back(out.leaves.front().boundary);
  }
  return each;
}

/// The last window as the worker of an answer computes it, whose next token is known when the one
/// before is drawn: position by position.
double compute_by_position(segment& one, const std::vector<float>& rows, std::uint32_t dim,
                           parallel_runner& runner, digest& output) {
  segment_state state = must(one.open(context, std::numeric_limits<std::size_t>::max()));
  step_output out;
  double last = 0;
  for (position p = 0; p < context;) {
    step_input in;
    in.first = p;
    in.count = p < window * 32 ? 32 : 1;
    in.boundary = std::span{rows}.subspan(std::size_t{p} * dim, std::size_t{in.count} * dim);
    const double took =
        seconds([&] { OVIR_CHECK(one.forward(state, in, runner, out).has_value()); });
    last += in.count == 1 ? took : 0;
    p += in.count;
  }
  output = out.leaves.front().boundary;
  return last;
}

double sum(const std::vector<double>& all) { return std::accumulate(all.begin(), all.end(), 0.0); }

/// All windows of the layer in their order, by an auditor that has seen none of them yet.
std::vector<double> check_in_order(const capsule& c, const std::vector<unit_reveal>& revealed,
                                   reveal_checker& checker, std::uint32_t one_in) {
  std::vector<double> each;
  for (const unit_reveal& unit : revealed) {
    spot_draw where{one_in, {}};
    fill_secret(std::as_writable_bytes(std::span{where.seed.bytes}));
    each.push_back(seconds([&] { OVIR_CHECK(must(checker.check(c, unit, where)).empty()); }));
  }
  return each;
}

/// The seven products of a layer over 32 positions, and their checks. All have the same made-up
/// input, so far as it goes; what is weighed of it is shared where a unit shares it.
void products(const model& m, const prepared_model& secret, const kernel_set& kernels,
              std::map<std::string, std::vector<double>>& times, parallel_runner& runner) {
  const layer_weights& w = m.layers[layer];
  const weight* const all[] = {&w.attn_q,   &w.attn_k, &w.attn_v,  &w.attn_output,
                               &w.ffn_gate, &w.ffn_up, &w.ffn_down};
  double computing = 0;
  double checking = 0;
  quantized_batch input;
  std::optional<weighed_inputs> shared; // of k for v, of gate for up
  for (std::size_t i = 0; i < layer_matrices; ++i) {
    quantized_batch& x = input;
    const activation_form form = form_for(all[i]->type);
    const bool two = terms_of(static_cast<unit_matrix>(i), form) == input_terms::two;
    x.reshape(form, two ? 64 : 32, all[i]->cols);
    std::vector<float> row(all[i]->cols);
    std::vector<float> rest(all[i]->cols);
    for (std::uint32_t t = 0; t < 32; ++t) {
      for (std::size_t c = 0; c < row.size(); ++c) {
        row[c] = static_cast<float>((c * 37 + t * 101) % 997) / 500.0F - 1;
      }
      OVIR_CHECK(two ? quantize_in_two(kernels, row.data(), rest.data(), x, t)
                     : kernels.quantize(row.data(), x, t));
    }
    std::vector<float> y(std::size_t{x.tokens} * all[i]->rows);
    std::vector<std::int64_t> sums(y.size());
    integer_product(*all[i], x, sums, runner);
    std::vector<std::uint64_t> weigh(x.tokens);
    fill_secret(std::as_writable_bytes(std::span{weigh}));
    computing += seconds(
        [&] { kernels.product(*all[i], 0, all[i]->rows, x, y.data(), all[i]->rows, nullptr); });
    checking += seconds([&] {
      if (i != static_cast<std::size_t>(unit_matrix::v) &&
          i != static_cast<std::size_t>(unit_matrix::up)) {
        shared.emplace(x, weigh);
      }
      OVIR_CHECK(check_product(secret.layers[layer].matrices[i], *shared, sums) ==
                 product_fault::none);
    });
  }
  times["products_computed_ms"].push_back(computing * 1e3);
  times["products_checked_ms"].push_back(checking * 1e3);
}

/// Medians, and how many times cheaper checking is.
void print_report(std::string_view model, std::string_view kernels,
                  const std::map<std::string, std::vector<double>>& times, const digest& output) {
  nlohmann::ordered_json document{{"model", model}, {"kernels", kernels}};
  for (const auto& [name, all] : times) {
    document[name] = median(all);
  }
  const auto ratio = [&](const char* name, const char* computed, const char* checked) {
    document[name] = median(times.at(computed)) / median(times.at(checked));
  };
  ratio("products_ratio", "products_computed_ms", "products_checked_ms");
  ratio("unit_ratio", "unit_computed_ms", "unit_checked_ms");
  ratio("unit_1_in_8_ratio", "unit_computed_ms", "unit_checked_1_in_8_ms");
  ratio("unit_by_position_ratio", "unit_computed_by_position_ms", "unit_checked_ms");
  ratio("unit_in_order_ratio", "unit_computed_ms", "unit_checked_in_order_ms");
  ratio("unit_by_position_in_order_ratio", "unit_computed_by_position_ms",
        "unit_checked_in_order_ms");
  ratio("layer_in_order_ratio", "layer_computed_ms", "layer_checked_in_order_ms");
  ratio("layer_in_order_1_in_8_ratio", "layer_computed_ms", "layer_checked_in_order_1_in_8_ms");
  document["digest"] = to_hex(output);
  std::printf("%s\n", document.dump(2).c_str());
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: ovir_verify_bench MODEL ROUNDS\n");
    return 2;
  }
  const int rounds = std::max(1, std::atoi(argv[2]));
  const auto environment = storage::make_env_posix();
  apps::ready_model model = must(apps::ready_model_at(*environment, argv[1]));
  const kernel_set& kernels = *must(apps::kernels_from(""));
  apps::compute_threads runner{1};
  const model_config& config = model.weights.config;
  OVIR_CHECK(config.layers == 3 && config.context >= context, config.layers);
  compute::model plain = model.weights;
  OVIR_CHECK(check_weights(plain, {0, 3}, runner).has_value());
  OVIR_CHECK(
      apps::pack_model(model, {0, config.layers}, kernels, *environment, runner).has_value());

  const test::receipt_maker cast;
  receipt r = cast.make({3, 1, context + 1 - 8, 8, 17});
  const prepared_model secret =
      must(prepare_model_check(plain, r.asked.model, fill_secret, runner));
  capsule c{r, config.dim, {{{layer, layer + 1}, context, {}}}};
  c.pieces[0].rows = rows_before(model.weights, r, kernels, runner);
  std::vector<unit_reveal> revealed;
  for (std::uint32_t w = 0; w <= window; ++w) {
    revealed.push_back(must(reveal_unit(c, {w, layer}, plain, kernels, runner)));
  }
  const auto one = must(segment::make_checked(model.weights, {layer, layer + 1}, kernels));
  reveal_checker checker{secret, kernels, runner};
  std::vector<digest> outputs;
  digest output;
  std::map<std::string, std::vector<double>> times;
  const auto add = [&times](const std::string& name, double taken) {
    times[name].push_back(taken * 1e3);
  };
  for (int i = 0; i < rounds; ++i) {
    const auto computed = compute_layer(*one, c.pieces[0].rows, config.dim, runner, outputs);
    add("unit_computed_ms", computed.back());
    add("layer_computed_ms", sum(computed));
    add("unit_computed_by_position_ms",
        compute_by_position(*one, c.pieces[0].rows, config.dim, runner, output));
    OVIR_CHECK(output == outputs.back());
    for (std::uint32_t w = 0; w <= window; ++w) {
      c.what.stages[1].statements[w].units[0] = outputs[w];
    }
    for (const auto& [name, one_in] : {std::pair{"", 1U}, std::pair{"_1_in_8", 8U}}) {
      c.what.closing.bytes[0] ^= 1U; // another receipt: nothing of it has been checked yet
      spot_draw where{one_in, {}};
      fill_secret(std::as_writable_bytes(std::span{where.seed.bytes}));
      add(fmt::format("unit_checked{}_ms", name),
          seconds([&] { OVIR_CHECK(must(checker.check(c, revealed.back(), where)).empty()); }));
      c.what.closing.bytes[1] ^= 1U;
      const auto in_order = check_in_order(c, revealed, checker, one_in);
      add(fmt::format("unit_checked_in_order{}_ms", name), in_order.back());
      add(fmt::format("layer_checked_in_order{}_ms", name), sum(in_order));
    }
    products(model.weights, secret, kernels, times, runner);
    const receipt signed_by_all = cast.make({3, 3, 100, 400, 17});
    times["t0_us_per_token_and_stage"].push_back(
        1e6 / (499.0 * 3) * seconds([&] {
          OVIR_CHECK(check_receipt(signed_by_all, {signer_policy::kind::any, {}}).empty());
        }));
  }
  print_report(config.name, kernels.name, times, output);
  return 0;
}
