#include "tests/learning/adapted_models.hpp"

#include "compute/base/parallel.hpp"
#include "compute/gguf/join_adapter.hpp"
#include "learning/adapter/adapter_file.hpp"

#include <span>
#include <stdexcept>

namespace ovir::test {

result<compute::gguf> joined(const compute::gguf& base, const std::string& adapter) {
  OVIR_ASSIGN(compute::gguf pairs, compute::gguf::parse(std::as_bytes(std::span{adapter})));
  return compute::join_adapter(base, std::move(pairs));
}

adapted_model::adapted_model(const loaded_model& base, const learning::adapter& adapter)
    : bytes_(learning::to_file(adapter, {})), joined_(joined(base.file(), bytes_).value()),
      model_(compute::bind_model(joined_).value()) {
  compute::serial_runner runner;
  const auto done = compute::check_weights(model_, {0, model_.config.layers}, runner);
  if (!done) {
    throw std::runtime_error(done.error().message);
  }
}

} // namespace ovir::test
