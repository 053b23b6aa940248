// `ovir run --receipt`, `ovir receipt` and the auditor on receipts: what is honest passes without
// and with the model, and what was changed is found and its signer named.
#include "messages/compact_receipt.hpp"
#include "tests/support/cli.hpp"
#include "tests/support/receipt_maker.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class receipts : public ::testing::Test {
protected:
  [[nodiscard]] std::string path(const std::string& name) const { return folder_.path() / name; }
  json verdict(const std::vector<std::string>& arguments, int exit_code) {
    std::vector<std::string> all = arguments;
    all.emplace_back("--json");
    const child_result child = run_ovir_verify(all);
    EXPECT_EQ(child.exit_code, exit_code) << child.out << child.err;
    return document_of(child);
  }

  temporary_folder folder_;
  receipt_maker cast_;
};

TEST_F(receipts, are_checked_without_the_model_and_name_their_signers) {
  write_file(path("r"), text_of(encode_receipt(cast_.honest())));
  const json right = verdict({path("r"), "--any-signer"}, 0);
  EXPECT_EQ(right["ok"], true);
  EXPECT_EQ(right["tier"], "T0");
  EXPECT_EQ(right["failures"], json::array());

  receipt r = cast_.honest();
  r.stages[1].statements[2].compute_us += 1;
  write_file(path("changed"), text_of(encode_receipt(r)));
  const json wrong = verdict({path("changed"), "--any-signer"}, 1);
  EXPECT_EQ(wrong["ok"], false);
  EXPECT_EQ(wrong["failures"][0]["signer"], to_hex(cast_.id(1)));
  EXPECT_EQ(wrong["failures"][0]["unit"], (json{{"window", 2}, {"layer", 3}}));
}

TEST_F(receipts, ask_whose_signatures_count) {
  write_file(path("r"), text_of(encode_receipt(cast_.honest())));
  const json unknown = verdict({path("r")}, 1);
  EXPECT_THAT(unknown["failures"][0]["what"].get<std::string>(), HasSubstr("signers unknown"));
  std::string list = "# nodes\n";
  for (const std::size_t who : {std::size_t{0}, std::size_t{2}, receipt_maker::lead}) {
    list += to_hex(cast_.id(who)) + "  node\n";
  }
  write_file(path("signers"), list);
  const json one_missing = verdict({path("r"), "--signers", path("signers")}, 1);
  EXPECT_EQ(one_missing["failures"][0]["signer"], to_hex(cast_.id(1)));
  write_file(path("signers"), list + to_hex(cast_.id(1)) + "#late\n");
  EXPECT_EQ(verdict({path("r"), "--signers", path("signers")}, 0)["ok"], true);
  write_file(path("signers"), "nobody\n");
  EXPECT_EQ(run_ovir_verify({path("r"), "--signers", path("signers")}).exit_code, 3);
  EXPECT_EQ(run_ovir_verify({path("r"), "--signers", "x", "--any-signer"}).exit_code, 2);
  const child_result later = run_ovir_verify({path("r"), "--ledger-head", "x"});
  EXPECT_EQ(later.exit_code, 2);
  EXPECT_THAT(later.err, HasSubstr("not in this version"));
}

TEST_F(receipts, are_made_compact_and_opened) {
  write_file(path("r"), text_of(encode_receipt(cast_.honest())));
  ASSERT_EQ(run_ovir({"receipt", "compact", path("r"), path("c")}).exit_code, 0);
  EXPECT_LT(read_file(path("c")).size(), 2'048U);
  EXPECT_EQ(verdict({path("c"), "--any-signer"}, 0)["ok"], true);
  ASSERT_EQ(run_ovir({"receipt", "open", path("r"), path("o"), "--window", "1", "--layer", "4"})
                .exit_code,
            0);
  EXPECT_EQ(verdict({path("c"), "--any-signer", "--open", path("o")}, 0)["ok"], true);
  write_file(path("other"), text_of(encode_compact(compact(cast_.other_question()).value())));
  EXPECT_EQ(verdict({path("other"), "--any-signer", "--open", path("o")}, 1)["ok"], false);
  EXPECT_EQ(run_ovir({"receipt", "open", path("r"), path("o"), "--window", "9", "--layer", "4"})
                .exit_code,
            3);
}

TEST_F(receipts, of_another_version_or_of_nothing_are_refused) {
  std::vector<std::byte> bytes = encode_receipt(cast_.small());
  bytes[24] = std::byte{2};
  write_file(path("r"), text_of(bytes));
  const child_result child = run_ovir_verify({path("r"), "--any-signer"});
  EXPECT_EQ(child.exit_code, 3);
  EXPECT_THAT(child.err, HasSubstr("version 2"));
}

} // namespace
} // namespace ovir::test
