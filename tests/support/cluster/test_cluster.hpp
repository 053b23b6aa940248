#pragma once

#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cluster_shell.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/cluster/tcp_proxy.hpp"
#include "tests/support/shared_files.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ovir::test {

/// What a node of a test holds of a model: a path, and layers as configurations write them ("0-3");
/// none for one that only drives requests.
struct cluster_part {
  std::string path;
  std::string layers{};
  std::string draft{}; ///< of a scheduler: the file of a model that guesses
};

struct cluster_node {
  std::string name;
  std::vector<std::string> roles{"worker"};
  std::vector<cluster_part> parts{};
  std::string program{};                            ///< instead of `ovir`
  std::map<std::string, std::string> environment{}; ///< beside the others'

  [[nodiscard]] bool has_role(const std::string& role) const;
};

struct cluster_spec {
  std::vector<cluster_node> nodes;
  bool proxied{false};        ///< nodes reach each other through a tcp_proxy
  bool joins_by_token{false}; ///< all but the first show a token; else each lists the others' keys
  std::uint32_t threads{1};   ///< that compute, per node
  std::uint32_t drain_wait_s{10};
  std::string log_level{"info"};
  std::string limits{}; ///< further lines of [limits]
  std::string tables{}; ///< further tables of every configuration
  /// Lines of [cache]; empty: nothing is kept, so that the same request is computed again.
  std::string cache{};
  std::filesystem::path folder{}; ///< for configurations, state and logs; empty: a temporary one
};

/// Nodes as processes of this machine, with keys, configurations and free ports of their own.
/// Throws std::runtime_error, with the nodes' last log lines, where a test cannot go on. Nodes die
/// with the thread that started them. One thread, but for what only looks.
class test_cluster {
public:
  /// Writes keys and configurations; starts nobody.
  explicit test_cluster(cluster_spec spec);
  ~test_cluster();
  test_cluster(const test_cluster&) = delete;
  test_cluster& operator=(const test_cluster&) = delete;

  [[nodiscard]] std::size_t size() const noexcept { return spec_.nodes.size(); }
  [[nodiscard]] const cluster_node& node(std::size_t i) const { return spec_.nodes.at(i); }
  /// The index of the node of this name.
  [[nodiscard]] std::size_t index_of(const std::string& name) const;

  void start(); ///< all, and waits until they know each other
  void start(std::size_t i);
  /// For this one's environment from its next start on.
  void set_environment(std::size_t i, const std::string& name, const std::string& value);
  void kill(std::size_t i);   ///< kill -9, and waits for the end
  void freeze(std::size_t i); ///< SIGSTOP
  void thaw(std::size_t i);
  /// SIGTERM; returns how it ended.
  child_result terminate(std::size_t i);
  void send_signal(std::size_t i, int number);

  /// It has a process, be it frozen.
  [[nodiscard]] bool running(std::size_t i) const;
  [[nodiscard]] bool frozen(std::size_t i) const;
  [[nodiscard]] std::optional<process_use> use(std::size_t i) const;
  /// Its process; -1 when it has none.
  [[nodiscard]] pid_t id(std::size_t i) const;

  /// Waits until each running node answers at its admin port and knows all running ones as alive.
  void wait_until_whole(std::chrono::seconds within = std::chrono::seconds{60});
  /// Waits until this holds, asking now and then; false when the time is over.
  [[nodiscard]] bool wait_until(const std::function<bool()>& holds,
                                std::chrono::milliseconds within = std::chrono::seconds{30}) const;

  /// A shell at these nodes, or at every scheduler.
  [[nodiscard]] cluster_shell shell(const std::vector<std::size_t>& nodes = {},
                                    std::chrono::milliseconds deadline = default_deadline) const;
  /// Data of a command of one node.
  [[nodiscard]] apps::json ask(std::size_t i, const std::string& line,
                               std::chrono::milliseconds deadline = default_deadline) const;

  [[nodiscard]] std::vector<std::size_t> with_role(const std::string& role) const;
  [[nodiscard]] const std::string& admin_address(std::size_t i) const;
  [[nodiscard]] std::string admin_key() const;
  [[nodiscard]] std::filesystem::path config(std::size_t i) const;
  [[nodiscard]] std::filesystem::path state(std::size_t i) const;
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  /// The network between the nodes; only of a cluster that is `proxied`.
  [[nodiscard]] tcp_proxy& network() { return *proxy_; }
  /// The last lines of every node's log, for messages of failures.
  [[nodiscard]] std::string last_words() const;

  static constexpr std::chrono::milliseconds default_deadline{30'000};

private:
  struct member;

  void make_keys();
  void write_config(std::size_t i, const std::string& token) const;
  [[nodiscard]] std::string token_for(std::size_t i) const;
  /// How a node ended that nobody here ended, with what it said; empty while it runs.
  [[nodiscard]] std::string ending_of(std::size_t i) const;
  [[nodiscard]] std::vector<std::size_t> owners_of(const std::vector<std::uint16_t>& ports) const;
  [[nodiscard]] bool knows_everybody(std::size_t i) const;

  cluster_spec spec_;
  std::optional<temporary_folder> own_folder_;
  std::filesystem::path folder_;
  std::string admin_;                            ///< public key
  mutable std::mutex guard_;                     ///< for the processes of the members
  std::vector<std::unique_ptr<member>> members_; ///< as the nodes of the specification
  std::unique_ptr<tcp_proxy> proxy_;
};

} // namespace ovir::test
