#include "compute/model/architecture.hpp"

#include <array>
#include <string>

namespace ovir::compute {

namespace {

/// Every family this build computes. A new one is registered here and nowhere else.
constexpr std::array all_architectures{
    &llama_architecture,  &qwen2_architecture,   &qwen3_architecture,    &gemma_architecture,
    &gemma2_architecture, &gemma3_architecture,  &phi3_architecture,     &granite_architecture,
    &olmo2_architecture,  &smollm3_architecture, &qwen2moe_architecture, &qwen3moe_architecture,
};

} // namespace

const architecture* find_architecture(std::string_view name) noexcept {
  for (const architecture* const one : all_architectures) {
    if (one->name == name) {
      return one;
    }
  }
  return nullptr;
}

std::string_view architecture_names() {
  static const std::string names = [] {
    std::string out;
    for (const architecture* const one : all_architectures) {
      out += (out.empty() ? "" : ", ") + std::string{one->name};
    }
    return out;
  }();
  return names;
}

} // namespace ovir::compute
