#pragma once

#include "ledger/audit/epoch_draw.hpp"
#include "messages/node_id.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

/// How many lies escape the draw of audits, and how many the rates predict (docs/VERIFICATION.md).
namespace ovir::swarm {

/// A window of positions that a liar stated wrongly and was paid for.
struct lie_fate {
  std::uint64_t rate_ppm{0};
  bool overdue{false}; ///< a link was missing: other verifiers get all units of its owner
  double chance{0};    ///< that an honest verifier gets it
  bool drawn{false};
  bool found{false}; ///< by an honest verifier
  ledger::escrow_id request;
  std::uint32_t window{0};
  std::vector<node_id> verifiers; ///< who have to look at it
};

/// What became of a liar in one run.
struct liar_fate {
  bool lied{false};
  std::vector<lie_fate> windows;
  std::uint64_t unpaid{0}; ///< windows that it stated wrongly and the log does not have
  bool convicted{false};   ///< on every honest node
  bool undisturbed{false}; ///< no fault may have lost an audit
  std::uint64_t honest_convictions{0};
};

/// Of the units of `signer` for which `lied` says so.
[[nodiscard]] std::vector<lie_fate> fates_of(
    const ledger::epoch_draw& d, const node_id& signer,
    const std::function<bool(const digest& statement, std::uint32_t window, std::uint32_t last)>&
        lied,
    const std::set<node_id>& colluders);

/// Trials that each succeed with a chance of their own.
class trials {
public:
  void add(double chance, bool success) {
    ++count_;
    expected_ += chance;
    variance_ += chance * (1 - chance);
    successes_ += success ? 1 : 0;
  }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t successes() const noexcept { return successes_; }
  [[nodiscard]] double expected() const noexcept { return expected_; }
  /// Half of the 99 % interval around what is expected.
  [[nodiscard]] double margin() const;
  [[nodiscard]] bool within() const;
  /// All numbers, in turn.
  template <class Self, class Visit>
  static void each(Self& self, Visit visit) {
    visit(self.count_);
    visit(self.successes_);
    visit(self.expected_);
    visit(self.variance_);
  }

private:
  std::uint64_t count_{0};
  std::uint64_t successes_{0};
  double expected_{0};
  double variance_{0};
};

class escape_tally {
public:
  void add(const liar_fate& run);
  /// A table, and what is not as predicted.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::vector<std::string> wrong() const;
  /// For other processes to add to.
  [[nodiscard]] std::string numbers() const;
  /// Inverse; an empty text is an empty tally. False for anything else.
  [[nodiscard]] bool read(const std::string& numbers);

private:
  template <class Self, class Visit>
  static void each(Self& self, Visit visit);

  std::uint64_t runs_{0};
  std::uint64_t with_lies_{0};
  std::uint64_t convicted_{0};
  std::uint64_t honest_convictions_{0};
  std::uint64_t unpaid_{0};
  std::uint64_t windows_{0};
  std::uint64_t found_runs_{0}; ///< an honest verifier had to look at a lie
  std::uint64_t lost_runs_{0};  ///< and the liar was not convicted
  std::uint64_t by_others_{0};  ///< convicted though no honest verifier had to look at a lie
  std::map<std::uint64_t, trials> drawn_; ///< by rate, where no link was missing
  std::map<std::uint64_t, trials> found_; ///< likewise, by honest verifiers
  std::map<std::size_t, trials> escapes_; ///< runs, by lies told: none found
  trials runs_escaped_;                   ///< likewise, all of them
  trials others_;                         ///< windows of which a link was missing
};

} // namespace ovir::swarm
