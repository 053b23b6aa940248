// A paid request whose pay is divided by Divy's weights: what each stage gets of every window is
// what the published formula gives for the times that the others signed.
#include "ledger/rules/policy_reference.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/evidence/seen_times.hpp"
#include "messages/hex.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

namespace ovir::test {
namespace {

using apps::json;

class pay_by_divy : public paid_requests {
protected:
  [[nodiscard]] static receipt receipt_of(const json& answer) {
    const std::string hex = answer.at("receipt").at("bytes");
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    return decode_receipt(bytes).value();
  }
  /// What it got, by accrual.
  [[nodiscard]] std::map<std::uint64_t, std::uint64_t> earned(const std::string& name) {
    std::map<std::uint64_t, std::uint64_t> all;
    for (const json lines = movements(name); const json& line : lines) {
      if (line.at("kind") == "accrue") {
        all[line.at("window").get<std::uint64_t>()] += line.at("amount").get<std::uint64_t>();
      }
    }
    return all;
  }
  [[nodiscard]] std::uint64_t memory_of(const std::string& name) {
    test_cluster& nodes = paid_->nodes();
    for (const json all = nodes.ask(nodes.index_of("front"), "nodes").at("nodes");
         const json& node : all) {
      if (node.at("name") == name) {
        return node.at("memory_bytes");
      }
    }
    return 0;
  }
  /// Shares of a window in parts of one, by the published formula.
  [[nodiscard]] static std::vector<double> shares_of(const receipt& r, const seen_times& seen,
                                                     const std::vector<std::uint64_t>& memory,
                                                     std::uint64_t model_bytes) {
    ledger::reference::job j;
    j.model_bytes = model_bytes;
    j.columns = r.asked.layers;
    j.prompt_tokens = 1;
    for (std::size_t i = 0; i < r.stages.size(); ++i) {
      ledger::reference::assignment a;
      a.capacity_units = 1;
      // The formula knows ratios of times alone, beyond its least.
      a.execution_ms = std::max<std::uint64_t>(seen.held[i], 1'000);
      a.column_first = r.stages[i].signer.layers.first;
      a.column_last = r.stages[i].signer.layers.last;
      a.memory_bytes = memory[i];
      j.assignments.push_back(a);
    }
    std::vector<double> shares;
    const auto delta = ledger::reference::realtime_delta(j);
    for (const auto& c : delta->contributions) {
      shares.push_back(c.normalized_share);
    }
    return shares;
  }
};

TEST_F(pay_by_divy, is_what_the_formula_gives_for_the_times_that_others_signed) {
  ASSERT_NO_FATAL_FAILURE(
      start({.workers = {{"one", "0-1"}, {"two", "2-6"}, {"three", "7-7"}}, .rewards = "divy"}));
  constexpr std::uint64_t credit = paid_cluster::credit;
  paid_->mint("front", 500 * credit);
  json answer;
  ASSERT_EQ(paid_->run(1, 200, &answer), "") << paid_->nodes().last_words();
  ASSERT_TRUE(settled(260 * credit)) << state();
  const receipt r = receipt_of(answer);
  ASSERT_EQ(r.stages.size(), 3U);
  const std::vector<std::string> names{"one", "two", "three"};
  std::vector<std::uint64_t> memory;
  std::vector<std::map<std::uint64_t, std::uint64_t>> pay;
  std::vector<const stage_records*> path;
  for (std::size_t i = 0; i < names.size(); ++i) {
    ASSERT_EQ(to_hex(r.stages[i].signer.node), paid_->key_of(names[i]));
    memory.push_back(memory_of(names[i]));
    pay.push_back(earned(names[i]));
    path.push_back(&r.stages[i]);
  }
  const std::uint64_t model_bytes = std::filesystem::file_size(paid_->model());
  const std::uint64_t first = (paid_cluster::prompt - 1) / limits::window_positions;
  std::size_t measured = 0;
  bool differs = false;
  for (const auto& [accrual, amount] : pay[0]) {
    const seen_times seen = times_seen(path, static_cast<std::uint32_t>(accrual + first));
    if (seen.steps == 0) {
      continue;
    }
    ++measured;
    const double whole = static_cast<double>(amount + pay[1][accrual] + pay[2][accrual]);
    const auto shares = shares_of(r, seen, memory, model_bytes);
    for (std::size_t i = 0; i < names.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(pay[i][accrual]) / whole, shares[i], 3e-6)
          << names[i] << ", " << accrual;
    }
    differs = differs || std::abs(shares[1] - 5.0 / 8) > 0.01;
  }
  EXPECT_GE(measured, 3U) << "nothing was measured";
  EXPECT_TRUE(differs) << "it was divided by layers alone";
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

} // namespace
} // namespace ovir::test
