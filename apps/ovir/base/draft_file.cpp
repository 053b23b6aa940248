#include "apps/ovir/base/draft_file.hpp"

#include "apps/pack_model.hpp"

namespace ovir::apps {

result<std::shared_ptr<actors::draft_model>>
load_draft(surroundings& around, const std::string& path, const compute::tokenizer& target,
           const compute::kernel_set& kernels, compute::parallel_runner& runner) {
  OVIR_ASSIGN(ready_model loaded, load_model(around, path));
  const auto model = std::make_shared<ready_model>(std::move(loaded));
  OVIR_TRY(
      pack_model(*model, {0, model->weights.config.layers}, kernels, around.environment, runner));
  auto made = actors::draft_model::make(model->weights, kernels, *model->vocabulary, target, model);
  return made ? std::move(made) : in_context(model->source.path, made.error());
}

} // namespace ovir::apps
