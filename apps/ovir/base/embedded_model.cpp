#include "apps/ovir/base/embedded_model.hpp"

// Defined in embedded_model.S.
extern "C" const std::byte ovir_embedded_model_begin[];
extern "C" const std::byte ovir_embedded_model_end[];

namespace ovir::apps {

namespace {

class embedded_file final : public storage::mapped_file {
public:
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept override {
    return {ovir_embedded_model_begin, ovir_embedded_model_end};
  }
};

} // namespace

std::unique_ptr<storage::mapped_file> embedded_model() { return std::make_unique<embedded_file>(); }

} // namespace ovir::apps
