#pragma once

#include "tests/chaos/crew.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace ovir::chaos {

/// When in a request's life a node is taken.
enum class moment : std::uint8_t { planning, prefill, decode, settling, recovery, rejoining };
/// Which node, seen from that request.
enum class victim : std::uint8_t { lead, first_stage, middle_stage, last_stage, bystander };
/// How.
enum class harm : std::uint8_t { kill, freeze, cut, divide };

[[nodiscard]] std::string to_string(moment m);
[[nodiscard]] std::string to_string(victim v);
[[nodiscard]] std::string to_string(harm h);

struct drill_step {
  harm how{harm::kill};
  moment when{moment::decode};
  victim who{victim::lead};
};

/// Every pair of moment and victim as often as every other, in random order, with another harm
/// after every fifth kill. Endless; the same for the same seed.
class drill_plan {
public:
  explicit drill_plan(std::uint64_t seed, bool other_harms = true)
      : random_(seed), other_harms_(other_harms) {}
  [[nodiscard]] drill_step next();

private:
  std::mt19937_64 random_;
  bool other_harms_;
  std::uint64_t given_{0};
  std::vector<drill_step> round_; ///< the rest of it
};

/// What a drill did.
struct drill_count {
  std::uint64_t kills{0};
  std::map<std::string, std::uint64_t> by_moment;
  std::map<std::string, std::uint64_t> by_victim;
  std::map<std::string, std::uint64_t> by_node;
  std::map<std::string, std::uint64_t> by_harm;
};

struct drill_options {
  std::uint64_t seed{1};
  std::uint64_t kills{300};
  std::optional<clock::time_point> end{};   ///< at the latest
  std::chrono::milliseconds pause_max{600}; ///< between two steps
  bool other_harms{true};
  std::set<std::size_t> spared{}; ///< nodes that nothing is done to
};

/// Takes nodes away from requests that run, as a plan says, and gives them back.
class drill {
public:
  drill(test::test_cluster& cluster, crew& nodes, clients& load, drill_options options);

  /// Until all kills are done, the time is over or a request failed.
  void run();
  /// Called about every 50 ms of it.
  void on_look(std::function<void()> call) { on_look_ = std::move(call); }
  [[nodiscard]] const drill_count& count() const noexcept { return count_; }

private:
  void do_step(const drill_step& step);
  /// Does what is due until `holds` or then; returns whether it holds.
  bool wait(clock::time_point until, const std::function<bool()>& holds = {});
  [[nodiscard]] bool over() const;
  [[nodiscard]] std::chrono::milliseconds between(int low, int high);
  [[nodiscard]] std::optional<stream> stream_at(moment when);
  [[nodiscard]] std::optional<std::size_t> choose(victim who, const std::string& request,
                                                  const std::vector<job_view>& jobs);
  [[nodiscard]] std::optional<std::size_t> pick(std::vector<std::size_t> from);
  [[nodiscard]] bool may_take(std::size_t node) const;
  void mark(const std::vector<job_view>& jobs, harm how,
            const std::function<bool(const job_view&)>& is_hurt);

  void kill(std::size_t node, const drill_step& step, const std::vector<job_view>& jobs);
  void kill_joining();
  void kill_again(const drill_step& step);
  void cut(std::size_t node, const std::vector<job_view>& jobs);
  void divide(const std::vector<job_view>& jobs);

  test::test_cluster& cluster_;
  crew& nodes_;
  clients& load_;
  drill_options options_;
  std::mt19937_64 random_;
  drill_plan plan_;
  drill_count count_;
  std::function<void()> on_look_;
};

} // namespace ovir::chaos
