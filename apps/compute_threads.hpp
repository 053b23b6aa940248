#pragma once

#include "compute/base/parallel.hpp"
#include "storage/env/thread_runner.hpp"

#include <cstddef>
#include <functional>

namespace ovir::apps {

/// The machine's threads as the runner that the compute core asks for. Neither core may know the
/// other, so they meet here.
class compute_threads final : public compute::parallel_runner {
public:
  explicit compute_threads(std::size_t threads) : threads_(threads) {}

  [[nodiscard]] std::size_t width() const noexcept override { return threads_.width(); }
  void run(std::size_t count, const std::function<void(std::size_t)>& part) override {
    threads_.run(count, part);
  }

private:
  storage::thread_runner threads_;
};

} // namespace ovir::apps
