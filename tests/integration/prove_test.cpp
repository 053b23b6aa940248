// Proofs of units as programs: commit, prove, check; and what must not pass.
#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <thread>

namespace ovir::test {
namespace {

using proof_json = nlohmann::json;
using ::testing::HasSubstr;

class proof_files : public ::testing::Test {
protected:
  [[nodiscard]] std::string path(const std::string& name) const { return folder_.path() / name; }
  [[nodiscard]] static std::string model() { return source_file("assets/tales-q4_k_m.gguf"); }
  [[nodiscard]] static child_result expect_done(const child_result& child) {
    EXPECT_EQ(child.exit_code, 0) << child.out << child.err;
    return child;
  }
  [[nodiscard]] std::vector<std::string> commit() const {
    return {"model",       "commit",  "-m",          model(), "-o",
            path("roots"), "--trees", path("trees"), "--json"};
  }
  /// Starts to commit, and kills it behind some matrices.
  void commit_until_killed() const {
    std::vector<std::string> words = commit();
    words.insert(words.begin(), ovir_program());
    child_process child{words};
    constexpr std::uintmax_t two_records = 44 + 2 * 76;
    std::error_code missing;
    while (child.running() &&
           (!std::filesystem::exists(path("roots.partial")) ||
            std::filesystem::file_size(path("roots.partial"), missing) < two_records)) {
      std::this_thread::yield();
    }
    child.send_signal(SIGKILL);
    EXPECT_EQ(child.wait().signal, SIGKILL);
    EXPECT_FALSE(std::filesystem::exists(path("roots")));
  }
  void flip(const std::string& name, std::size_t at) const {
    std::string bytes = read_file(path(name));
    bytes[at] ^= 1;
    write_file(path(name), bytes);
  }

  temporary_folder folder_;
};

TEST_F(proof_files, convince_without_the_model_and_no_changed_one_does) {
  commit_until_killed();
  const proof_json committed = document_of(expect_done(run_ovir(commit())));
  EXPECT_GE(committed["resumed"], 2);
  EXPECT_LT(committed["resumed"], committed["matrices"]);
  EXPECT_FALSE(std::filesystem::exists(path("roots.partial")));
  const std::vector<std::string> compare{"model",    "commit",
                                         "-m",       model(),
                                         "--verify", path("roots"),
                                         "--tensor", "blk.1.ffn_up.weight",
                                         "--tensor", "blk.0.attn_k.weight"};
  EXPECT_THAT(expect_done(run_ovir(compare)).out, HasSubstr("equal: 2 tensors"));
  EXPECT_EQ(run_ovir({"model", "commit", "-m", model(), "--verify", path("roots"), "--tensor",
                      "blk.77.attn_q.weight"})
                .exit_code,
            2);
  (void)ovir_json(
      {"run", "-p", "Once upon a time", "-n", "40", "--stages", "2", "--receipt", path("r")});
  const proof_json proven = document_of(expect_done(
      run_ovir({"prove", path("r"), "-m", model(), "--roots", path("roots"), "--trees",
                path("trees"), "--units", "1-2@0", "--units", "3@1", "-o", path("p"), "--json"})));
  EXPECT_EQ(proven["units"], 3);
  const std::vector<std::string> asked{path("r"),     "--proof",      path("p"), "--roots",
                                       path("roots"), "--any-signer", "--json"};
  const proof_json report = document_of(expect_done(run_ovir_verify(asked)));
  EXPECT_EQ(report["ok"], true) << report;
  EXPECT_EQ(report["tier"], "proof");
  EXPECT_EQ(report["proven"][2], (proof_json{{"window", 1}, {"layer", 3}}));
  EXPECT_THAT(expect_done(run_ovir_verify({"--receipt", path("r"), "--proof", path("p"), "--roots",
                                           path("roots"), "--any-signer"}))
                  .out,
              HasSubstr("proven: layer 3 over windows 1 to 1"));

  // Of another receipt, with other roots, changed, and cut.
  (void)ovir_json(
      {"run", "-p", "Once upon a time", "-n", "40", "--stages", "2", "--receipt", path("s")});
  std::vector<std::string> other = asked;
  other[0] = path("s");
  EXPECT_EQ(run_ovir_verify(other).exit_code, 1);
  const std::string proof = read_file(path("p"));
  flip("p", proof.size() / 2);
  proof_json refused = document_of(run_ovir_verify(asked));
  EXPECT_EQ(refused["ok"], false);
  EXPECT_EQ(refused["convicts"], false);
  write_file(path("p"), proof.substr(0, proof.size() / 3));
  EXPECT_EQ(run_ovir_verify(asked).exit_code, 3);
  write_file(path("p"), proof);
  EXPECT_EQ(run_ovir_verify(asked).exit_code, 0);
  flip("roots", read_file(path("roots")).size() - 300);
  EXPECT_NE(run_ovir_verify(asked).exit_code, 0);
  EXPECT_NE(run_ovir({"model", "commit", "-m", model(), "--verify", path("roots")}).exit_code, 0);
  EXPECT_EQ(run_ovir_verify({path("r"), "--proof", path("p"), "--any-signer"}).exit_code, 2);
}

} // namespace
} // namespace ovir::test
