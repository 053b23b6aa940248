#include "tests/hostile/hostile_node.hpp"

#include "apps/key_file.hpp"
#include "messages/request/request_name.hpp"
#include "messages/sanitized.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

namespace ovir::test {

namespace {

constexpr std::uint64_t growth_max = std::uint64_t{64} << 20U;
constexpr std::uint16_t worker_role = 1;
constexpr std::uint16_t scheduler_role = 2;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file{path};
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

cluster_shell::options shell_at(const test_cluster& cluster, std::size_t node) {
  return {cluster.admin_key(), {cluster.admin_address(node)}, std::chrono::seconds{60}};
}

actors::generation_request request_number(std::uint32_t number, std::uint32_t vocabulary) {
  actors::generation_request r;
  for (std::uint32_t i = 0; i < 40 + number; ++i) {
    r.prompt.push_back((i * 7919 + number * 104'729 + 31) % vocabulary);
  }
  r.sampling.temperature = 0.8F;
  r.sampling.top_k = 40;
  r.sampling.seed = 70 + number;
  r.max_tokens = 12;
  return r;
}

apps::json arguments_of(const actors::generation_request& r) {
  return {{"tokens", r.prompt},
          {"max_tokens", r.max_tokens},
          {"temperature", static_cast<double>(r.sampling.temperature)},
          {"top_k", r.sampling.top_k},
          {"seed", r.sampling.seed}};
}

} // namespace

// Honest client

honest_client::honest_client(const test_cluster& cluster, std::size_t scheduler,
                             const std::vector<known_answer>& answers)
    : shell_(shell_at(cluster, scheduler)),
      key_(apps::load_key(*storage::make_env_posix(), cluster.admin_key()).value().id()),
      thread_([this, &answers] { run(answers); }) {}

request_id honest_client::current() const {
  return name_in_cluster(owner_of_shell(key_.key), request_id{current_.load()});
}

honest_client::~honest_client() { stop(); }

void honest_client::stop() {
  stopping_.store(true);
  if (thread_.joinable()) {
    thread_.join();
  }
}

std::string honest_client::complaint() const {
  const std::lock_guard lock{guard_};
  return complaint_;
}

void honest_client::complain(const std::string& what) {
  const std::lock_guard lock{guard_};
  complaint_ = what;
}

void honest_client::run(const std::vector<known_answer>& answers) {
  std::mt19937_64 ids{std::random_device{}()};
  for (std::size_t i = 0; !stopping_.load() && complaint().empty(); ++i) {
    const known_answer& expected = answers[i % answers.size()];
    const std::uint64_t id = ids();
    current_.store(id);
    apps::json arguments = expected.arguments;
    arguments["request"] = fmt::format("{:016x}", id);
    const apps::shell_outcome outcome = shell_.call("run", arguments);
    const auto* const data = std::get_if<apps::json>(&outcome);
    if (data == nullptr) {
      return complain(failure_text(outcome));
    }
    if (data->at("transcript") != to_hex(expected.report.transcript) ||
        data->at("tokens").get<std::vector<token_id>>() != expected.report.tokens ||
        data->at("text") != expected.report.text) {
      return complain("another answer than one process gives: " + data->dump());
    }
    answered_.fetch_add(1);
  }
}

// Attackers

secret_key attacker_key(std::uint8_t key) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(static_cast<std::byte>(key));
  return secret_key::from_seed(seed);
}

bool hostile_member::wire(const actors::wire_message& message) {
  return wire(std::span<const std::byte>{actors::encode_wire(message)});
}

bool hostile_shell::say(std::string_view text) {
  return link.message(4, static_cast<std::uint32_t>(text.size()),
                      std::as_bytes(std::span{text.data(), text.size()}));
}

apps::json hostile_shell::hear() {
  const std::vector<std::byte> header = link.receive(16);
  if (header.empty() || header[4] != std::byte{5}) {
    return nullptr;
  }
  std::uint32_t size = 0;
  std::memcpy(&size, header.data(), sizeof size);
  const std::vector<std::byte> text = link.receive(size);
  return apps::json::parse(reinterpret_cast<const char*>(text.data()),
                           reinterpret_cast<const char*>(text.data()) + text.size(), nullptr,
                           false);
}

apps::json hostile_shell::ask(const std::string& command, const apps::json& args) {
  apps::json request{{"id", ++last_id}, {"command", command}};
  if (!args.is_null()) {
    request["args"] = args;
  }
  if (!say(request.dump())) {
    return nullptr;
  }
  while (true) {
    apps::json reply = hear();
    const bool beats = reply.is_object() && reply.contains("event") &&
                       reply.at("event").is_object() && reply.at("event").contains("beat");
    if (reply.is_null() || (!beats && reply.value("id", std::uint64_t{0}) == last_id)) {
      return reply;
    }
  }
}

// Nodes

void hostile_node::make_model() {
  compute::synth_spec spec;
  spec.layers = layers;
  spec.dim = dim;
  spec.vocabulary = vocabulary;
  path_ = folder_.path() / "synthetic.gguf";
  write_file(path_, synthetic_model(spec));
  const loaded_model model{path_};
  const auto words = compute::tokenizer::make(model.file()).value();
  const auto* const kernels = compute::select_kernels(std::nullopt).value();
  const auto env = storage::make_env_posix();
  auto alone = supervision::local_cluster::start(model.get(), *words, *kernels, *env, {});
  ASSERT_TRUE(alone) << alone.error().message;
  for (std::uint32_t i = 0; i < 3; ++i) {
    const actors::generation_request request = request_number(i, vocabulary);
    auto report = (*alone)->run(request, {}, nullptr);
    ASSERT_TRUE(report) << report.error().message;
    answers_.push_back({arguments_of(request), std::move(*report)});
  }
}

void hostile_node::let_attackers_in(std::size_t node) const {
  const std::filesystem::path path = cluster_->config(node);
  std::string text = fmt::format("admins = [\"{}\"]\n{}",
                                 to_hex(attacker_key(attacker::issuer).id()), text_of(path));
  const auto allow = [&text](std::uint8_t key, std::string_view role) {
    text += fmt::format("[[access]]\nkey = \"{}\"\nroles = [\"{}\"]\n",
                        to_hex(attacker_key(key).id()), role);
  };
  allow(attacker::worker, "worker");
  allow(attacker::scheduler, "scheduler");
  allow(attacker::rival, "scheduler");
  allow(attacker::reader, "reader");
  allow(attacker::operating, "operator");
  std::ofstream{path} << text << tables_of(node);
}

void hostile_node::SetUp() {
  ASSERT_NO_FATAL_FAILURE(make_model());
  const std::string path = path_.string();
  cluster_ = std::make_unique<test_cluster>(
      cluster_spec{.nodes = {{"head", {"scheduler"}, {{path}}},
                             {"front", {"worker"}, {{path, "0-3"}}},
                             {"back", {"scheduler", "worker"}, {{path, "4-7"}}}},
                   .limits = "memory_mib = 64\n"});
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    let_attackers_in(i);
  }
  cluster_->start();
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    const apps::json nodes = cluster_->ask(i, "nodes");
    for (const apps::json& n : nodes.at("nodes")) {
      if (n.at("self").get<bool>()) {
        listen_.push_back(n.at("address"));
        keys_.push_back(n.at("node"));
      }
    }
  }
  const auto model = digest_from_hex(
      cluster_->ask(head, "models").at("models").at(0).at("model").get<std::string>());
  ASSERT_TRUE(model);
  model_ = *model;
  honest_ = std::make_unique<honest_client>(*cluster_, head, answers_);
  expect_service();
  losses_before_ = losses();
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    forget_peak(cluster_->id(i));
    before_.push_back(cluster_->use(i).value_or(process_use{}));
  }
}

std::vector<std::string> hostile_node::losses() const {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    std::ifstream file{cluster_->folder() / (cluster_->node(i).name + ".log")};
    for (std::string line; std::getline(file, line);) {
      if (std::any_of(keys_.begin(), keys_.end(), [&](const std::string& key) {
            return line.find("lost " + key.substr(0, 8) + ":") != std::string::npos;
          })) {
        lines.push_back(cluster_->node(i).name + " says: " + line);
      }
    }
  }
  return lines;
}

void hostile_node::TearDown() {
  if (!honest_) {
    return;
  }
  expect_service();
  EXPECT_EQ(losses(), losses_before_) << "nodes lost each other";
  for (std::size_t i = 0; i < before_.size(); ++i) {
    process_use now;
    const bool settled = cluster_->wait_until([&] {
      now = cluster_->use(i).value_or(process_use{});
      return now.threads > 0 && now.descriptors <= before_[i].descriptors;
    });
    const std::string name = cluster_->node(i).name;
    EXPECT_TRUE(settled) << name << " has " << now.descriptors << " descriptors, "
                         << before_[i].descriptors << " before";
    if (!address_sanitized) {
      EXPECT_LE(now.peak_bytes, before_[i].peak_bytes + growth_max) << name;
    }
    const std::uint64_t growth = now.peak_bytes - std::min(now.peak_bytes, before_[i].peak_bytes);
    RecordProperty(name + "_growth_kib", static_cast<int>(growth >> 10U));
  }
  honest_->stop();
  if (HasFailure()) {
    ADD_FAILURE() << cluster_->last_words();
  }
}

void hostile_node::expect_service(std::size_t answers) {
  const std::size_t wanted = honest_->answered() + answers;
  const bool served = cluster_->wait_until(
      [&] { return honest_->answered() >= wanted || !honest_->complaint().empty(); },
      std::chrono::seconds{60});
  EXPECT_TRUE(served) << "the honest client gets no answer";
  EXPECT_EQ(honest_->complaint(), "");
}

std::vector<std::string> hostile_node::ports() const {
  std::vector<std::string> all = listen_;
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    all.push_back(cluster_->admin_address(i));
  }
  return all;
}

hostile_hello hostile_node::hello_as(std::uint16_t channel, std::uint16_t roles) {
  hostile_hello hello;
  hello.channel = channel;
  hello.roles = roles;
  return hello;
}

hostile_peer hostile_node::shaken(const std::string& address, std::uint8_t key) {
  hostile_peer peer{address};
  EXPECT_TRUE(peer.handshake({.key = key}));
  return peer;
}

std::string hostile_node::verdict(const std::string& address, std::uint8_t key,
                                  const hostile_hello& hello) {
  hostile_peer peer = shaken(address, key);
  return peer.introduce(hello).value_or("closed without a word");
}

hostile_member hostile_node::member(std::size_t node, std::uint8_t key) const {
  const bool drives = key == attacker::scheduler || key == attacker::rival;
  const std::uint16_t roles = drives ? scheduler_role : worker_role;
  hostile_member made{shaken(listen(node), key), shaken(listen(node), key)};
  EXPECT_EQ(made.control.introduce(hello_as(1, roles)), std::string{});
  EXPECT_EQ(made.data.introduce(hello_as(2, roles)), std::string{});
  // A node greets a member once both channels stand: only then do its answers find their way.
  const std::vector<std::byte> header = made.control.receive(16);
  std::uint32_t size = 0;
  EXPECT_FALSE(header.empty());
  std::memcpy(&size, header.data(), header.empty() ? 0 : sizeof size);
  EXPECT_FALSE(made.control.receive(size).empty());
  return made;
}

hostile_shell hostile_node::shell(std::size_t node, std::uint8_t key) const {
  hostile_shell made{.link = shaken(cluster_->admin_address(node), key)};
  EXPECT_EQ(made.link.introduce(hello_as(3, 0x300)), std::string{});
  return made;
}

std::vector<hostile_peer> hostile_node::everywhere() const {
  std::vector<hostile_peer> all;
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    hostile_member of_cluster = member(i, attacker::worker);
    all.push_back(std::move(of_cluster.control));
    all.push_back(std::move(of_cluster.data));
    all.push_back(shell(i).link);
  }
  return all;
}

std::vector<std::byte> hostile_node::noise(std::size_t bytes) {
  std::vector<std::byte> made(bytes);
  std::generate(made.begin(), made.end(),
                [this] { return static_cast<std::byte>(random_() & 0xffU); });
  return made;
}

std::vector<std::byte> hostile_node::damaged(std::vector<std::byte> bytes) {
  if (bytes.empty() || random_() % 4 == 0) {
    bytes.resize(bytes.empty() ? 0 : random_() % bytes.size());
    return bytes;
  }
  for (std::uint64_t i = 0, n = 1 + random_() % 4; i < n; ++i) {
    bytes[random_() % bytes.size()] = static_cast<std::byte>(random_() & 0xffU);
  }
  return bytes;
}

} // namespace ovir::test
