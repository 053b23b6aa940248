#pragma once

#include "apps/open_model.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace ovir::bindings {

/// The machine that this process runs on.
[[nodiscard]] storage::env& machine();

/// A model that was opened, and once a run asked for it, checked and packed. Any thread.
class held_model {
public:
  /// `path`: a GGUF file; without one the embedded model. `isa`: kernels by their name; empty: the
  /// best of this machine. Errors name the parameter or the file.
  [[nodiscard]] static result<std::shared_ptr<held_model>>
  open(const std::optional<std::string>& path, std::uint32_t threads, const std::string& isa);

  [[nodiscard]] apps::ready_model& model() noexcept { return model_; }
  [[nodiscard]] const compute::kernel_set& kernels() const noexcept { return kernels_; }
  [[nodiscard]] std::uint32_t threads() const noexcept { return threads_; }

  /// Checks the weights and packs them for the kernels; once.
  [[nodiscard]] result<void> prepare();

private:
  held_model(apps::ready_model opened, const compute::kernel_set& kernels, std::uint32_t threads)
      : model_(std::move(opened)), kernels_(kernels), threads_(threads) {}

  apps::ready_model model_;
  const compute::kernel_set& kernels_;
  std::uint32_t threads_;
  std::mutex preparing_;
  std::optional<result<void>> prepared_;
};

} // namespace ovir::bindings
