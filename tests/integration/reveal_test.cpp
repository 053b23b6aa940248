// Tier T1 and the profile fast as programs: prepare, reveal, check; record, compare.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;
using ::testing::HasSubstr;

class audit_files : public ::testing::Test {
protected:
  [[nodiscard]] std::string path(const std::string& name) const { return folder_.path() / name; }
  [[nodiscard]] static std::string model() { return source_file("assets/tales-q4_k_m.gguf"); }
  [[nodiscard]] static child_result expect_done(const child_result& child) {
    EXPECT_EQ(child.exit_code, 0) << child.out << child.err;
    return child;
  }

  temporary_folder folder_;
};

TEST_F(audit_files, pass_without_the_model_and_convict_nobody_when_they_do_not) {
  (void)ovir_json(
      {"run", "-p", "Once upon a time", "-n", "40", "--stages", "2", "--receipt", path("r")});
  (void)expect_done(
      run_ovir({"receipt", "capsule", path("r"), path("c"), "--model", model(), "--units", "2@1"}));
  (void)expect_done(run_ovir_verify({"prepare", "--model", model(), "--output", path("p")}));
  EXPECT_EQ(std::filesystem::status(path("p")).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(run_ovir_verify({"prepare", "--model", model(), "--output", path("p")}).exit_code, 3);
  (void)expect_done(run_ovir({"receipt", "reveal", path("c"), path("v"), "--model", model(),
                              "--window", "1", "--layer", "2"}));
  const std::vector<std::string> asked{path("c"), "--reveal",     path("v"), "--prepared",
                                       path("p"), "--any-signer", "--json"};
  plain_json report = document_of(run_ovir_verify(asked));
  EXPECT_EQ(report["ok"], true) << report;
  EXPECT_EQ(report["tier"], "T1");

  // All windows of the layer in one call.
  (void)expect_done(run_ovir({"receipt", "reveal", path("c"), path("u"), "--model", model(),
                              "--window", "0", "--layer", "2"}));
  const std::vector<std::string> both{"--reveal", path("u"),    "--reveal", path("v"),
                                      path("c"),  "--prepared", path("p"),  "--any-signer"};
  EXPECT_THAT(expect_done(run_ovir_verify(both)).out,
              HasSubstr("equal: 2 units' integer products"));

  std::string changed = read_file(path("v"));
  changed[changed.size() / 2] ^= 1;
  write_file(path("v"), changed);
  report = document_of(run_ovir_verify(asked));
  EXPECT_EQ(report["ok"], false);
  EXPECT_EQ(report["convicts"], false);
  EXPECT_EQ(report["failures"][0]["unit"], (plain_json{{"window", 1}, {"layer", 2}}));
  EXPECT_TRUE(report["failures"][0]["signer"].is_string());

  std::filesystem::permissions(path("p"), std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  EXPECT_EQ(run_ovir_verify(asked).exit_code, 3);
  EXPECT_EQ(run_ovir_verify({path("c"), "--reveal", path("v"), "--any-signer"}).exit_code, 2);
  const child_result floats = run_ovir_verify({"prepare", "--model", path("r"), "--output", "x"});
  EXPECT_EQ(floats.exit_code, 3);
}

TEST_F(audit_files, of_the_profile_fast_are_compared_by_distance) {
  const child_result ran = run_ovir({"run", "-p", "Once upon a time", "-n", "40", "--profile",
                                     "fast", "--receipt", path("f"), "--json"});
  if (ran.exit_code == 3 && ran.err.find("OpenBLAS") != std::string::npos) {
    GTEST_SKIP() << ran.err;
  }
  const plain_json run = document_of(expect_done(ran));
  EXPECT_EQ(run["profile"], "fast");
  EXPECT_EQ(run["reproducible"], false);
  EXPECT_TRUE(run["transcript"].is_null());
  child_options other;
  other.environment = {{"OPENBLAS_NUM_THREADS", "1"}, {"OPENBLAS_CORETYPE", "Haswell"}};
  const plain_json report = document_of(
      run_ovir_verify({path("f"), "--model", model(), "--any-signer", "--json"}, other));
  EXPECT_EQ(report["ok"], true) << report;
  EXPECT_EQ(report["tier"], "fast");
  EXPECT_LT(report["distance"].get<double>(), report["tolerance"].get<double>());

  // Another quantisation of the same weights, under the name of the first.
  const plain_json apart = document_of(run_ovir_verify(
      {path("f"), "--model", source_file("assets/tales-q8_0.gguf"), "--calibrate", "fast"}));
  ASSERT_FALSE(apart["units"].empty()) << apart;
  for (const plain_json& unit : apart["units"]) {
    EXPECT_GT(unit["distance"].get<double>(), 10 * report["tolerance"].get<double>());
  }
  const child_result renamed = run_ovir_verify(
      {path("f"), "--model", source_file("assets/tales-q8_0.gguf"), "--any-signer"});
  EXPECT_EQ(renamed.exit_code, 1);
  EXPECT_THAT(renamed.out, HasSubstr("is about model"));

  std::string changed = read_file(path("f"));
  changed[changed.size() / 2] ^= 64;
  write_file(path("f"), changed);
  const child_result forged = run_ovir_verify({path("f"), "--any-signer"});
  EXPECT_EQ(forged.exit_code, 1);
  EXPECT_THAT(forged.out, HasSubstr("not what its signer signed"));
  EXPECT_EQ(run_ovir({"run", "-p", "a", "--profile", "fast", "--stages", "2"}).exit_code, 2);
}

} // namespace
} // namespace ovir::test
