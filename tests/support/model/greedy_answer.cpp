#include "tests/support/model/greedy_answer.hpp"

#include "compute/forward/segment.hpp"
#include "compute/text/sampler.hpp"

#include <gtest/gtest.h>

namespace ovir::test {

std::vector<token_id> greedy_answer(const compute::model& m, std::vector<token_id> tokens,
                                    std::size_t count) {
  compute::serial_runner runner;
  const auto whole = compute::segment::make(m, {0, m.config.layers},
                                            *compute::select_kernels(std::nullopt).value(), runner)
                         .value();
  auto state = whole->open(static_cast<std::uint32_t>(tokens.size() + count), 1U << 26U).value();
  std::vector<token_id> drawn;
  position first = 0;
  compute::step_output out;
  while (drawn.size() < count) {
    compute::step_input in{.first = first, .count = static_cast<std::uint32_t>(tokens.size())};
    in.tokens = tokens;
    in.logit_rows = 1;
    EXPECT_TRUE(whole->forward(state, in, runner, out));
    first += in.count;
    drawn.push_back(compute::highest_of(out.logits));
    tokens = {drawn.back()};
  }
  return drawn;
}

} // namespace ovir::test
