// Phi 3: Llama's blocks with queries, keys and values in one tensor, and gate and other rows in
// another. Long contexts by two sets of factors ("longrope") are refused.
#include "compute/model/architecture.hpp"

#include <array>

namespace ovir::compute {

namespace {
constexpr std::array<std::string_view, 1> keys{"attention.sliding_window"};
} // namespace

const architecture phi3_architecture{
    .name = "phi3",
    .rotary = rotary_pairs::halves,
    .fused_qkv = true,
    .fused_gate_up = true,
    .reads = keys,
};

} // namespace ovir::compute
