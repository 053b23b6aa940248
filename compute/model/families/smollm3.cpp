// SmolLM 3: Llama's blocks, of which every fourth does not rotate.
#include "compute/model/architecture.hpp"

namespace ovir::compute {

const architecture smollm3_architecture{
    .name = "smollm3",
    .unrotated_every = 4,
};

} // namespace ovir::compute
