// Requests that demand a tier, over processes: attestations by `ovir attest`, shown by nodes, and
// the receipt that tells of them.
#include "apps/key_file.hpp"
#include "storage/env/env.hpp"
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>

namespace ovir::test {
namespace {

using testing::HasSubstr;

class tiers : public ::testing::Test {
protected:
  tiers() {
    model_ = (folder_.path() / "m.gguf").string();
    EXPECT_EQ(run_ovir({"model", "synth", model_, "--layers", "8"}).exit_code, 0);
    attestor_ = ovir_json({"keygen", "-o", key_file()}).at("public_key");
    // Front asks; "plain" could compute all, and is attested nothing.
    cluster_ = std::make_unique<test_cluster>(
        cluster_spec{.nodes = {{"front", {"scheduler"}, {{model_}}},
                               {"plain", {"worker"}, {{model_, "0-7"}}},
                               {"first", {"worker"}, {{model_, "0-3"}}},
                               {"last", {"worker"}, {{model_, "4-7"}}},
                               {"spare", {"worker"}, {{model_, "4-7"}}}}});
  }
  [[nodiscard]] std::string key_file() const { return folder_.path() / "attestor.key"; }
  [[nodiscard]] std::string key_of(const std::string& name) const {
    const auto env = storage::make_env_posix();
    return to_hex(
        apps::load_key(*env, (cluster_->folder() / name / "node.key").string()).value().id());
  }
  [[nodiscard]] std::string attestation_of(const std::string& name,
                                           std::vector<std::string> what) const {
    std::vector<std::string> command{"attest", "--key", key_file(), "--node", key_of(name)};
    command.insert(command.end(), what.begin(), what.end());
    return ovir_json(command).at("attestation");
  }
  /// Keys of a file stand before its tables. None: it shows nothing more.
  void show(const std::string& name, const std::string& attested) const {
    const auto config = cluster_->config(cluster_->index_of(name));
    std::string text = read_file(config);
    if (text.starts_with("attestations")) {
      text.erase(0, text.find('\n') + 1);
    }
    write_file(config,
               attested.empty() ? text : fmt::format("attestations = [\"{}\"]\n", attested) + text);
  }
  [[nodiscard]] bool front_hears(const std::string& name, const std::string& region) const {
    return cluster_->wait_until([&] {
      const apps::json nodes = cluster_->ask(0, "nodes").at("nodes");
      return std::any_of(nodes.begin(), nodes.end(), [&](const apps::json& one) {
        const apps::json& shown = one.at("attested");
        return one.at("name") == name &&
               (region.empty() ? shown.empty() : !shown.empty() && shown[0].at("region") == region);
      });
    });
  }
  [[nodiscard]] apps::json order(const std::string& tier, std::uint32_t most = 12) const {
    return {{"prompt", "Once upon a time"},
            {"max_tokens", most},
            {"seed", 44},
            {"receipt", true},
            {"tier", "attestor=" + attestor_ + tier}};
  }
  [[nodiscard]] child_result verified(const std::string& file, const std::string& tier) const {
    return run_ovir_verify({file, "--any-signer", "--tier", "attestor=" + attestor_ + tier});
  }

  static std::string receipt_in(const apps::json& data) {
    const auto hex = data.at("receipt").at("bytes").get<std::string>();
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    return bytes;
  }

  temporary_folder folder_;
  std::string model_;
  std::string attestor_;
  std::unique_ptr<test_cluster> cluster_;
};

TEST_F(tiers, a_request_is_computed_by_attested_nodes_alone_and_its_receipt_shows_the_weakest) {
  show("first", attestation_of("first", {"--region", "eu", "--confidential", "tdx"}));
  show("last", attestation_of("last", {"--region", "eu"}));
  cluster_->start();
  ASSERT_TRUE(front_hears("first", "eu") && front_hears("last", "eu")) << cluster_->last_words();
  asked_request one{*cluster_, {0}, order(",region=eu")};
  const apps::json data = one.answer();
  ASSERT_TRUE(data.is_object()) << one.failure() << cluster_->last_words();
  EXPECT_EQ(data.at("tokens"),
            ovir_json({"run", "-m", model_, "-p", "Once upon a time", "-n", "12", "--seed", "44"})
                .at("tokens"));
  const std::string file = folder_.path() / "r";
  write_file(file, receipt_in(data));
  const child_result right = verified(file, ",region=eu");
  EXPECT_EQ(right.exit_code, 0) << right.out << right.err;
  EXPECT_THAT(right.out, HasSubstr("of all 2 nodes"));
  EXPECT_THAT(right.out, HasSubstr("attests: region eu\n")) << "the weakest is not confidential";
  const child_result wrong = verified(file, ",region=eu,confidential");
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.out, HasSubstr(key_of("last") + " is not shown to be attested confidential"));
}

TEST_F(tiers, a_request_whose_tier_no_node_has_is_refused_by_name) {
  show("first", attestation_of("first", {"--region", "eu"}));
  cluster_->start();
  ASSERT_TRUE(front_hears("first", "eu")) << cluster_->last_words();
  asked_request one{*cluster_, {0}, order(",region=eu")};
  EXPECT_TRUE(one.answer().is_null());
  EXPECT_THAT(one.failure(), HasSubstr("no node that holds layers 4-7 is attested region eu"));
}

TEST_F(tiers, a_node_that_shows_it_no_longer_is_left_in_mid_stream) {
  show("first", attestation_of("first", {"--region", "eu"}));
  show("last", attestation_of("last", {"--region", "eu"}));
  show("spare", attestation_of("spare", {"--region", "us"}));
  cluster_->start();
  ASSERT_TRUE(front_hears("first", "eu") && front_hears("last", "eu") && front_hears("spare", "us"))
      << cluster_->last_words();
  asked_request one{*cluster_, {0}, order(",region=eu", 400)};
  ASSERT_TRUE(one.wait_for_tokens(3)) << one.failure() << cluster_->last_words();
  // New attestations are taken by SIGHUP, and no stage of the request is on a node without.
  show("spare", attestation_of("spare", {"--region", "eu"}));
  cluster_->send_signal(cluster_->index_of("spare"), SIGHUP);
  ASSERT_TRUE(front_hears("spare", "eu")) << cluster_->last_words();
  show("last", "");
  cluster_->send_signal(cluster_->index_of("last"), SIGHUP);
  const apps::json data = one.answer();
  ASSERT_TRUE(data.is_object()) << one.failure() << cluster_->last_words();
  EXPECT_EQ(data.at("tokens"),
            ovir_json({"run", "-m", model_, "-p", "Once upon a time", "-n", "400", "--seed", "44"})
                .at("tokens"));
  const std::string log = read_file(cluster_->folder() / "front.log");
  EXPECT_THAT(log, HasSubstr("is no longer attested what is demanded"));
  EXPECT_THAT(log, testing::Not(HasSubstr(key_of("plain").substr(0, 8) + ":")))
      << "a path over the node that is attested nothing";
}

} // namespace
} // namespace ovir::test
