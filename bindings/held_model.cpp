#include "bindings/held_model.hpp"

#include "apps/compute_threads.hpp"
#include "apps/ovir/base/embedded_model.hpp"
#include "apps/pack_model.hpp"
#include "messages/limits/general.hpp"

#include <utility>

namespace ovir::bindings {

storage::env& machine() {
  static const std::unique_ptr<storage::env> made = storage::make_env_posix();
  return *made;
}

result<std::shared_ptr<held_model>> held_model::open(const std::optional<std::string>& path,
                                                     std::uint32_t threads,
                                                     const std::string& isa) {
  if (threads < 1 || threads > limits::threads_max) {
    return fail(errc::invalid_argument, "threads must be between 1 and {}, not {}",
                limits::threads_max, threads);
  }
  OVIR_ASSIGN(const compute::kernel_set* const kernels, apps::kernels_from(isa));
  OVIR_ASSIGN(
      apps::ready_model opened,
      path ? apps::ready_model_at(machine(), *path)
           : apps::prepare_model(std::string{apps::embedded_model_name}, apps::embedded_model()));
  return std::shared_ptr<held_model>{new held_model{std::move(opened), *kernels, threads}};
}

result<void> held_model::prepare() {
  const std::lock_guard held{preparing_};
  if (!prepared_) {
    apps::compute_threads runner{threads_};
    prepared_ =
        apps::pack_model(model_, {0, model_.weights.config.layers}, kernels_, machine(), runner);
  }
  return *prepared_;
}

} // namespace ovir::bindings
