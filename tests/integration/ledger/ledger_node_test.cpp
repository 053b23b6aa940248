// A node that keeps the ledger: statements from its index in the shell, and what becomes of it when
// the index is damaged while the node runs, and before it starts.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

namespace ovir::test {
namespace {

using apps::json;
namespace fs = std::filesystem;

constexpr std::uint64_t credit = paid_cluster::credit;

class ledger_nodes : public paid_requests {
protected:
  [[nodiscard]] json ask_books(const std::string& line) {
    return paid_->nodes().ask(paid_->nodes().index_of("books"), line);
  }
  [[nodiscard]] fs::path index() const { return paid_->ledger_folder() / "index.mdb"; }

  /// An account's movements as the shell shows them, page by page.
  [[nodiscard]] json shown(const std::string& name) {
    json lines = json::array();
    for (std::string from = "0"; !from.empty();) {
      const json page = ask_books("ledger statement " + paid_->key_of(name) + " " + from);
      lines.insert(lines.end(), page.at("lines").begin(), page.at("lines").end());
      from = page.at("next").is_null() ? "" : page.at("next").get<std::string>();
    }
    return lines;
  }
  /// The same from the log alone, by another program.
  [[nodiscard]] json truth(const std::string& name) {
    json lines = ovir_json({"ledger", "statement", paid_->key_of(name), "--ledger",
                            paid_->ledger_folder().string()})
                     .at("lines");
    for (json& line : lines) {
      line.erase("why"); // a sentence for people; the rest has all of it
      if (line.at("request").is_null()) {
        line["window"] = nullptr;
      }
    }
    return lines;
  }
  [[nodiscard]] bool shows_the_truth() {
    try {
      return shown("front") == truth("front") && shown("two") == truth("two");
    } catch (const std::runtime_error&) {
      return false; // it says that the index is being made anew
    }
  }
  /// Bits of many of its pages, the first two among them.
  void damage_index() {
    std::string bytes = read_file(index());
    std::mt19937_64 random{7};
    for (std::size_t page = 0; page < bytes.size() / 4'096; ++page) {
      bytes[page * 4'096 + random() % 4'096] ^= static_cast<char>(1U << random() % 8);
    }
    std::fstream file{index(), std::ios::binary | std::ios::in | std::ios::out};
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    ASSERT_TRUE(file.flush());
  }
};

TEST_F(ledger_nodes, answer_statements_and_outlive_a_damaged_index) {
  ASSERT_NO_FATAL_FAILURE(start({}));
  test_cluster& nodes = paid_->nodes();
  const std::size_t books = nodes.index_of("books");
  paid_->mint("front", 1'000 * credit);
  ASSERT_EQ(paid_->run(1, 60), "") << state();
  ASSERT_TRUE(settled(900 * credit)) << state();
  ASSERT_TRUE(earns("two", 49'500'000U)) << state();
  EXPECT_TRUE(nodes.wait_until([&] { return shows_the_truth(); }))
      << shown("front").dump(1) << truth("front").dump(1);
  const json newest = ask_books("ledger statement two");
  EXPECT_EQ(newest.at("account"), paid_->key_of("two"));
  EXPECT_EQ(newest.at("lines"), shown("two"));
  EXPECT_EQ(newest.at("lines").back().at("payer"), paid_->key_of("front"));
  EXPECT_EQ(newest.at("lines").back().at("reason"),
            "earned, pending until the audit window is over");
  EXPECT_EQ(newest.at("more"), false);
  EXPECT_THROW((void)ask_books("ledger statement two x"), std::runtime_error);

  // It lies in pieces while the node runs: requests are paid, statements come back by themselves.
  ASSERT_TRUE(nodes.wait_until([&] { return fs::file_size(index()) > 0; }));
  const pid_t process = nodes.id(books);
  ASSERT_NO_FATAL_FAILURE(damage_index());
  ASSERT_EQ(paid_->run(2, 60), "") << state();
  ASSERT_TRUE(settled(800 * credit)) << state();
  ASSERT_TRUE(earns("two", 99'000'000U)) << state();
  EXPECT_TRUE(nodes.wait_until([&] { return shows_the_truth(); }, std::chrono::seconds{60}))
      << state();
  EXPECT_EQ(nodes.id(books), process) << "it never ended";
  ASSERT_EQ(paid_->run(3, 60), "") << state();
  ASSERT_TRUE(settled(700 * credit)) << state();

  // And before it starts.
  nodes.kill(books);
  ASSERT_NO_FATAL_FAILURE(damage_index());
  nodes.start(books);
  nodes.wait_until_whole();
  ASSERT_NO_FATAL_FAILURE(wait_for_ledger());
  EXPECT_EQ(of(paid_->account("front"), "free"), 700 * credit);
  EXPECT_TRUE(nodes.wait_until([&] { return shows_the_truth(); })) << state();
  EXPECT_EQ(paid_->verify().at("ok"), true);
  const child_result ended = nodes.terminate(books);
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
}

// Of a running keeper, asked at another node: the shell goes where the ledger is kept.
TEST_F(ledger_nodes, prove_entries_and_growth_and_are_checked_from_the_shell) {
  ASSERT_NO_FATAL_FAILURE(start({}));
  paid_->mint("front", 100 * credit);
  test_cluster& nodes = paid_->nodes();
  temporary_folder folder;
  const auto file = [&](const char* name) { return (folder.path() / name).string(); };
  const auto shell = [&](const std::string& line) {
    return run_ovir({"shell", "--connect", nodes.admin_address(nodes.index_of("front")), "--key",
                     nodes.admin_key(), "-e", line, "--json"});
  };
  const auto said = [&](const std::string& line) {
    const child_result done = shell(line);
    EXPECT_EQ(done.exit_code, 0) << line << done.err;
    return json::parse(done.out);
  };
  const auto verify = [&](const std::string& proof) {
    return run_ovir_verify({proof, "--signers", file("signers")});
  };
  write_file(file("signers"), paid_->key_of("books") + "\n");
  (void)said("ledger head --output " + file("head"));
  EXPECT_EQ(paid_->run(1, 40), "") << state();
  const json entry = said("ledger prove 1 --output " + file("entry"));
  EXPECT_EQ(entry.at("entry"), 1);
  EXPECT_GT(entry.at("size").get<std::uint64_t>(), 2U);
  const json grown = said("ledger prove since " + file("head") + " --output " + file("grown"));
  EXPECT_LT(grown.at("since").get<std::uint64_t>(), grown.at("size").get<std::uint64_t>());
  for (const char* const proof : {"head", "entry", "grown"}) {
    const child_result checked = verify(file(proof));
    EXPECT_EQ(checked.exit_code, 0) << proof << checked.out << checked.err;
    // One who changes a byte of it is found out.
    std::string bytes = read_file(file(proof));
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_file(file("forged"), bytes);
    EXPECT_NE(verify(file("forged")).exit_code, 0) << proof;
  }
  EXPECT_NE(shell("ledger prove 100000").exit_code, 0);
  EXPECT_NE(shell("ledger prove x").exit_code, 0);
  EXPECT_NE(shell("ledger prove since " + file("entry")).exit_code, 0) << "that is no head";
  const json checked = said("ledger verify");
  EXPECT_EQ(checked.at("ok"), true) << checked;
  EXPECT_GE(checked.at("size").get<std::uint64_t>(), grown.at("size").get<std::uint64_t>());
  // A log that was changed under the running keeper.
  const auto log = paid_->ledger_folder() / "log";
  std::string bytes = read_file(log);
  const std::size_t used = bytes.find_last_not_of('\0'); // there is room behind it
  bytes[used / 2] = static_cast<char>(bytes[used / 2] ^ 1);
  std::fstream{log, std::ios::in | std::ios::out | std::ios::binary}.write(
      bytes.data(), static_cast<std::streamsize>(used));
  const json wrong = said("ledger verify");
  EXPECT_EQ(wrong.at("ok"), false) << wrong;
  EXPECT_NE(wrong.at("fault"), nullptr);
}

} // namespace
} // namespace ovir::test
