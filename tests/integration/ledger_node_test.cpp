// A node that keeps the ledger: statements from its index in the shell, and what becomes of it when
// the index is damaged while the node runs, and before it starts.
#include "tests/support/paid_requests.hpp"

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

} // namespace
} // namespace ovir::test
