#pragma once

#include "compute/model/model.hpp"
#include "messages/result.hpp"

#include <string_view>

namespace ovir::compute {

/// `unsupported` unless every block of the model is Llama's own: of pairs of neighbours, SiLU,
/// norms of inputs alone, dense, and without windows, factors, caps or scaled rotation. For what
/// repeats the forward pass by other means and knows no other operations; `who` says what that is,
/// and is the first words of the message.
[[nodiscard]] result<void> require_plain_blocks(const model& m, std::string_view who);

} // namespace ovir::compute
