// Qwen 3 with experts: Qwen 3's attention, and a feed-forward block of chosen experts alone.
#include "compute/model/architecture.hpp"

#include <array>

namespace ovir::compute {

namespace {
constexpr std::array<std::string_view, 1> keys{"expert_count"};
} // namespace

const architecture qwen3moe_architecture{
    .name = "qwen3moe",
    .rotary = rotary_pairs::halves,
    .query_key_norms = head_norms::each_head,
    .experts = expert_shares::of_chosen,
    .reads = keys,
};

} // namespace ovir::compute
