#pragma once

#include "compute/model/model.hpp"

#include <cstddef>
#include <vector>

namespace ovir::test {

/// What an honest machine answers to `tokens`: so many tokens, ends or not, the likeliest each.
[[nodiscard]] std::vector<token_id> greedy_answer(const compute::model& m,
                                                  std::vector<token_id> tokens, std::size_t count);

} // namespace ovir::test
