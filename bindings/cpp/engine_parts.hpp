#pragma once

#include "bindings/held_model.hpp"
#include "include/ovir/engine.hpp"
#include "messages/request/params.hpp"

#include <memory>

/// What the library's sources see of a model.
namespace ovir::v0 {

struct model::impl {
  std::shared_ptr<bindings::held_model> held;
};

struct model_access {
  [[nodiscard]] static bindings::held_model& of(const model& m) { return *m.impl_->held; }
};

[[nodiscard]] sampling_params params_from(const sampling_options& options);

} // namespace ovir::v0
