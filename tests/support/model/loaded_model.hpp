#pragma once

#include "compute/gguf/gguf.hpp"
#include "compute/model/model.hpp"

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace ovir::test {

/// A model and the bytes it points into. Throws when the bytes are not a model: tests give good
/// ones.
class loaded_model {
public:
  explicit loaded_model(std::vector<std::byte> bytes);
  explicit loaded_model(const std::filesystem::path& file);

  [[nodiscard]] const compute::model& get() const noexcept { return *model_; }
  [[nodiscard]] const compute::gguf& file() const noexcept { return *file_; }

private:
  std::vector<std::byte> bytes_;
  std::unique_ptr<compute::gguf> file_;
  std::unique_ptr<compute::model> model_;
};

} // namespace ovir::test
