#pragma once

#include "messages/limits/ledger.hpp"
#include "tests/support/cluster/paid_cluster.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>

namespace ovir::test {

inline std::uint64_t of(const apps::json& account, const char* key) { return account.at(key); }

/// Tests with a cluster that pays.
class paid_requests : public ::testing::Test {
protected:
  void start(const paid_cluster::options& how) {
    paid_.emplace(how);
    paid_->nodes().start();
    wait_for_ledger();
  }
  /// Until every node can use the ledger, but for those that were convicted, and has its stake.
  void wait_for_ledger(const std::set<std::string>& but = {}) {
    ASSERT_NO_FATAL_FAILURE(wait_for_heads(but));
    paid_->give_stakes();
  }
  void wait_for_heads(const std::set<std::string>& but = {}) {
    test_cluster& nodes = paid_->nodes();
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (but.contains(nodes.node(i).name)) {
        continue;
      }
      ASSERT_TRUE(nodes.wait_until([&] {
        try {
          return !nodes.ask(i, "ledger head").empty();
        } catch (const std::runtime_error&) {
          return false;
        }
      })) << nodes.last_words();
    }
  }
  /// What an ended request did not use comes back once its stages had time to claim.
  static constexpr std::chrono::seconds refunded{limits::ledger_claims_wait_s + 30};
  /// Until everything that was reserved is settled: nothing is stuck.
  [[nodiscard]] bool settled(std::uint64_t front_free,
                             std::chrono::seconds within = std::chrono::seconds{30}) {
    return paid_->nodes().wait_until(
        [&] { return of(paid_->account("front"), "free") == front_free; }, within);
  }
  /// Until so much is pending: what was reserved may be used up before its last windows are paid.
  [[nodiscard]] bool earns(const std::string& name, std::uint64_t pending) {
    return paid_->nodes().wait_until(
        [&] { return of(paid_->account(name), "pending") == pending; });
  }
  /// What an account got and gave, from the keeper's log alone; a batch may be in the making.
  [[nodiscard]] apps::json movements(const std::string& name) {
    apps::json lines;
    EXPECT_TRUE(paid_->nodes().wait_until([&] {
      const child_result child = run_ovir({"ledger", "statement", paid_->key_of(name), "--json",
                                           "--ledger", paid_->ledger_folder().string()});
      if (child.exit_code == 0) {
        lines = apps::json::parse(child.out).at("lines");
      }
      return child.exit_code == 0;
    }));
    return lines;
  }
  [[nodiscard]] std::string state() {
    std::string text = paid_->nodes().last_words();
    for (std::size_t i = 0; i < paid_->nodes().size(); ++i) {
      text += paid_->account(paid_->nodes().node(i).name).dump() + "\n";
    }
    return text;
  }

  std::optional<paid_cluster> paid_;
};

} // namespace ovir::test
