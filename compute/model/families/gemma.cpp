// Gemma 1: scaled embeddings and a GELU gate.
#include "compute/model/architecture.hpp"

namespace ovir::compute {

const architecture gemma_architecture{
    .name = "gemma",
    .rotary = rotary_pairs::halves,
    .gate = gate_function::gelu,
    .embeddings_by_root = true,
};

} // namespace ovir::compute
