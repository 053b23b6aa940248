// Gemma 2: Gemma with norms on both sides of each block, capped scores and logits, and a window in
// every other layer. The largest model scales scores by the width of the stream.
#include "compute/model/architecture.hpp"

#include <array>

namespace ovir::compute {

namespace {
constexpr std::array<std::string_view, 3> keys{"attention.sliding_window", "attn_logit_softcapping",
                                               "final_logit_softcapping"};
} // namespace

const architecture gemma2_architecture{
    .name = "gemma2",
    .rotary = rotary_pairs::halves,
    .global_every = 2,
    .layers_scaled_by_width = 46,
    .gate = gate_function::gelu,
    .output_norms = true,
    .embeddings_by_root = true,
    .window_otherwise = 4096,
    .reads = keys,
};

} // namespace ovir::compute
