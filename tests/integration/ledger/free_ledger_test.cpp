// A ledger that charges nothing, on a cluster of processes: who computed what is entered behind the
// work, and requests go on without its keeper.
#include "ledger/keeper/verify.hpp"
#include "storage/env/durable_file.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <gtest/gtest.h>

#include <map>

namespace ovir::test {
namespace {

/// What a log says of work.
struct entered {
  std::map<node_id, std::uint64_t> units;
  std::uint64_t tokens{0};
  std::uint64_t settled{0};
  std::uint64_t movements{0};
};

class free_ledger : public paid_requests {
protected:
  /// The keeper may be writing: a batch that is half there is there in a moment.
  [[nodiscard]] entered read_log() {
    std::optional<entered> found;
    std::string why;
    EXPECT_TRUE(paid_->nodes().wait_until([&] { return (found = read_once(why)).has_value(); }))
        << why;
    return found.value_or(entered{});
  }
  [[nodiscard]] std::optional<entered> read_once(std::string& why) {
    entered found;
    const auto file = storage::open_durable_file_to_read((paid_->ledger_folder() / "log").string());
    EXPECT_TRUE(file) << file.error().message;
    ledger::verify_options how;
    std::map<digest, std::uint64_t> tokens;
    how.visit = [&](std::uint64_t, const ledger::entry& e,
                    const std::vector<ledger::posting>& moved) {
      found.movements += moved.size();
      if (const auto* const a = std::get_if<ledger::accrue>(&e.what)) {
        tokens[a->request] = a->frontier;
        for (const ledger::window_share& s : a->computed) {
          found.units[s.node] += s.units;
        }
      }
      found.settled += std::holds_alternative<ledger::settle>(e.what) ? 1 : 0;
    };
    const auto seen = ledger::verify_log(**file, how);
    if (!seen || seen->fault) {
      why = seen ? seen->fault->what : seen.error().message;
      return std::nullopt;
    }
    for (const auto& [request, count] : tokens) {
      found.tokens += count;
    }
    return found;
  }
  [[nodiscard]] bool has_settled(std::uint64_t requests) {
    return paid_->nodes().wait_until([&] { return read_log().settled == requests; });
  }
};

TEST_F(free_ledger, enters_what_was_computed_and_holds_nothing_up) {
  ASSERT_NO_FATAL_FAILURE(start({.mode = "free", .keeper_computes = false}));
  apps::json answer;
  ASSERT_EQ(paid_->run(1, 60, &answer), "") << paid_->nodes().last_words();
  EXPECT_EQ(answer.at("tokens").size(), 60U) << "of who has no credit";
  ASSERT_TRUE(has_settled(1)) << paid_->nodes().last_words();
  const entered first = read_log();
  EXPECT_EQ(first.tokens, 60U);
  EXPECT_EQ(first.movements, 0U);
  for (const char* const name :
       {"one", "two"}) { // 4 layers, accruals of positions up to 64, 96, 99
    EXPECT_EQ(first.units.at(paid_->secret_of(name).id()), 12U) << name;
  }

  test_cluster& nodes = paid_->nodes();
  nodes.kill(nodes.index_of("books"));
  ASSERT_EQ(paid_->run(2, 60), "") << "nobody keeps the ledger now: " << nodes.last_words();
  nodes.start(nodes.index_of("books"));
  nodes.wait_until_whole();
  ASSERT_NO_FATAL_FAILURE(wait_for_ledger());
  ASSERT_EQ(paid_->run(3, 60), "");
  ASSERT_TRUE(has_settled(3)) << "what ran meanwhile is entered late: " << nodes.last_words();
  EXPECT_EQ(read_log().tokens, 180U);
}

} // namespace
} // namespace ovir::test
