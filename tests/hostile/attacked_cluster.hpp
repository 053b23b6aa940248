#pragma once

#include "tests/hostile/audit_bytes.hpp"
#include "tests/hostile/hostile_node.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ovir::test {

/// Asks again and again, in a thread of its own, until it is dropped. `ask` returns why there was
/// no right answer; empty: there was one.
class honest_service {
public:
  explicit honest_service(std::function<std::string()> ask)
      : thread_([this, ask = std::move(ask)] {
          while (!stopping_.load() && complaint().empty()) {
            const std::string wrong = ask();
            if (wrong.empty()) {
              answered_.fetch_add(1);
            } else {
              const std::lock_guard lock{guard_};
              complaint_ = wrong;
            }
          }
        }) {}
  ~honest_service() {
    stopping_.store(true);
    thread_.join();
  }
  honest_service(const honest_service&) = delete;
  honest_service& operator=(const honest_service&) = delete;

  [[nodiscard]] std::size_t answered() const { return answered_.load(); }
  [[nodiscard]] std::string complaint() const {
    const std::lock_guard lock{guard_};
    return complaint_;
  }

private:
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> answered_{0};
  mutable std::mutex guard_;
  std::string complaint_;
  std::thread thread_;
};

/// Nodes of a cluster that let a few keys in which mean no good, and the bytes these send.
/// A scheduler, a worker with all layers of a model, which keeps what it computed, and a verifier.
/// An honest client asks the same few questions again and again, and its answers stay the same.
class attacked_cluster : public testing::Test {
protected:
  static constexpr std::size_t head = 0;
  static constexpr std::size_t front = 1;
  static constexpr std::size_t watch = 2;

  /// `before`: with the configurations and keys there, and no process yet.
  void begin(const std::function<void()>& before = [] {});
  void TearDown() override;
  /// The honest client gets this many further answers, all of them right.
  [[nodiscard]] bool serves_on(std::size_t answers = 4);
  /// An answer with a receipt, of a question that was not asked before.
  [[nodiscard]] apps::json answer_with_receipt(std::uint32_t number);
  [[nodiscard]] std::uint64_t audits(std::size_t node, const char* what) const;

  temporary_folder folder_;
  std::unique_ptr<test_cluster> cluster_;
  std::vector<std::string> where_;

private:
  [[nodiscard]] std::string ask(std::uint32_t number);

  std::map<std::uint32_t, apps::json> answers_;
  std::uint32_t asked_{0};
  std::unique_ptr<honest_service> honest_;
};

namespace attacked {

/// One with the role of a verifier, beside the keys of `attacker`.
inline constexpr std::uint8_t judging = 0x58;

/// Every node names the attackers under [[access]] and takes tokens of `attacker::issuer`.
void let_in(const test_cluster& cluster);
/// Where each node listens for members.
[[nodiscard]] std::vector<std::string> addresses(const test_cluster& cluster);
/// A member with both channels, which the node greeted.
[[nodiscard]] hostile_member member(const std::string& address, std::uint8_t key,
                                    std::uint16_t roles);
/// Sends a message about audits.
bool audit(hostile_member& from, std::span<const std::byte> bytes);
/// What the next message of this kind on the control channel says; empty: none came.
[[nodiscard]] std::vector<std::byte> hear(hostile_member& at, std::uint32_t kind);
/// Of an answer's receipt.
[[nodiscard]] std::vector<std::byte> receipt_in(const apps::json& answer);
/// Keys that a node holds for convicted.
[[nodiscard]] std::vector<std::string> convicted(const test_cluster& cluster, std::size_t node);

} // namespace attacked

} // namespace ovir::test
