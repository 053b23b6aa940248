#pragma once

#include "actors/audit/verifier_actor.hpp"
#include "messages/caf/system_config.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "verify/window_task.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

/// A verifier, as it is, and others that it asks, in virtual time: what these can see.
namespace ovir::test {

/// Requests of two models, computed once: honest receipts and what their windows come to.
class computed_requests {
public:
  struct one {
    receipt r;
    std::shared_ptr<actors::catalog_model> model;
    compute::replay_outcome again;
  };
  computed_requests();

  [[nodiscard]] const std::vector<one>& all() const noexcept { return all_; }
  /// The request of which this is a window.
  [[nodiscard]] const one* of(const audit_task& task) const;

private:
  std::vector<std::unique_ptr<loaded_model>> files_;
  std::vector<one> all_;
  std::map<digest, std::size_t> by_task_;
};

/// A clock that everything takes some of, by chance: a look at it, a number by chance, a line of a
/// log and, longest, what is written to the disk.
class costly_env;

/// What the asked one sees of a question.
struct seen_question {
  bool planted{false};
  std::vector<double> features;
};

class asked_verifiers {
public:
  static constexpr std::size_t hosts = 3;
  static constexpr std::uint64_t share_ppm = 100'000; ///< of windows: lies, and what is planted

  asked_verifiers(const computed_requests& requests, std::uint64_t seed);
  ~asked_verifiers();
  asked_verifiers(const asked_verifiers&) = delete;
  asked_verifiers& operator=(const asked_verifiers&) = delete;

  /// The receipt of a request comes to the verifier. Each window of it is a lie as seldom as any
  /// other, and no two are. Then time goes on.
  void request();
  /// Until nothing waits for an answer.
  void settle();
  /// Questions asked so far, in order.
  [[nodiscard]] const std::vector<seen_question>& seen() const noexcept { return seen_; }
  /// Names of their features.
  [[nodiscard]] static const std::vector<std::string>& features();
  [[nodiscard]] std::uint64_t convicted() const noexcept { return out_.size(); }

private:
  class links;
  /// A question on its way to an answer.
  struct asked {
    std::size_t host{0};
    audit_question what;
    std::size_t seen{0}; ///< index
    std::vector<node_id> signers;
    double told_before{0};
    std::chrono::microseconds at{0};
    std::chrono::microseconds answer_at{0};
    bool silent{false};
  };

  void pass(std::chrono::seconds time);
  void sent(std::size_t host, std::size_t bytes, const audit_message& message);
  void saw_question(std::size_t host, std::size_t bytes, const audit_question& q);
  void saw_standing(std::size_t host, const audit_standing& told);
  void answer_due();
  void deliver(std::size_t host, const audit_message& message);
  [[nodiscard]] double standing_of(std::size_t host, const std::vector<node_id>& nodes) const;
  [[nodiscard]] double chance() { return std::uniform_real_distribution<double>{}(random_); }

  const computed_requests& requests_;
  std::uint64_t seed_;
  std::mt19937_64 random_;
  std::unique_ptr<costly_env> env_;
  std::vector<secret_key> keys_;     ///< the verifier's, hosts', the lead's, then those of workers
  std::vector<std::size_t> workers_; ///< that do not lie: of `keys_`
  std::size_t next_worker_{0};       ///< that lies
  std::unique_ptr<actors::log> log_;
  actors::model_catalog models_;
  std::unique_ptr<actors::access_list> access_;
  std::unique_ptr<actors::peers> peers_;
  std::unique_ptr<links> links_;
  system_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  caf::actor verifier_;
  /// What is offered right now.
  struct current {
    std::vector<node_id> signers;
    std::optional<audit_task> lie;
    std::chrono::microseconds at{0};
  };
  std::optional<current> offered_;
  std::deque<asked> open_;
  std::array<std::map<node_id, std::uint32_t>, hosts> standing_;
  std::array<std::chrono::microseconds, hosts> last_{};
  std::vector<seen_question> seen_;
  std::set<node_id> out_; ///< convicted: told to all
};

} // namespace ovir::test
