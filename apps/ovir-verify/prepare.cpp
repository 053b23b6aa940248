#include "apps/ovir-verify/prepare.hpp"

#include "apps/compute_threads.hpp"
#include "apps/console.hpp"
#include "apps/open_model.hpp"
#include "compute/gguf/manifest.hpp"
#include "messages/secret_random.hpp"
#include "verify/freivalds.hpp"

namespace ovir::apps {

result<exit_code> prepare(const prepare_orders& orders, storage::env& environment) {
  if (orders.model.empty() || orders.output.empty()) {
    return fail(errc::invalid_argument, "prepare needs --model and --output");
  }
  OVIR_ASSIGN(const open_model source, open_model_at(environment, orders.model));
  auto weights = compute::bind_model(source.metadata);
  if (!weights) {
    return in_context(orders.model, weights.error());
  }
  compute_threads runner{orders.threads};
  OVIR_TRY(compute::check_weights(*weights, {0, weights->config.layers}, runner));
  OVIR_ASSIGN(const compute::model_manifest manifest, compute::manifest_of(source.metadata));
  const auto made =
      compute::prepare_model_check(*weights, compute::name_of(manifest), fill_secret, runner);
  if (!made) {
    return in_context(orders.model, made.error());
  }
  const auto bytes = encode_prepared(*made);
  if (bytes.size() > limits::prepared_bytes_max) {
    return fail(errc::over_limit, "{} takes {} bytes prepared; at most {} are kept", orders.model,
                bytes.size(), limits::prepared_bytes_max);
  }
  OVIR_ASSIGN(const bool is_new, environment.make_secret_file(orders.output, bytes));
  if (!is_new) {
    return fail(errc::unsupported,
                "{} is there already and stays as it is; remove it or name another file",
                orders.output);
  }
  write_note(fmt::format("{} in {}, for you alone: whoever reads it can forge what passes\n",
                         bytes_text(bytes.size()), orders.output));
  return exit_code::done;
}

} // namespace ovir::apps
