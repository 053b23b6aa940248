#include "learning/gradient/frozen_model.hpp"

#include "compute/model/architecture.hpp"
#include "learning/kernels/choose.hpp"

#include <cstddef>
#include <span>

namespace ovir::learning {

result<void> check_trainable(const compute::model_config& config) {
  const compute::architecture* const family = compute::find_architecture(config.architecture);
  const char* what = nullptr;
  if (config.experts != 0) {
    what = "a mixture of experts";
  } else if (family == nullptr || family->fused_qkv || family->fused_gate_up) {
    what = "matrices that several products share";
  } else if (!family->input_norms || family->output_norms) {
    what = "norms of what a block puts out";
  } else if (config.gate != compute::gate_function::silu) {
    what = "a gate other than SiLU";
  } else if (config.attention_cap != 0 || config.logit_cap != 0) {
    what = "capped scores";
  } else if (config.embedding_scale != 1 || config.residual_scale != 1 ||
             config.logit_divisor != 1) {
    what = "scaled embeddings, residuals or logits";
  } else if (config.window_rope_base != 0) {
    what = "angles that differ between layers";
  }
  if (what != nullptr) {
    return fail(errc::unsupported,
                "models of architecture {} have {}, through which this version trains no adapter; "
                "use llama, qwen2 or qwen3",
                config.architecture, what);
  }
  return {};
}

result<frozen_model> freeze(const compute::model& checked, const compute::kernel_set& kernels) {
  OVIR_TRY(check_trainable(checked.config));
  if (checked.lora) {
    return fail(errc::unsupported, "the model has an adapter already; train beside its base");
  }
  std::span<const float> factors;
  if (!checked.rope_factors.empty()) {
    factors = {reinterpret_cast<const float*>(checked.rope_factors.data),
               checked.rope_factors.cols};
  }
  return frozen_model{&checked, &kernels, &kernels_for(kernels.id),
                      compute::rope_table{checked.config, factors}};
}

} // namespace ovir::learning
