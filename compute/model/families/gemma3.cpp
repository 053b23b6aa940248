// Gemma 3: Gemma 2 with normed queries and keys in place of capped scores; five layers in six have
// a window and a rotary base of their own.
#include "compute/model/architecture.hpp"

#include <array>

namespace ovir::compute {

namespace {
constexpr std::array<std::string_view, 2> keys{"attention.sliding_window",
                                               "final_logit_softcapping"};
} // namespace

const architecture gemma3_architecture{
    .name = "gemma3",
    .rotary = rotary_pairs::halves,
    .query_key_norms = head_norms::each_head,
    .global_every = 6,
    .window_rope_base = 10'000,
    .layers_scaled_by_width = 62,
    .gate = gate_function::gelu,
    .output_norms = true,
    .embeddings_by_root = true,
    .reads = keys,
};

} // namespace ovir::compute
