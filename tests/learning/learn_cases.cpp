#include "tests/learning/learn_cases.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/base/parallel.hpp"
#include "tests/support/model/architecture_model.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/kernel_inputs.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace ovir::test {

loaded_model small_llama(compute::synth_quantization quantization, std::uint32_t layers) {
  const bool long_blocks = quantization == compute::synth_quantization::q4_k ||
                           quantization == compute::synth_quantization::q4_k_m ||
                           quantization == compute::synth_quantization::q6_k;
  compute::synth_spec spec;
  spec.dim = long_blocks ? 256 : 64;
  spec.ffn_dim = long_blocks ? 256 : 96;
  spec.vocabulary = compute::synth_vocabulary_min;
  spec.layers = layers;
  spec.quantization = quantization;
  spec.seed = 48;
  return loaded_model{synthetic_model(spec)};
}

loaded_model small_model_of(const std::string& architecture) {
  const std::vector<architecture_case> cases = architecture_cases();
  const auto wanted = std::find_if(cases.begin(), cases.end(), [&](const architecture_case& c) {
    return c.name == architecture;
  });
  if (wanted == cases.end()) {
    throw std::invalid_argument("no architecture " + architecture);
  }
  kernel_random random{48};
  const matrix_maker make = [&](std::uint32_t rows, std::uint32_t cols) {
    matrix_content content{compute::tensor_type::f16, std::vector<std::byte>(2ULL * rows * cols)};
    for (std::size_t i = 0; i < std::size_t{rows} * cols; ++i) {
      const float bound = 1.7F / std::sqrt(static_cast<float>(cols));
      const std::uint16_t half = compute::float_to_half(random.in(-bound, bound));
      std::memcpy(content.bytes.data() + 2 * i, &half, sizeof half);
    }
    return content;
  };
  architecture_shape shape;
  shape.dim = 48;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 12;
  shape.ffn_dim = 40;
  return loaded_model{architecture_model(*wanted, shape, 48, make)};
}

compute::model checked(const loaded_model& model) {
  compute::model copy = model.get();
  compute::serial_runner runner;
  const auto done = compute::check_weights(copy, {0, copy.config.layers}, runner);
  if (!done) {
    throw std::runtime_error(done.error().message);
  }
  return copy;
}

learning::adapter stirred_adapter(const compute::model& m, std::uint64_t seed) {
  learning::adapter a = learning::fresh_adapter(m, 3, 4.5F, learning::all_targets, seed).value();
  kernel_random random{seed};
  learning::for_each_pair(a.numbers, [&](std::size_t, std::size_t, learning::lora_pair& pair) {
    for (float& v : pair.b) {
      v = random.in(-0.1F, 0.1F);
    }
  });
  return a;
}

learning::example random_example(std::uint64_t seed, std::uint32_t tokens,
                                 std::uint32_t vocabulary) {
  kernel_random random{seed};
  learning::example e;
  for (std::uint32_t i = 0; i < tokens; ++i) {
    e.ids.push_back(random.below(vocabulary));
    e.counts.push_back(i > tokens / 3 ? 1 : 0);
  }
  return e;
}

std::vector<const compute::kernel_set*> all_kernels() {
  std::vector<const compute::kernel_set*> sets{&compute::kernels_reference()};
  const auto fast = compute::fast_kernels_here();
  sets.insert(sets.end(), fast.begin(), fast.end());
  return sets;
}

double relative_distance(const learning::lora_numbers& a, const learning::lora_numbers& b) {
  double apart = 0;
  double size = 0;
  const auto compare = [&](const std::vector<float>& x, const std::vector<float>& y) {
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double d = static_cast<double>(x[i]) - static_cast<double>(y[i]);
      apart += d * d;
      size += static_cast<double>(y[i]) * static_cast<double>(y[i]);
    }
  };
  learning::for_each_pair(
      b, [&](std::size_t layer, std::size_t place, const learning::lora_pair& pair) {
        compare(a[layer][place].a, pair.a);
        compare(a[layer][place].b, pair.b);
      });
  return std::sqrt(apart / size);
}

} // namespace ovir::test
