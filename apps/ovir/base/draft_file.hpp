#pragma once

#include "actors/request/draft_model.hpp"
#include "apps/ovir/base/command.hpp"

#include <memory>
#include <string>

namespace ovir::apps {

/// The model file at `path` (empty: the embedded model), all layers packed, to guess for requests
/// of a model with the vocabulary `target`. `invalid_argument` where its own is another one.
[[nodiscard]] result<std::shared_ptr<actors::draft_model>>
load_draft(surroundings& around, const std::string& path, const compute::tokenizer& target,
           const compute::kernel_set& kernels, compute::parallel_runner& runner);

} // namespace ovir::apps
