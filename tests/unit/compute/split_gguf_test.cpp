// Models that come as several files.
#include "compute/gguf/manifest.hpp"
#include "compute/gguf/split_gguf.hpp"
#include "compute/model/model.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace ovir::compute {
namespace {

using test::gguf_builder;
using testing::HasSubstr;

/// A tensor as the whole model has it, in a file of its own.
void move_tensor(const gguf& whole, std::string_view name, gguf_builder& from, gguf_builder& to) {
  const gguf_tensor* const tensor = whole.find_tensor(name);
  ASSERT_NE(tensor, nullptr);
  std::vector<std::uint64_t> shape(tensor->shape.begin(), tensor->shape.begin() + tensor->dims);
  to.tensor(name, tensor->raw_type, shape,
            std::vector<std::byte>{tensor->data.begin(), tensor->data.end()});
  from.remove_tensor(std::string{name});
}

gguf_builder place(gguf_builder b, std::uint32_t number, std::uint32_t count) {
  b.u32("split.no", number).u32("split.count", count);
  return b;
}

/// The files of a model in three: the second has one tensor, the third another.
std::vector<std::vector<std::byte>> in_three(std::uint32_t tensors_stated) {
  const auto bytes = test::minimal_llama().build();
  const gguf whole = gguf::parse(bytes).value();
  gguf_builder first = test::minimal_llama();
  gguf_builder second;
  gguf_builder third;
  move_tensor(whole, "blk.1.ffn_down.weight", first, second);
  move_tensor(whole, "output_norm.weight", first, third);
  first = place(std::move(first), 0, 3);
  first.u32("split.tensors.count", tensors_stated);
  return {first.build(), place(std::move(second), 1, 3).build(),
          place(std::move(third), 2, 3).build()};
}

std::vector<gguf> parsed_parts(const std::vector<std::vector<std::byte>>& files) {
  std::vector<gguf> out;
  out.reserve(files.size());
  for (const auto& file : files) {
    out.push_back(gguf::parse(file).value());
  }
  return out;
}

std::uint32_t tensors_of_the_whole() {
  const auto bytes = test::minimal_llama().build();
  return static_cast<std::uint32_t>(gguf::parse(bytes)->tensors().size());
}

TEST(split_gguf, makes_the_model_that_one_file_would_be) {
  const auto files = in_three(tensors_of_the_whole());
  const auto joined = join_split(parsed_parts(files));
  ASSERT_TRUE(joined) << joined.error().message;
  const auto bytes = test::minimal_llama().build();
  const gguf whole = gguf::parse(bytes).value();
  ASSERT_EQ(joined->tensors().size(), whole.tensors().size());
  EXPECT_EQ(joined->find("split.no"), nullptr);
  for (const gguf_tensor& tensor : whole.tensors()) {
    const gguf_tensor* const there = joined->find_tensor(tensor.name);
    ASSERT_NE(there, nullptr) << tensor.name;
    EXPECT_TRUE(
        std::equal(tensor.data.begin(), tensor.data.end(), there->data.begin(), there->data.end()));
  }
  EXPECT_TRUE(bind_model(*joined));
  EXPECT_EQ(name_of(*manifest_of(*joined)), name_of(*manifest_of(whole)));
}

TEST(split_gguf, refuses_files_that_are_not_those_of_one_model) {
  const auto files = in_three(tensors_of_the_whole());
  const auto refusal = [](std::vector<gguf> parts) {
    const auto joined = join_split(std::move(parts));
    return joined ? std::string{"accepted"} : joined.error().message;
  };
  EXPECT_THAT(refusal(parsed_parts({files[0], files[2], files[1]})),
              HasSubstr("file 2 of 3 says that it is file 3 of 3"));
  EXPECT_THAT(refusal(parsed_parts({files[0], files[1]})), HasSubstr("file 1 of 2 says"));
  EXPECT_THAT(refusal(parsed_parts(in_three(2))), HasSubstr("\"split.tensors.count\" is 2"));
  gguf_builder twice;
  twice.tensor("output.weight", tensor_type::f32, {4});
  const auto again = place(std::move(twice), 1, 3).build();
  EXPECT_THAT(refusal(parsed_parts({files[0], again, files[2]})),
              HasSubstr("\"output.weight\" is in file 1 and in file 2"));
}

TEST(split_gguf, reads_where_a_file_belongs) {
  const auto place_in = [](const gguf_builder& b) {
    const auto bytes = b.build();
    return split_place_of(gguf::parse(bytes).value());
  };
  EXPECT_EQ(place_in(test::minimal_llama())->count, 1U);
  EXPECT_EQ(place_in(place(test::minimal_llama(), 0, 0))->count, 1U);
  EXPECT_EQ(place_in(place(test::minimal_llama(), 2, 3))->number, 2U);
  EXPECT_EQ(place_in(place(test::minimal_llama(), 3, 3)).error().code, errc::malformed);
  EXPECT_EQ(place_in(place(test::minimal_llama(), 0, 1'000'000)).error().code, errc::over_limit);
  EXPECT_EQ(place_in(test::minimal_llama().text("split.count", "3")).error().code, errc::malformed);
}

} // namespace
} // namespace ovir::compute
