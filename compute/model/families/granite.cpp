// Granite 3: Llama's blocks with factors on embeddings, scores, residuals and logits.
#include "compute/model/architecture.hpp"

#include <array>

namespace ovir::compute {

namespace {
constexpr std::array<std::string_view, 4> keys{"attention.scale", "embedding_scale",
                                               "residual_scale", "logit_scale"};
} // namespace

const architecture granite_architecture{
    .name = "granite",
    .reads = keys,
};

} // namespace ovir::compute
