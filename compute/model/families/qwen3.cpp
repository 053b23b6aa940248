// Qwen 3: Llama's blocks with queries and keys normed head by head.
#include "compute/model/architecture.hpp"

namespace ovir::compute {

const architecture qwen3_architecture{
    .name = "qwen3",
    .rotary = rotary_pairs::halves,
    .query_key_norms = head_norms::each_head,
};

} // namespace ovir::compute
