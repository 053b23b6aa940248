// A stage that stands still in the midst of a paid request: the windows that the stages around it
// show as late are not paid to it, all others are, and it loses nothing else.
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <set>

namespace ovir::test {
namespace {

using namespace std::chrono_literals;
using apps::json;

constexpr std::uint64_t window = 32; // positions

class late_stages_of_paid_requests : public paid_requests {
protected:
  /// One that is answered while "two" stands still for a moment: its receipt, as `ovir receipt`
  /// shows it.
  [[nodiscard]] json answered_with_a_pause() {
    test_cluster& nodes = paid_->nodes();
    json order = paid_cluster::order(1, 200);
    order["deadline_ms"] = 30'000;
    order["speculate"] = "off";
    asked_request asked{nodes, {nodes.index_of("front")}, std::move(order)};
    EXPECT_TRUE(asked.wait_for_tokens(50)) << nodes.last_words();
    nodes.freeze(nodes.index_of("two"));
    (void)nodes.wait_until([] { return false; }, 300ms); // its part of a step is 50 ms or so
    nodes.thaw(nodes.index_of("two"));
    const json data = asked.answer();
    EXPECT_EQ(asked.failure(), "") << nodes.last_words();
    const std::string file = folder_.path() / "receipt";
    write_file(file, bytes_of(data.at("receipt").at("bytes")));
    const child_result shown = run_ovir({"receipt", "show", file, "--json"});
    EXPECT_EQ(shown.exit_code, 0) << shown.err;
    return json::parse(shown.out);
  }
  [[nodiscard]] static std::string bytes_of(const std::string& hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    return bytes;
  }
  /// What it earned, by window of the ledger.
  [[nodiscard]] std::map<std::uint64_t, std::uint64_t> earned(const std::string& name) {
    std::map<std::uint64_t, std::uint64_t> all;
    const json lines = movements(name);
    for (const json& line : lines) {
      if (line.at("kind") == "accrue") {
        all[line.at("window").get<std::uint64_t>()] += line.at("amount").get<std::uint64_t>();
      }
    }
    return all;
  }

  temporary_folder folder_;
};

TEST_F(late_stages_of_paid_requests, are_unpaid_for_exactly_the_windows_that_were_late) {
  ASSERT_NO_FATAL_FAILURE(start({.workers = {{"one", "0-2"}, {"two", "3-5"}, {"three", "6-7"}}}));
  constexpr std::uint64_t credit = paid_cluster::credit;
  paid_->mint("front", 500 * credit);
  const json receipt = answered_with_a_pause();
  ASSERT_TRUE(settled(260 * credit)) << state();
  // The first accrual pays for the windows of the prompt, two here, and each other for one.
  const std::uint64_t first = (paid_cluster::prompt - 1) / window;
  std::set<std::uint64_t> late;
  for (const json& one : receipt.at("late")) {
    EXPECT_EQ(one.at("signer"), paid_->key_of("two"));
    late.insert(one.at("position").get<std::uint64_t>() / window);
  }
  ASSERT_FALSE(late.empty()) << receipt;
  const auto by_one = earned("one");
  const auto by_two = earned("two");
  std::uint64_t withheld = 0;
  for (const auto& [accrual, whole] : by_one) { // three layers each
    std::uint64_t part = 0;
    for (std::uint64_t w = accrual == 0 ? 0 : accrual + first; w <= accrual + first; ++w) {
      part += late.contains(w) ? 1 : 0;
    }
    const std::uint64_t unpaid = accrual == 0 ? whole * part / (first + 1) : whole * part;
    withheld += unpaid;
    const auto found = by_two.find(accrual);
    EXPECT_EQ(found == by_two.end() ? 0 : found->second, whole - unpaid) << accrual;
  }
  EXPECT_GT(withheld, 0U);
  EXPECT_LT(withheld, of(paid_->account("one"), "pending"));
  const json two = paid_->account("two");
  EXPECT_EQ(two.at("ejected"), false) << two;
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

} // namespace
} // namespace ovir::test
