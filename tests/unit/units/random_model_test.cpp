#include "tests/support/model/loaded_model.hpp"
#include "tests/units/random_model.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>

namespace ovir::units {
namespace {

TEST(random_models, are_the_same_with_the_same_seed) {
  EXPECT_EQ(random_model(7), random_model(7));
  EXPECT_NE(random_model(7), random_model(8));
}

TEST(random_models, are_of_every_family_and_every_tensor_type) {
  std::set<std::string> families;
  std::set<std::uint32_t> types;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    const test::loaded_model made{random_model(seed)};
    EXPECT_EQ(made.get().config.layers, 8);
    families.insert(made.get().config.architecture);
    for (const compute::gguf_tensor& one : made.file().tensors()) {
      types.insert(one.raw_type);
    }
  }
  EXPECT_EQ(families.size(), 12);
  EXPECT_EQ(types.size(), compute::tensor_rows.size());
}

} // namespace
} // namespace ovir::units
