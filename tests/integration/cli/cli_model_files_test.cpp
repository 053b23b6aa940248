// Model files as users have them: in several parts, and to be made smaller.
#include "compute/gguf/gguf_writer.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr std::uint32_t alignment = 32;

/// Some tensors of a model as file `number` of `count`; the first has the metadata.
std::string part_of(const compute::gguf& model, std::span<const compute::gguf_tensor> tensors,
                    std::uint32_t number, std::uint32_t count) {
  compute::gguf_writer meta;
  if (number == 0) {
    for (const compute::gguf_entry& entry : model.entries()) {
      meta.copy(entry);
    }
    meta.u32("split.tensors.count", static_cast<std::uint32_t>(model.tensors().size()));
  }
  meta.u32("split.no", number);
  meta.u32("split.count", count);
  compute::gguf_writer front;
  front.number(std::uint32_t{3});
  front.number(std::uint64_t{tensors.size()});
  front.number(meta.entries());
  std::string bytes = "GGUF" + front.bytes() + meta.bytes();
  compute::gguf_writer infos;
  std::string data;
  for (const compute::gguf_tensor& t : tensors) {
    infos.text(t.name);
    infos.number(t.dims);
    for (std::uint32_t d = 0; d < t.dims; ++d) {
      infos.number(t.shape[d]);
    }
    infos.number(t.raw_type);
    infos.number(std::uint64_t{data.size()});
    data.append(reinterpret_cast<const char*>(t.data.data()), t.data.size());
    data.resize((data.size() + alignment - 1) / alignment * alignment);
  }
  bytes += infos.bytes();
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
  return bytes + data;
}

class split_files : public ::testing::Test {
protected:
  /// Of the model inside the program, as three files; the name of part `number`, from 1.
  void SetUp() override {
    const loaded_model model{whole_};
    const std::size_t third = model.file().tensors().size() / 3;
    for (std::uint32_t i = 0; i < 3; ++i) {
      const auto all = model.file().tensors();
      const auto some = i == 2 ? all.subspan(2 * third) : all.subspan(i * third, third);
      std::ofstream{part(i + 1), std::ios::binary} << part_of(model.file(), some, i, 3);
    }
  }
  [[nodiscard]] std::string part(std::uint32_t number) const {
    return (folder_.path() / fmt::format("tales-{:05}-of-00003.gguf", number)).string();
  }

  std::filesystem::path whole_ = source_file("assets/tales-q4_k_m.gguf");
  temporary_folder folder_;
};

TEST_F(split_files, answer_as_the_whole_model_does) {
  const auto run = [](const std::string& model, const char* stages) {
    return ovir_json({"run", "-m", model, "-p", "Once upon a time", "-n", "24", "--temp", "0",
                      "--no-cache", "--stages", stages});
  };
  const json wanted = run(whole_.string(), "1");
  for (const char* const stages : {"1", "3"}) {
    const json told = run(part(1), stages);
    EXPECT_EQ(told["transcript"], wanted["transcript"]);
    EXPECT_EQ(told["text"], wanted["text"]);
  }
  const json about = ovir_json({"model", "inspect", part(1)});
  EXPECT_EQ(about["files"], 3);
  EXPECT_EQ(about["tensors"].size(), loaded_model{whole_}.file().tensors().size());
  // By content it is the same model.
  EXPECT_EQ(run_ovir({"model", "verify", part(1)}).out, run_ovir({"model", "verify", whole_}).out);
}

TEST_F(split_files, are_refused_by_name_where_one_is_missing_or_is_not_the_first) {
  const auto refusal = [](const std::string& model) {
    const child_result child = run_ovir({"run", "-m", model, "-p", "x"});
    EXPECT_EQ(child.exit_code, 3);
    EXPECT_TRUE(is_one_line(child.err)) << child.err;
    return child.err;
  };
  EXPECT_THAT(refusal(part(2)), HasSubstr("name the first"));
  std::filesystem::copy_file(part(1), folder_.path() / "other.gguf");
  EXPECT_THAT(refusal((folder_.path() / "other.gguf").string()), HasSubstr("must be named"));
  std::filesystem::rename(part(3), folder_.path() / "elsewhere");
  EXPECT_THAT(refusal(part(1)), HasSubstr("tales-00003-of-00003.gguf"));
  std::filesystem::copy_file(part(2), part(3));
  EXPECT_THAT(refusal(part(1)), HasSubstr("file 3 of 3 says that it is file 2 of 3"));
}

double mean_nll(const std::string& model, const std::filesystem::path& text) {
  const json told = ovir_json({"perplexity", "-m", model, "-f", text.string()});
  return told["mean_nll"].get<double>();
}

TEST(cli_quantize, remakes_the_model_inside_as_well_as_llama_cpp_made_it) {
  OVIR_SHARED_FILE(floats, "models/tales/tales-f16.gguf");
  OVIR_SHARED_FILE(theirs, "models/tales/tales-q4_k_m.gguf");
  OVIR_SHARED_FILE(tales, "vectors/tales.txt");
  OVIR_SHARED_FILE(story, "vectors/story.txt");
  const temporary_folder folder;
  const std::string ours = (folder.path() / "q4.gguf").string();
  const std::string again = (folder.path() / "again.gguf").string();
  const json told = ovir_json({"model", "quantize", floats.string(), ours, "--threads", "1"});
  EXPECT_EQ(told["bytes"].get<std::uint64_t>(), std::filesystem::file_size(ours));
  EXPECT_EQ(run_ovir({"model", "quantize", floats.string(), again, "--threads", "3"}).exit_code, 0);
  EXPECT_EQ(read_file(ours), read_file(again));
  for (const auto& text : {tales, story}) {
    const double truth = mean_nll(floats.string(), text);
    const double wanted = mean_nll(theirs.string(), text);
    const double made = mean_nll(ours, text);
    std::printf("%s: floats %.5f, llama.cpp's %.5f, ours %.5f\n", text.c_str(), truth, wanted,
                made);
    EXPECT_LE(made, wanted * 1.005) << text;
    EXPECT_GE(made, wanted * 0.995) << text;
  }
}

TEST(cli_quantize, refuses_what_is_quantised_and_types_nobody_knows) {
  const temporary_folder folder;
  const std::string out = (folder.path() / "out.gguf").string();
  const std::string model = source_file("assets/tales-q4_k_m.gguf").string();
  const child_result twice = run_ovir({"model", "quantize", model, out});
  EXPECT_EQ(twice.exit_code, 3);
  EXPECT_THAT(twice.err, HasSubstr("already"));
  const child_result unknown = run_ovir({"model", "quantize", model, out, "--type", "q9"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("q8_0, q4_0, q4_k_m, q6_k, f32"));
  EXPECT_FALSE(std::filesystem::exists(out));
}

} // namespace
} // namespace ovir::test
