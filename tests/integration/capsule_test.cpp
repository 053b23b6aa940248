// `ovir run --capsule`, `ovir receipt capsule` and `ovir-verify --replay`: what is honest is
// computed again in a sandboxed process and equal, what is not is named or refused.
#include "apps/console.hpp"
#include "messages/evidence/capsule.hpp"
#include "messages/sanitized.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using apps::json;
using ::testing::HasSubstr;

class capsule_files : public ::testing::Test {
protected:
  void SetUp() override {
    const json run =
        ovir_json({"run", "-p", "Once upon a time", "-n", "40", "--stages", "3", "--temp", "0.8",
                   "--seed", "11", "--receipt", path("r"), "--capsule", path("c")});
    ASSERT_EQ(run["receipt"], path("r"));
  }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_.path() / name; }
  [[nodiscard]] static std::string model() { return source_file("assets/tales-q4_k_m.gguf"); }
  child_result replay(const std::string& file, std::vector<std::string> more = {}) {
    std::vector<std::string> all{"--replay", path(file), "--model", model(), "--any-signer"};
    all.insert(all.end(), more.begin(), more.end());
    return run_ovir_verify(all);
  }
  void change(const std::string& to, const std::function<void(capsule&)>& how) {
    const std::string text = read_file(path("c"));
    auto c = decode_capsule(std::as_bytes(std::span{text}));
    ASSERT_TRUE(c) << c.error().message;
    how(*c);
    write_file(path(to), encode_capsule(*c));
  }

  temporary_folder folder_;
};

TEST_F(capsule_files, are_equal_when_computed_again_in_the_sandbox) {
  const json report = document_of(replay("c", {"--json"}));
  EXPECT_EQ(report["ok"], true);
  EXPECT_EQ(report["tier"], "T2");
  EXPECT_EQ(report["sandboxed"], true);
  EXPECT_EQ(report["units"], 4 * 2);
  const child_result plain = replay("c");
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_THAT(plain.out, HasSubstr("were computed again in a sandboxed process"));
  const child_result alone = run_ovir_verify({path("c"), "--any-signer"});
  EXPECT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_THAT(alone.out, HasSubstr("have the inputs that the receipt states"));
}

TEST_F(capsule_files, hold_chosen_units) {
  const child_result made = run_ovir({"receipt", "capsule", path("r"), path("u"), "--model",
                                      model(), "--units", "2@0", "--units", "1-3"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const json report = document_of(replay("u", {"--json"}));
  EXPECT_EQ(report["ok"], true) << report;
  EXPECT_EQ(report["units"], 1 + 3 * 2);
  for (const char* const wrong : {"4", "2@2", "3-2", "x", "", "1-", "@1"}) {
    const child_result refused = run_ovir(
        {"receipt", "capsule", path("r"), path("w"), "--model", model(), "--units", wrong});
    EXPECT_EQ(refused.exit_code, 2) << wrong;
    EXPECT_THAT(refused.err, HasSubstr("names no units")) << wrong;
  }
}

TEST_F(capsule_files, that_were_changed_are_found_wrong) {
  change("rows", [](capsule& c) { c.pieces[1].rows[700] += 1; });
  json report = document_of(replay("rows", {"--json"}));
  EXPECT_EQ(report["ok"], false);
  EXPECT_TRUE(report["failures"][0]["signer"].is_null());
  EXPECT_EQ(report["failures"][0]["unit"]["window"], 0);
  change("unit", [](capsule& c) { c.what.stages[1].statements[1].units[0].bytes[3] ^= 1U; });
  report = document_of(replay("unit", {"--json"}));
  EXPECT_EQ(report["ok"], false);
  EXPECT_EQ(report["failures"][0]["unit"]["window"], 1);
  const child_result other = run_ovir_verify(
      {"--replay", path("c"), "--model", source_file("assets/tales-q8_0.gguf"), "--any-signer"});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.out, HasSubstr("is about model"));
}

TEST_F(capsule_files, ask_whose_signatures_count) {
  const child_result unknown = run_ovir_verify({"--replay", path("c"), "--model", model()});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.out, HasSubstr("signers unknown"));
}

TEST_F(capsule_files, of_another_version_or_of_nothing_are_refused) {
  std::string bytes = read_file(path("c"));
  bytes[24] = 2;
  write_file(path("v"), bytes);
  child_result child = replay("v");
  EXPECT_EQ(child.exit_code, 3);
  EXPECT_THAT(child.err, HasSubstr("version 2"));
  write_file(path("v"), std::string{"nothing"});
  EXPECT_EQ(replay("v").exit_code, 3);
  EXPECT_EQ(replay("missing").exit_code, 3);
  EXPECT_EQ(run_ovir_verify({"--replay", path("c"), "--any-signer"}).exit_code, 2);
  EXPECT_EQ(replay("c", {path("r")}).exit_code, 2);
}

TEST_F(capsule_files, that_need_more_than_the_sandbox_gives_are_refused) {
  if (address_sanitized) {
    GTEST_SKIP() << "the address sanitizer reserves all memory there is";
  }
  // A capsule that is honest, but large: its rows alone, read twice, exceed what is allowed.
  change("big", [](capsule& c) {
    const capsule_piece piece = c.pieces[1];
    while (c.pieces.size() < 400) {
      c.pieces.push_back(piece);
    }
  });
  const child_result child = replay("big", {"--memory-limit", "16", "--threads", "1"});
  EXPECT_EQ(child.exit_code, 3) << child.out;
  EXPECT_THAT(child.err, HasSubstr("--memory-limit"));
}

} // namespace
} // namespace ovir::test
