#pragma once

#include "tests/chaos/workload.hpp"
#include "tests/support/cluster/test_cluster.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace ovir::chaos {

using clock = std::chrono::steady_clock;

/// Where a request is, as its client sees it.
struct stream {
  std::string request; ///< empty: none under way
  clock::time_point begun{};
  clock::time_point news{}; ///< the last token, or `begun`
  std::uint32_t drawn{0};
  std::uint32_t wanted{0}; ///< how many there will be
  /// A node it needs was taken away at this time, in this way.
  std::optional<clock::time_point> hurt{};
  std::string by{};
  std::optional<double> next_token_ms{}; ///< since then, once one came
  double stall_ms{0};                    ///< the longest wait for a token since then
};

/// How long streams that were hurt waited, in milliseconds.
struct hurt_waits {
  std::vector<double> next_token; ///< from the harm to the next token; it may have been on its way
  std::vector<double> stall;      ///< the longest wait for a token within 2 s of the harm
};

/// What became of all requests.
struct tally {
  std::uint64_t requests{0};
  std::uint64_t tokens{0};
  std::uint64_t recoveries{0};
  std::vector<std::string> lost;           ///< no answer, and why
  std::vector<std::string> changed;        ///< another answer
  std::map<std::string, hurt_waits> waits; ///< by kind of harm
};

/// Clients that ask for random requests, each in a thread with a shell of its own, and compare
/// every answer. All functions may be called from any thread.
class clients {
public:
  clients(const test::test_cluster& cluster, const std::vector<expected_answer>& workload,
          std::size_t count, std::uint64_t seed);
  /// Interrupts what runs.
  ~clients();
  clients(const clients&) = delete;
  clients& operator=(const clients&) = delete;

  /// Streams now; by client.
  [[nodiscard]] std::vector<stream> streams() const;
  /// Waits for a change, at most until then.
  void wait_for_news(clock::time_point until);
  /// Notes that a stream was hurt, unless it still waits because of an earlier harm or is over.
  void hurt(const std::string& request, clock::time_point when, const std::string& by);
  /// No new requests; waits for those under way. False when some did not end in time.
  [[nodiscard]] bool finish(std::chrono::milliseconds within);
  [[nodiscard]] tally results() const;
  [[nodiscard]] std::size_t failures() const;

private:
  void run(std::size_t index, std::uint64_t seed);
  void ask(std::size_t index, test::cluster_shell& shell, const expected_answer& wanted,
           const std::string& request);
  void token_came(std::size_t index);
  void note_token(stream& s, clock::time_point now);
  void close_hurt(stream& s);

  const test::test_cluster& cluster_;
  const std::vector<expected_answer>& workload_;
  mutable std::mutex guard_; ///< for the following
  std::condition_variable changed_;
  std::uint64_t version_{0};
  std::vector<stream> streams_;
  std::vector<test::cluster_shell*> shells_;
  std::size_t running_{0};
  tally tally_;
  std::atomic<bool> over_{false};
  std::vector<std::thread> threads_;
};

} // namespace ovir::chaos
