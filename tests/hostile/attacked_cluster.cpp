#include "tests/hostile/attacked_cluster.hpp"

#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <sstream>

namespace ovir::test {

namespace {

/// 40 tokens; `number` below 1000.
apps::json question(std::uint32_t number, bool receipt) {
  apps::json arguments{{"max_tokens", 8}, {"temperature", 0.8}, {"seed", 7}, {"receipt", receipt}};
  for (std::uint32_t i = 0; i < 40; ++i) {
    arguments["tokens"].push_back((i * 31 + number * 17) % 300);
  }
  return arguments;
}

} // namespace

void attacked_cluster::begin(const std::function<void()>& before) {
  compute::synth_spec spec;
  spec.layers = 8;
  const std::string model = folder_.path() / "synthetic.gguf";
  write_file(model, synthetic_model(spec));
  cluster_ = std::make_unique<test_cluster>(
      cluster_spec{.nodes = {{"head", {"scheduler"}, {{model}}},
                             {"front", {"worker"}, {{model, "0-7"}}},
                             {"watch", {"verifier"}, {{model}}}},
                   .tables = "[audit]\nleast_rate_ppm = 1000000\nevery_request = false\n",
                   .cache = "enabled = true"});
  attacked::let_in(*cluster_);
  before();
  cluster_->start();
  where_ = attacked::addresses(*cluster_);
  honest_ = std::make_unique<honest_service>([this] { return ask(asked_++ % 3); });
  ASSERT_TRUE(serves_on()) << honest_->complaint();
}

void attacked_cluster::TearDown() {
  if (honest_) {
    EXPECT_TRUE(serves_on()) << honest_->complaint();
    honest_.reset();
  }
  if (HasFailure() && cluster_) {
    ADD_FAILURE() << cluster_->last_words();
  }
}

bool attacked_cluster::serves_on(std::size_t answers) {
  const std::size_t wanted = honest_->answered() + answers;
  return cluster_->wait_until(
             [&] { return honest_->answered() >= wanted || !honest_->complaint().empty(); },
             std::chrono::seconds{60}) &&
         honest_->complaint().empty();
}

std::string attacked_cluster::ask(std::uint32_t number) {
  cluster_shell shell = cluster_->shell({head});
  const apps::shell_outcome outcome = shell.call("run", question(number, false));
  const auto* const data = std::get_if<apps::json>(&outcome);
  if (data == nullptr) {
    return failure_text(outcome);
  }
  const auto known = answers_.emplace(number, data->at("tokens")).first;
  return known->second == data->at("tokens") ? "" : "another answer than before: " + data->dump();
}

apps::json attacked_cluster::answer_with_receipt(std::uint32_t number) {
  cluster_shell shell = cluster_->shell({head});
  apps::shell_outcome outcome = shell.call("run", question(100 + number, true));
  auto* const data = std::get_if<apps::json>(&outcome);
  EXPECT_NE(data, nullptr) << failure_text(outcome);
  return data == nullptr ? apps::json{} : std::move(*data);
}

std::uint64_t attacked_cluster::audits(std::size_t node, const char* what) const {
  return cluster_->ask(node, "audits").value(what, std::uint64_t{0});
}

namespace attacked {

void let_in(const test_cluster& cluster) {
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    std::ifstream file{cluster.config(i)};
    std::ostringstream text;
    text << fmt::format("admins = [\"{}\"]\n", to_hex(attacker_key(attacker::issuer).id()))
         << file.rdbuf();
    const auto allow = [&text](std::uint8_t key, std::string_view role) {
      text << fmt::format("\n[[access]]\nkey = \"{}\"\nroles = [\"{}\"]\n",
                          to_hex(attacker_key(key).id()), role);
    };
    allow(attacker::worker, "worker");
    allow(attacker::scheduler, "scheduler");
    allow(attacker::rival, "scheduler");
    allow(judging, "verifier");
    file.close();
    std::ofstream{cluster.config(i)} << text.str();
  }
}

std::vector<std::string> addresses(const test_cluster& cluster) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    const apps::json nodes = cluster.ask(i, "nodes");
    for (const apps::json& n : nodes.at("nodes")) {
      if (n.at("self").get<bool>()) {
        all.push_back(n.at("address"));
      }
    }
  }
  return all;
}

hostile_member member(const std::string& address, std::uint8_t key, std::uint16_t roles) {
  const auto open = [&](std::uint16_t channel) {
    hostile_peer peer{address};
    hostile_tls tls;
    tls.key = key;
    EXPECT_TRUE(peer.handshake(tls));
    hostile_hello hello;
    hello.channel = channel;
    hello.roles = roles;
    EXPECT_EQ(peer.introduce(hello), std::string{});
    return peer;
  };
  hostile_peer control = open(1);
  hostile_member made{std::move(control), open(2)};
  EXPECT_FALSE(hear(made, 3).empty()) << "a node greets a member once both channels stand";
  return made;
}

bool audit(hostile_member& from, std::span<const std::byte> bytes) {
  return from.data.message(8, static_cast<std::uint32_t>(bytes.size()), bytes);
}

std::vector<std::byte> hear(hostile_member& at, std::uint32_t kind) {
  while (true) {
    const std::vector<std::byte> header = at.control.receive(16);
    if (header.empty()) {
      return {};
    }
    std::uint32_t size = 0;
    std::uint32_t what = 0;
    std::memcpy(&size, header.data(), sizeof size);
    std::memcpy(&what, header.data() + 4, sizeof what);
    std::vector<std::byte> bytes = at.control.receive(size);
    if (what == kind) {
      return bytes;
    }
  }
}

std::vector<std::byte> receipt_in(const apps::json& answer) {
  const auto hex = answer.at("receipt").at("bytes").get<std::string>();
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<std::string> convicted(const test_cluster& cluster, std::size_t node) {
  std::vector<std::string> keys;
  const apps::json audits = cluster.ask(node, "audits");
  for (const apps::json& one : audits.at("convictions")) {
    keys.push_back(one.at("node"));
  }
  return keys;
}

} // namespace attacked

} // namespace ovir::test
