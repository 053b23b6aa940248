#pragma once

#include "messages/sanitized.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::test {

/// A gateway with little patience, whose honest clients are served whatever others do.
class hostile_gateway : public ::testing::Test {
protected:
  static constexpr std::uint64_t memory_growth_max = 64U << 20U;
  static constexpr auto honest_body = R"({"model": "embedded", "prompt": "Once", "max_tokens": 2})";

  void SetUp() override {
    port_ = free_port();
    const auto config = folder_.path() / "node.toml";
    write_file(config,
               fmt::format("name = \"n\"\ncluster = \"c\"\nroles = [\"worker\", \"scheduler\"]\n"
                           "admin_listen = \"127.0.0.1:0\"\nstate = \"state\"\n"
                           "[[model]]\npath = \"embedded\"\n[limits]\nthreads = 1\n"
                           "[gateway]\nlisten = \"127.0.0.1:{}\"\nconnections = 40\n"
                           "requests = 4\nbody_mib = 1\nheader_ms = 300\nbody_ms = 300\n"
                           "write_ms = 500\nresume_ms = 100\n",
                           port_));
    start_node({});
  }
  void start_node(const std::map<std::string, std::string>& environment) {
    child_options options;
    options.deadline = std::chrono::hours{1};
    options.environment = environment;
    node_.reset();
    node_.emplace(std::vector<std::string>{ovir_program(), "node", "-c",
                                           (folder_.path() / "node.toml").string()},
                  options);
    wait_until_ready(port_);
    expect_service();
    before_ = use_of_process(node_->id())->resident_bytes;
  }
  void TearDown() override {
    expect_service();
    const auto use = use_of_process(node_->id());
    ASSERT_TRUE(use) << "the node is gone";
    if (!address_sanitized) {
      EXPECT_LT(use->resident_bytes, before_ + memory_growth_max);
    }
  }

  void expect_service() const {
    const http_answer answer = http_ask(port_, "POST", "/v1/completions", honest_body);
    EXPECT_EQ(answer.status, 200) << answer.body;
  }
  /// What bytes are answered with, on a connection of their own.
  [[nodiscard]] int status_of(std::string_view bytes) const {
    http_socket socket{port_};
    socket.send(bytes);
    return socket.answer().status;
  }

  /// A number of /metrics.
  [[nodiscard]] int metric(const std::string& name) const {
    const std::string page = http_ask(port_, "GET", "/metrics").body;
    const std::string line = "\novir_gateway_" + name + " ";
    return std::stoi(page.substr(page.find(line) + line.size()));
  }

  temporary_folder folder_;
  std::uint16_t port_{0};
  std::optional<child_process> node_;
  std::uint64_t before_{0};
};

} // namespace ovir::test
