#pragma once

#include "actors/members/gossip_format.hpp"
#include "actors/protocol/wire.hpp"
#include "node/local_cluster.hpp"
#include "tests/support/cluster/hostile_peer.hpp"
#include "tests/support/cluster/test_cluster.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace ovir::test {

/// A request and what one process answers to it.
struct known_answer {
  apps::json arguments; ///< of the admin command `run`, without an id
  supervision::run_report report;
};

/// Somebody who runs requests, one after the other, and compares every answer. In a thread of its
/// own until it is dropped.
class honest_client {
public:
  honest_client(const test_cluster& cluster, std::size_t scheduler,
                const std::vector<known_answer>& answers);
  ~honest_client();
  honest_client(const honest_client&) = delete;
  honest_client& operator=(const honest_client&) = delete;

  [[nodiscard]] std::size_t answered() const { return answered_.load(); }
  /// The id of the request under way, as the cluster calls it.
  [[nodiscard]] request_id current() const;
  /// What was wrong with the first answer that was; empty: nothing.
  [[nodiscard]] std::string complaint() const;
  void stop(); ///< after the request under way

private:
  void run(const std::vector<known_answer>& answers);
  void complain(const std::string& what);

  cluster_shell shell_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> answered_{0};
  std::atomic<std::uint64_t> current_{0};
  node_id key_; ///< of the shell
  mutable std::mutex guard_;
  std::string complaint_;
  std::thread thread_;
};

/// Keys of those that attack, each byte of the seed, and what the nodes let them be.
namespace attacker {
inline constexpr std::uint8_t stranger = 0x50;
inline constexpr std::uint8_t worker = 0x51;
inline constexpr std::uint8_t scheduler = 0x52;
inline constexpr std::uint8_t reader = 0x53;
inline constexpr std::uint8_t issuer = 0x54; ///< its join tokens count
inline constexpr std::uint8_t guest = 0x55;  ///< known by no key, may show a token
inline constexpr std::uint8_t operating = 0x56;
inline constexpr std::uint8_t rival = 0x57; ///< a second scheduler
} // namespace attacker

[[nodiscard]] secret_key attacker_key(std::uint8_t key);

/// A member that was admitted, with both channels.
struct hostile_member {
  hostile_peer control;
  hostile_peer data;

  bool wire(const actors::wire_message& message);
  bool wire(std::span<const std::byte> bytes) { return send(control, 2, bytes); }
  bool gossip(std::span<const std::byte> bytes) { return send(control, 3, bytes); }
  bool frame(std::span<const std::byte> bytes, std::uint32_t target) {
    return send(data, 1, bytes, target);
  }

private:
  static bool send(hostile_peer& peer, std::uint16_t kind, std::span<const std::byte> bytes,
                   std::uint32_t target = 0) {
    return peer.message(kind, static_cast<std::uint32_t>(bytes.size()), bytes, target);
  }
};

/// An admin shell that does not behave.
struct hostile_shell {
  hostile_peer link;
  std::uint64_t last_id{0}; ///< of what was asked

  bool say(std::string_view text);
  /// The next reply; null when the connection ended.
  [[nodiscard]] apps::json hear();
  /// The reply to it, or what is told behind; not that its node is still there.
  [[nodiscard]] apps::json ask(const std::string& command, const apps::json& args = {});
};

/// Three processes that hold a model of 8 layers between them, and an honest client at their side:
/// whatever a test does to them, its answers stay right, they do not lose each other, at no time
/// does a node take more than 64 MiB above what it had before, and when it is over it has no more
/// descriptors than before.
class hostile_node : public testing::Test {
protected:
  static constexpr std::size_t head = 0;  ///< drives requests
  static constexpr std::size_t front = 1; ///< layers 0 to 3
  static constexpr std::size_t back = 2;  ///< layers 4 to 7; a worker and a scheduler
  static constexpr std::uint32_t layers = 8;
  static constexpr std::uint32_t vocabulary = 320;
  static constexpr std::uint32_t dim = 256;

  void SetUp() override;
  void TearDown() override;
  /// Further tables of a node's configuration.
  [[nodiscard]] virtual std::string tables_of(std::size_t /*node*/) const { return {}; }

  /// Every port that a node listens on: those for members and those for shells.
  [[nodiscard]] std::vector<std::string> ports() const;
  [[nodiscard]] const std::string& admin_port(std::size_t node) const {
    return cluster_->admin_address(node);
  }
  [[nodiscard]] const std::string& listen(std::size_t node) const { return listen_.at(node); }
  [[nodiscard]] static hostile_hello hello_as(std::uint16_t channel, std::uint16_t roles);
  /// A TLS connection that has not said hello.
  [[nodiscard]] static hostile_peer shaken(const std::string& address, std::uint8_t key);
  /// What the node answers to this hello: empty text when it lets it in.
  [[nodiscard]] static std::string verdict(const std::string& address, std::uint8_t key,
                                           const hostile_hello& hello);
  /// A member that the node greeted.
  [[nodiscard]] hostile_member member(std::size_t node, std::uint8_t key) const;
  [[nodiscard]] hostile_shell shell(std::size_t node, std::uint8_t key = attacker::reader) const;

  [[nodiscard]] std::vector<std::byte> noise(std::size_t bytes);
  /// The bytes with a few of them changed, or cut short.
  [[nodiscard]] std::vector<std::byte> damaged(std::vector<std::byte> bytes);

  /// The honest client gets this many further answers, all of them right.
  void expect_service(std::size_t answers = 3);
  /// Admitted to every port of every node, for every channel it takes.
  [[nodiscard]] std::vector<hostile_peer> everywhere() const;

  std::mt19937_64 random_{20'260'613};
  std::unique_ptr<test_cluster> cluster_;
  std::unique_ptr<honest_client> honest_;
  digest model_;

private:
  void make_model();
  void let_attackers_in(std::size_t node) const;
  /// What the nodes' logs say of links to one another that they lost.
  [[nodiscard]] std::vector<std::string> losses() const;

  temporary_folder folder_;
  std::filesystem::path path_;
  std::vector<known_answer> answers_;
  std::vector<std::string> listen_;
  std::vector<std::string> keys_;
  std::vector<process_use> before_;
  std::vector<std::string> losses_before_;
};

} // namespace ovir::test
