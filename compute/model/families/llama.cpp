// Llama 1 to 3, and Mistral and Mixtral, whose files carry the same name and state a window, or
// experts.
#include "compute/model/architecture.hpp"

#include <array>

namespace ovir::compute {

namespace {
constexpr std::array<std::string_view, 2> keys{"attention.sliding_window", "expert_count"};
} // namespace

const architecture llama_architecture{
    .name = "llama",
    .experts = expert_shares::of_chosen,
    .reads = keys,
};

} // namespace ovir::compute
