#pragma once

#include "messages/signing.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ovir::test {

/// A cluster of processes with a ledger: "front" drives requests and pays, "books" keeps the ledger
/// (and holds the first half of a model of eight layers, or "one" does), others hold the second
/// half.
class paid_cluster {
public:
  struct options {
    std::string mode{"bonded"}; ///< "zero-bond" or "free"
    std::uint64_t audit_window_s{3'600};
    std::vector<std::string> second_half{"two"};
    bool keeper_computes{true};
    /// Workers and their layers, instead of both halves: the keeper computes nothing.
    std::vector<std::pair<std::string, std::string>> workers{};
    std::string when_away{"refuse"};
    bool follow{false};                          ///< all but the keeper copy its log
    bool clients_pay{false};                     ///< "front" pays for no shell
    std::map<std::string, std::uint64_t> asks{}; ///< ppm of the rate, of nodes by name
    std::uint64_t newcomer_units{64};            ///< windows that a newcomer may have pending
    std::vector<std::string> schedulers{};       ///< beside "front"
    std::vector<std::string> verifiers{};        ///< further nodes, which hold the model
    std::string more_rules{};                    ///< of the policy
    std::string rewards{"work"};
    /// A program that lies, for the second half; with it "front" and "check" are verifiers.
    std::string liar{};
  };
  static constexpr std::uint32_t layers = 8;
  static constexpr std::uint32_t prompt = 40; ///< tokens of each request
  static constexpr std::uint64_t credit = 1'000'000;
  // Seeds with which the made-up model draws no end within 200 tokens, and one within 30.
  static constexpr std::uint64_t goes_on = 3;
  static constexpr std::uint64_t ends_early = 1;

  /// Writes configurations; starts nobody.
  explicit paid_cluster(const options& how);

  [[nodiscard]] test_cluster& nodes() { return *cluster_; }
  [[nodiscard]] std::filesystem::path model() const { return folder_.path() / "synthetic.gguf"; }
  [[nodiscard]] secret_key secret_of(const std::string& name) const;
  [[nodiscard]] std::string key_of(const std::string& name) const;
  /// Draws `tokens` tokens. Why there is no answer, or empty.
  [[nodiscard]] std::string run(std::uint64_t request, std::uint32_t tokens,
                                apps::json* answer = nullptr, std::uint64_t seed = goes_on,
                                std::optional<std::uint64_t> pay = {});
  /// What `run` sends.
  [[nodiscard]] static apps::json order(std::uint64_t request, std::uint32_t tokens,
                                        std::uint64_t seed = goes_on);
  /// The key of every shell of this cluster: their account.
  [[nodiscard]] secret_key client() const;
  [[nodiscard]] apps::json account_of(const node_id& key);
  /// An account, as the node that keeps the ledger shows it.
  [[nodiscard]] apps::json account(const std::string& name);
  /// Credits for the account of a node, of "client" or of "assurance".
  void mint(const std::string& name, std::uint64_t micro_credits);
  void stake(const std::string& name, std::uint64_t micro_credits);
  /// Each node that is to put something at stake gets it, once, and does so.
  void give_stakes();
  /// `ovir ledger verify` of the keeper's log, whether its node runs or not; throws where it fails.
  [[nodiscard]] apps::json verify();
  /// The same of a follower's copy.
  [[nodiscard]] apps::json verify_copy(const std::string& name);
  /// Where the keeper has the ledger.
  [[nodiscard]] std::filesystem::path ledger_folder() const;

private:
  temporary_folder folder_;
  std::map<std::string, std::uint64_t> stakes_; ///< of who has no credits for it yet
  std::unique_ptr<test_cluster> cluster_;
};

} // namespace ovir::test
