#pragma once

#include "compute/gguf/gguf.hpp"
#include "compute/model/model.hpp"
#include "learning/adapter/adapter.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <string>

namespace ovir::test {

/// A model with an adapter, and the adapter's file. The base must outlive it. Throws what is wrong.
class adapted_model {
public:
  adapted_model(const loaded_model& base, const learning::adapter& adapter);

  [[nodiscard]] const compute::model& get() const noexcept { return model_; }
  /// Both files as one.
  [[nodiscard]] const compute::gguf& file() const noexcept { return joined_; }
  [[nodiscard]] const std::string& adapter_bytes() const noexcept { return bytes_; }

private:
  std::string bytes_;
  compute::gguf joined_;
  compute::model model_;
};

/// A file's bytes and those of an adapter as one model, or why not.
[[nodiscard]] result<compute::gguf> joined(const compute::gguf& base, const std::string& adapter);

} // namespace ovir::test
