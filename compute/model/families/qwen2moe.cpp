// Qwen 1.5 and 2 with experts: Qwen 2's attention, and a shared expert beside those chosen.
#include "compute/model/architecture.hpp"

#include <array>

namespace ovir::compute {

namespace {
constexpr std::array<std::string_view, 1> keys{"expert_count"};
} // namespace

const architecture qwen2moe_architecture{
    .name = "qwen2moe",
    .rotary = rotary_pairs::halves,
    .qkv_biases = presence::required,
    .experts = expert_shares::of_all,
    .shared_expert = true,
    .reads = keys,
};

} // namespace ovir::compute
