#include "tests/swarm/economy/market_trial.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

// What came of a market, for people and for bench/economy_tables.

namespace ovir::swarm {

namespace {

constexpr double one_credit = 1e6;

double mean(std::int64_t sum, std::uint64_t runs) {
  return static_cast<double>(sum) / one_credit / static_cast<double>(runs);
}

std::string per_cost(const market_account& a) {
  return a.cost == 0
             ? "-"
             : fmt::format("{:.3f}", static_cast<double>(a.earned()) / static_cast<double>(a.cost));
}

nlohmann::ordered_json document(const market_account& a, std::uint64_t runs) {
  nlohmann::ordered_json out{{"paid", mean(a.paid, runs)},
                             {"fees", mean(a.fees, runs)},
                             {"found", mean(a.found, runs)},
                             {"taken_back", mean(a.taken_back, runs)},
                             {"slashed", mean(a.slashed, runs)},
                             {"stake_left", mean(a.stake_left, runs)},
                             {"charged", mean(a.charged, runs)},
                             {"spent", mean(a.spent, runs)},
                             {"earned", mean(a.earned(), runs)},
                             {"cost", mean(a.cost, runs)},
                             {"profit", mean(a.profit(), runs)},
                             {"windows", a.windows},
                             {"late", a.late},
                             {"computed", a.computed},
                             {"made_up", a.made_up},
                             {"convicted", a.convicted}};
  out["per_cost"] =
      a.cost == 0
          ? nlohmann::ordered_json{}
          : nlohmann::ordered_json(static_cast<double>(a.earned()) / static_cast<double>(a.cost));
  return out;
}

} // namespace

std::string market_head() {
  return fmt::format(
      "{:10} {:>7} {:>5} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} "
      "{:>8}\n",
      "play", "windows", "late", "made up", "paid", "fees", "taken", "slashed", "stake", "earned",
      "cost", "per cost", "profit", "honest");
}

namespace {

std::string line(std::string_view name, const market_account& a, std::uint64_t n) {
  const double work = static_cast<double>(a.computed + a.made_up);
  return fmt::format("{:10} {:7} {:5} {:5.1f} % {:8.1f} {:8.1f} {:8.1f} {:8.1f} {:8.1f} {:8.1f} "
                     "{:8.1f} {:>8} {:9.1f}",
                     name, a.windows, a.late,
                     work > 0 ? 100 * static_cast<double>(a.made_up) / work : 0.0, mean(a.paid, n),
                     mean(a.fees + a.found, n), mean(a.taken_back, n), mean(a.slashed, n),
                     mean(a.stake_left, n), mean(a.earned(), n), mean(a.cost, n), per_cost(a),
                     mean(a.profit(), n));
}

} // namespace

std::string to_text(const market_row& row) {
  return fmt::format("{} {:8.1f} {}\n", line(to_string(row.plays), row.account, row.runs),
                     mean(row.honest.profit(), row.runs),
                     row.beats_honesty() ? "BEATS HONESTY" : "");
}

std::string to_text(const market_report& report) {
  std::string out;
  for (std::size_t who = 0; who < report.hosts.size(); ++who) {
    out += line(fmt::format("n{}", who), report.hosts[who], 1) + "\n";
  }
  return out +
         fmt::format("{} answered, {} failed, {:.0f} s, {} turns, {} entries, digest {:016x}\n",
                     report.answered, report.failed,
                     std::chrono::duration<double>(report.rest.virtual_time).count(),
                     report.rest.turns, report.rest.entries, report.rest.trace);
}

std::string to_json(const market_row& row, bool seldom) {
  return nlohmann::ordered_json{{"policy", seldom ? "seldom" : "default"},
                                {"play", std::string{to_string(row.plays)}},
                                {"runs", row.runs},
                                {"beats", row.beats_honesty()},
                                {"failed", row.failed},
                                {"account", document(row.account, row.runs)},
                                {"honest", document(row.honest, row.runs)},
                                {"auditors", document(row.auditors, row.runs)}}
             .dump() +
         "\n";
}

} // namespace ovir::swarm
