#include "actors/weights/fetched_model.hpp"
#include "compute/gguf/gguf.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

namespace ovir::actors {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span{text.data(), text.size()});
}

class fetched : public ::testing::Test {
protected:
  fetched_model open() { return fetched_model::open(*env_, folder(), name_).value(); }
  std::string folder() const { return folder_.path().string(); }
  std::filesystem::path file(const std::string& part) const {
    return folder_.path() / "models" / to_hex(name_) / part;
  }
  /// The bytes of a piece as its model has them.
  std::span<const std::byte> piece(const fetched_model& model, std::uint32_t index) const {
    const compute::model_piece p = model.pieces()->at(index);
    const auto data = from_.find_tensor(manifest_.tensors[p.tensor].name)->data;
    return data.subspan(p.offset, p.bytes);
  }
  fetched_model with_tokenizer() {
    fetched_model model = open();
    EXPECT_TRUE(model.take_manifest(bytes_of(text_)));
    EXPECT_TRUE(model.take_tokenizer(bytes_of(words_)));
    return model;
  }

  test::temporary_folder folder_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  std::vector<std::byte> original_ = test::tiny_model(4, compute::synth_quantization::q8_0);
  compute::gguf from_ = compute::gguf::parse(original_).value();
  compute::model_manifest manifest_ = compute::manifest_of(from_).value();
  std::string text_ = compute::to_bytes(manifest_);
  std::string words_ = compute::tokenizer_bytes_of(from_);
  digest name_ = compute::name_of(manifest_);
};

TEST_F(fetched, goes_on_with_what_was_written_and_is_the_model_when_all_is_there) {
  std::vector<std::uint32_t> wanted;
  {
    fetched_model model = open();
    EXPECT_EQ(model.pieces(), nullptr);
    ASSERT_TRUE(model.take_manifest(bytes_of(text_)));
    EXPECT_FALSE(model.has_file());
    ASSERT_TRUE(model.take_tokenizer(bytes_of(words_)));
    wanted = model.pieces()->of_segment({0, 2}).value();
    EXPECT_EQ(model.missing(wanted)->size(), wanted.size() - 1); // all but the tokenizer
    for (std::size_t i = 1; i < wanted.size(); i += 2) {
      ASSERT_TRUE(model.write(wanted[i], piece(model, wanted[i])));
    }
  }
  fetched_model again = open();
  ASSERT_TRUE(again.has_file());
  const std::vector<std::uint32_t> left = again.missing(wanted).value();
  for (const std::uint32_t index : left) {
    EXPECT_EQ((std::find(wanted.begin(), wanted.end(), index) - wanted.begin()) % 2, 0);
    ASSERT_TRUE(again.write(index, piece(again, index)));
  }
  ASSERT_TRUE(again.sync());
  EXPECT_TRUE(again.missing(wanted)->empty());
  const auto mapped = env_->map(again.weights_path()).value();
  const auto whole = compute::gguf::parse(mapped->bytes()).value();
  EXPECT_EQ(compute::name_of(compute::manifest_of(whole).value()), name_);
}

TEST_F(fetched, a_damaged_piece_is_missing_again) {
  fetched_model model = with_tokenizer();
  const auto wanted = model.pieces()->of_segment({1, 2}).value();
  const std::vector<std::uint32_t> absent = model.missing(wanted).value();
  for (const std::uint32_t index : absent) {
    ASSERT_TRUE(model.write(index, piece(model, index)));
  }
  ASSERT_TRUE(model.missing(wanted)->empty());
  std::vector<std::byte> bytes = test::bytes_of_file(model.weights_path());
  const auto parsed = compute::gguf::parse(bytes).value();
  const auto data = parsed.find_tensor("blk.1.ffn_up.weight")->data;
  const auto at = static_cast<std::size_t>(data.data() - bytes.data()) + 77;
  bytes[at] ^= std::byte{4};
  test::write_file(model.weights_path(), bytes);
  const auto found = open().missing(wanted).value();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(manifest_.tensors[model.pieces()->at(found[0]).tensor].name, "blk.1.ffn_up.weight");
}

TEST_F(fetched, another_manifest_or_tokenizer_is_refused) {
  fetched_model model = open();
  std::string wrong = text_;
  wrong.back() = static_cast<char>(wrong.back() ^ 1);
  EXPECT_EQ(model.take_manifest(bytes_of(wrong)).error().code, errc::digest_mismatch);
  EXPECT_FALSE(std::filesystem::exists(file("manifest")));
  ASSERT_TRUE(model.take_manifest(bytes_of(text_)));
  wrong = words_;
  wrong.back() = static_cast<char>(wrong.back() ^ 1);
  EXPECT_EQ(model.take_tokenizer(bytes_of(wrong)).error().code, errc::digest_mismatch);
  EXPECT_FALSE(std::filesystem::exists(file("tokenizer")));
}

TEST_F(fetched, damaged_files_are_as_good_as_none) {
  for (const char* const part : {"tokenizer", "manifest"}) {
    (void)with_tokenizer();
    std::string bytes = test::read_file(file(part));
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    test::write_file(file(part), bytes);
    fetched_model model = open();
    EXPECT_FALSE(model.has_file());
    EXPECT_EQ(model.pieces() != nullptr, std::string{part} == "tokenizer");
  }
  // The head of the weights is written again where it is wrong.
  fetched_model model = with_tokenizer();
  std::string bytes = test::read_file(model.weights_path());
  bytes[30] = static_cast<char>(bytes[30] ^ 1);
  test::write_file(model.weights_path(), bytes.substr(0, bytes.size() / 2));
  ASSERT_TRUE(open().has_file());
  const auto mapped = env_->map(model.weights_path()).value();
  EXPECT_TRUE(compute::gguf::parse(mapped->bytes()));
}

TEST_F(fetched, a_manifest_that_makes_up_no_model_is_refused_before_its_weights) {
  // A forger who knows the format and computes every digest: a block lacks a tensor.
  std::erase_if(manifest_.tensors, [](const auto& t) { return t.name == "blk.1.ffn_up.weight"; });
  text_ = compute::to_bytes(manifest_);
  name_ = compute::name_of(manifest_);
  fetched_model model = open();
  ASSERT_TRUE(model.take_manifest(bytes_of(text_)));
  EXPECT_EQ(model.take_tokenizer(bytes_of(words_)).error().code, errc::malformed);
  EXPECT_FALSE(model.has_file());
}

TEST_F(fetched, sizes_that_contradict_the_shape_are_refused_before_its_weights) {
  // Likewise: a tensor of more bytes than its shape has.
  auto& tensor = manifest_.tensors.front();
  tensor.bytes += compute::manifest_chunk_bytes;
  tensor.chunks.push_back({});
  text_ = compute::to_bytes(manifest_);
  name_ = compute::name_of(manifest_);
  fetched_model model = open();
  ASSERT_TRUE(model.take_manifest(bytes_of(text_)));
  EXPECT_EQ(model.take_tokenizer(bytes_of(words_)).error().code, errc::malformed);
  EXPECT_FALSE(model.has_file());
}

} // namespace
} // namespace ovir::actors
