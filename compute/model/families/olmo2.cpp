// OLMo 2: norms follow the blocks, none precedes them; queries and keys are normed over all heads.
#include "compute/model/architecture.hpp"

namespace ovir::compute {

const architecture olmo2_architecture{
    .name = "olmo2",
    .rotary = rotary_pairs::halves,
    .query_key_norms = head_norms::whole_row,
    .input_norms = false,
    .output_norms = true,
};

} // namespace ovir::compute
