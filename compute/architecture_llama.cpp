// Llama 1 to 3, and Mistral, whose files carry the same name and state a window.
#include "compute/architecture.hpp"

#include <array>

namespace ovir::compute {

namespace {
constexpr std::array<std::string_view, 1> keys{"attention.sliding_window"};
} // namespace

const architecture llama_architecture{
    .name = "llama",
    .reads = keys,
};

} // namespace ovir::compute
