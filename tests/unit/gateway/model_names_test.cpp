// A model is found by each of the names that people give it.
#include "gateway/api/prepared_request.hpp"
#include "messages/hex.hpp"

#include <gtest/gtest.h>

namespace ovir::gateway {
namespace {

served_model model_of(std::uint8_t id, std::string file, std::string title) {
  served_model m;
  m.id.bytes.fill(id);
  m.name = std::move(file);
  m.title = std::move(title);
  return m;
}

class model_names : public ::testing::Test {
protected:
  /// The first byte of its id; 0: none is called so.
  [[nodiscard]] int found(std::string_view name) const {
    const auto m = find_model(models_, name);
    const auto* const one = std::get_if<served_model>(&m);
    return one == nullptr ? 0 : one->id.bytes[0];
  }
  [[nodiscard]] std::string refused(std::string_view name) const {
    const auto m = find_model(models_, name);
    const auto* const why = std::get_if<api_error>(&m);
    return why == nullptr ? "" : why->message;
  }

  std::vector<served_model> models_{model_of(1, "small-q8_0.gguf", "Small 8B"),
                                    model_of(2, "large.gguf", "Large"),
                                    model_of(3, "other", "large")};
};

TEST_F(model_names, are_of_the_file_and_of_its_metadata_and_of_its_content) {
  EXPECT_EQ(found("small-q8_0.gguf"), 1);
  EXPECT_EQ(found("small-q8_0"), 1);
  EXPECT_EQ(found("Small 8B"), 1);
  EXPECT_EQ(found(to_hex(models_[1].id)), 2);
  EXPECT_EQ(found(to_hex(models_[1].id).substr(0, 8)), 2);
  EXPECT_EQ(found(to_cid(models_[1].id)), 2);
  EXPECT_EQ(found("small"), 0);
  EXPECT_EQ(found("gguf"), 0);
  EXPECT_EQ(found(""), 0);
}

TEST_F(model_names, of_files_go_before_those_in_metadata) {
  EXPECT_EQ(found("large"), 2);
  EXPECT_EQ(found("Large"), 2);
}

TEST_F(model_names, of_models_with_adapters_are_base_and_adapter) {
  models_.push_back(model_of(5, "large+tone", ""));
  EXPECT_EQ(found("large+tone"), 5);
  EXPECT_EQ(found("large.gguf+tone"), 5);
  EXPECT_EQ(found("large.gguf+tone.gguf"), 5);
  EXPECT_EQ(found("large"), 2);
  EXPECT_EQ(found("large+other"), 0);
}

TEST_F(model_names, that_several_have_are_refused) {
  models_.push_back(model_of(4, "x.gguf", "Small 8B"));
  EXPECT_NE(refused("Small 8B").find("several models"), std::string::npos);
  models_.push_back(model_of(1, "again.gguf", "Small 8B")); // the same content
  EXPECT_EQ(found("again"), 1);
  EXPECT_NE(refused("nothing").find("there is no model"), std::string::npos);
}

} // namespace
} // namespace ovir::gateway
