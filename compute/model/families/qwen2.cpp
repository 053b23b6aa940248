// Qwen 2 and 2.5: Llama's blocks with biases on queries, keys and values.
#include "compute/model/architecture.hpp"

namespace ovir::compute {

const architecture qwen2_architecture{
    .name = "qwen2",
    .rotary = rotary_pairs::halves,
    .qkv_biases = presence::required,
};

} // namespace ovir::compute
