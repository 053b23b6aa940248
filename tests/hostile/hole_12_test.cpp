// A member that poisons what others keep for reuse, or that learns from one request what else its
// owner asked. It speaks on real links, has a valid key and knows every format; what it says about
// blocks it encodes by itself.
#include "actors/members/gossip_format.hpp"
#include "compute/model/transcript.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/link_node.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <concepts>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <mutex>
#include <set>

namespace ovir::test {
namespace {

using namespace actors;
using bytes = std::vector<std::byte>;

constexpr std::uint32_t layers = 8;
constexpr std::uint32_t kv_heads = 2;
constexpr std::uint32_t head_dim = 64;
constexpr std::uint32_t window = 32;
constexpr std::uint32_t prompt_tokens = 100; // three whole windows
constexpr std::uint32_t prefix_windows = 3;
constexpr std::string_view profile = compute::profile_name;
constexpr std::uint8_t member_key = 0x51;

// The attacker's own encoders, after docs/formats.

template <std::integral T>
void put(bytes& to, T value) {
  const auto* const from = reinterpret_cast<const std::byte*>(&value);
  to.insert(to.end(), from, from + sizeof(T));
}
void put(bytes& to, std::span<const std::byte> from) {
  to.insert(to.end(), from.begin(), from.end());
}
void put(bytes& to, const digest& d) { put(to, std::as_bytes(std::span{d.bytes})); }
digest digest_at(std::span<const std::byte> from, std::size_t at) {
  digest d;
  std::memcpy(d.bytes.data(), from.data() + at, digest::size);
  return d;
}

bytes block_message(std::uint16_t kind, std::uint32_t number, std::uint64_t ticket,
                    std::span<const std::byte> payload) {
  bytes out;
  put(out, std::as_bytes(std::span{"OVB1", 4}));
  put(out, std::uint32_t{32});
  put(out, std::uint64_t{payload.size()});
  put(out, std::uint64_t{0x0000'0003'0000'0000});
  put(out, std::uint64_t{0x0000'0002'0000'0000});
  put(out, std::uint16_t{1});
  put(out, kind);
  put(out, number);
  put(out, ticket);
  put(out, payload);
  return out;
}

/// Of the stage from layer 0 on: it cannot take the request just now.
bytes busy_message(std::uint32_t driver, std::uint64_t request) {
  bytes out;
  put(out, std::uint64_t{8} << 32U);              // one segment of 8 words
  put(out, std::uint64_t{0x0001'0003'0000'0000}); // three words of data, one pointer
  put(out, std::uint16_t{1});                     // version
  put(out, std::uint16_t{11});                    // failed
  put(out, driver);
  put(out, request);
  put(out, std::uint64_t{0});                     // the stage's first layer
  put(out, std::uint64_t{0x0001'0001'0000'0000}); // a word of data, one pointer
  put(out, std::uint64_t{1});                     // busy
  put(out, std::uint64_t{0x0000'003a'0000'0001}); // seven bytes
  put(out, std::as_bytes(std::span{"not now", 8}));
  return out;
}

digest window_of(const digest& before, std::span<const token_id> ids) {
  bytes fields;
  put(fields, before);
  put(fields, std::as_bytes(ids));
  return hash("ovir/prefix/v1/window", fields);
}

/// Names of the prefixes of these tokens, for those who know the tokens.
std::vector<digest> prefixes_of(std::span<const token_id> tokens) {
  std::vector<digest> all;
  digest last = hash("ovir/prefix/v1/start", {});
  for (std::size_t at = 0; at + window <= tokens.size(); at += window) {
    all.push_back(last = window_of(last, tokens.subspan(at, window)));
  }
  return all;
}

digest unit_of(const digest& model, std::uint32_t layer, const digest& prefix) {
  bytes fields;
  put(fields, model);
  put(fields, std::uint64_t{profile.size()});
  put(fields, std::as_bytes(std::span{profile}));
  put(fields, layer);
  put(fields, prefix);
  return hash("ovir/unit/v1/key", fields);
}

digest salted(std::string_view domain, const digest& salt, const digest& what) {
  bytes fields;
  put(fields, salt);
  put(fields, what);
  return hash(domain, fields);
}

/// A block that is right by all that it says of itself, signed by a member, and holds nothing that
/// was ever computed. `named` is what it says it is a block of, `guess` what its author takes for
/// the name of its window.
bytes forged_block(const digest& named, std::uint32_t layer, std::uint32_t at, const digest& guess,
                   const secret_key& key) {
  const std::size_t half = std::size_t{kv_heads} * window * head_dim;
  bytes block;
  put(block, std::as_bytes(std::span{"OVKV", 4}));
  put(block, std::uint16_t{1}); // the version
  put(block, std::uint16_t{1}); // binary16
  for (const std::uint32_t number : {layer, at, kv_heads, head_dim, window, 0U}) {
    put(block, number);
  }
  put(block, named);
  bytes numbers;
  for (std::size_t i = 0; i < 2 * half; ++i) {
    put(numbers, static_cast<std::uint16_t>(0x3000 + i % 512)); // binary16, finite
  }
  bytes of_last;
  for (const std::uint32_t number : {layer, at, kv_heads, head_dim}) {
    put(of_last, number);
  }
  put(of_last, numbers);
  const digest output =
      layer + 1 == layers ? hash("ovir/kv/v1/output", of_last) : hash("hostile/output", numbers);
  put(block, output);
  put(block, numbers);
  const digest check = hash("ovir/kv/v1/block", block);
  put(block, check);
  const digest seal = salted("ovir/kv/v1/seal", guess, check);
  bytes fields;
  for (const digest& field : {named, output, check, seal}) {
    put(fields, field);
  }
  put(block, seal);
  put(block, std::as_bytes(std::span{key.id().key}));
  const signature proof = key.sign("ovir/kv/v1/author", fields);
  put(block, std::as_bytes(std::span{proof.bytes}));
  return block;
}

/// A member on real links that answers by its script.
class hostile_source {
public:
  explicit hostile_source(const digest& model)
      : model_(model), node_(member_key, member_options()) {
    node_.heard.on_message([this](const link_recorder::message& m) { hear(m); });
  }

  void join(const std::string& address, const node_id& other, bool holds) {
    const auto before = node_.heard.connections();
    const connection_id control = node_.net->connect(address, channel::control, other);
    (void)node_.net->connect(address, channel::data, other);
    ASSERT_TRUE(node_.heard.wait_connected(before + 1));
    {
      const std::lock_guard lock{guard_};
      links_.push_back(control);
    }
    advertise(holds);
  }
  /// Says to all what it holds: the whole model, or nothing.
  void advertise(bool holds) {
    node_advert advert;
    advert.name = "mallory";
    advert.address = node_.address();
    advert.roles.add(role::worker);
    if (holds) {
      advert.held.push_back({model_, {0, layers}, layers});
    }
    advert.memory_bytes = advert.memory_free = std::uint64_t{1} << 36U;
    advert.decode_bytes_per_second = std::uint64_t{1} << 40U;
    advert.prefill_bytes_per_second = std::uint64_t{1} << 45U;
    const std::lock_guard lock{guard_};
    const gossip_message said{news{}, {sign_advert(node_.key, ++incarnation_, advert)}};
    for (const connection_id link : links_) {
      say(link, message_kind::gossip, encode_gossip(said));
    }
  }
  /// Claims to have every block there is.
  void claim_all() {
    const bytes full(64, std::byte{0xff});
    const std::lock_guard lock{guard_};
    for (const connection_id link : links_) {
      say(link, message_kind::blocks, block_message(1, 52'428, 0, full));
    }
  }
  /// Answers each name it is asked for, in order, with blocks of this prompt; none: with "missing".
  void answer_with(const std::vector<token_id>& prompt) {
    const std::lock_guard lock{guard_};
    forging_ = prefixes_of(prompt);
    asked_ = 0;
  }
  [[nodiscard]] std::size_t asked() {
    const std::lock_guard lock{guard_};
    return asked_;
  }
  /// All that it was sent to begin a request with the cache, as bytes.
  [[nodiscard]] bytes opened() {
    std::unique_lock lock{guard_};
    changed_.wait_for(lock, std::chrono::seconds{30}, [this] { return !opened_.empty(); });
    return opened_;
  }
  /// How many of these names the node has blocks of, and gives away.
  [[nodiscard]] std::size_t ask_for(const std::string& address, const node_id& other,
                                    const std::vector<digest>& names) {
    const std::size_t before = node_.heard.connections();
    const connection_id bulk = node_.net->connect(address, channel::bulk, other);
    EXPECT_TRUE(node_.heard.wait_connected(before));
    std::size_t served = 0;
    for (std::size_t first = 0; first < names.size(); first += 256) {
      bytes wanted;
      const std::size_t count = std::min<std::size_t>(names.size() - first, 256);
      for (std::size_t i = 0; i < count; ++i) {
        put(wanted, names[first + i]);
      }
      std::unique_lock lock{guard_};
      served_ = missing_ = 0;
      say(bulk, message_kind::blocks, block_message(2, 0, first + 1, wanted));
      EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds{30},
                                    [&] { return served_ + missing_ == count; }));
      served += served_;
    }
    node_.net->close(bulk, {errc::cancelled, "done"});
    return served;
  }

private:
  void say(connection_id to, message_kind kind, bytes what) {
    (void)node_.net->send(to, kind, 0, std::make_shared<const bytes>(std::move(what)));
  }

  void hear(const link_recorder::message& m) {
    const std::lock_guard lock{guard_};
    if (m.kind == message_kind::gossip) {
      const auto said = decode_gossip(*m.bytes);
      if (const auto* const p = said ? std::get_if<ping>(&said->body) : nullptr) {
        say(m.peer.connection, message_kind::gossip, encode_gossip({ping_answer{p->nonce}, {}}));
      }
    } else if (m.kind == message_kind::wire) {
      hear_order(m);
    } else if (m.kind == message_kind::blocks && m.peer.kind == channel::bulk) {
      hear_of_blocks(m);
    }
    changed_.notify_all();
  }

  /// Keeps what it is sent to open a stage with the cache, and refuses.
  void hear_order(const link_recorder::message& m) {
    const bytes& said = *m.bytes;
    if (said.size() < 40) {
      return;
    }
    std::uint16_t kind = 0;
    std::uint32_t driver = 0;
    std::uint64_t request = 0;
    std::memcpy(&kind, said.data() + 18, sizeof kind);
    std::memcpy(&driver, said.data() + 20, sizeof driver);
    std::memcpy(&request, said.data() + 24, sizeof request);
    if (kind == 0) { // open
      opened_ = said;
      say(m.peer.connection, message_kind::wire, busy_message(driver, request));
    }
  }

  void hear_of_blocks(const link_recorder::message& m) {
    std::uint16_t kind = 0;
    std::uint64_t ticket = 0;
    std::memcpy(&kind, m.bytes->data() + 34, sizeof kind);
    std::memcpy(&ticket, m.bytes->data() + 40, sizeof ticket);
    served_ += kind == 3 ? 1 : 0;
    missing_ += kind == 4 ? 1 : 0;
    if (kind != 2) {
      return;
    }
    for (std::size_t at = 48, i = 0; at + 32 <= m.bytes->size(); at += 32, ++i, ++asked_) {
      const auto w = static_cast<std::uint32_t>(asked_ / layers);
      const auto layer = static_cast<std::uint32_t>(asked_ % layers);
      const auto number = static_cast<std::uint32_t>(i);
      if (w >= forging_.size()) {
        say(m.peer.connection, message_kind::blocks, block_message(4, number, ticket, {}));
        continue;
      }
      const digest named = digest_at(*m.bytes, at);
      const bytes forged = forged_block(named, layer, w, forging_[w], node_.key);
      say(m.peer.connection, message_kind::blocks, block_message(3, number, ticket, forged));
    }
  }

  digest model_;
  std::mutex guard_;
  std::condition_variable changed_;
  std::vector<connection_id> links_;
  std::uint64_t incarnation_{0};
  std::vector<digest> forging_;
  std::size_t asked_{0};
  bytes opened_;
  std::size_t served_{0};
  std::size_t missing_{0};
  link_node node_; ///< last, so that it hears nothing while the rest goes
};

class hole_12 : public ::testing::Test {
protected:
  void SetUp() override {
    compute::synth_spec spec;
    spec.layers = layers;
    spec.kv_heads = kv_heads;
    write_file(model_path_, synthetic_model(spec));
    const std::string path = model_path_.string();
    cluster_ = std::make_unique<test_cluster>(cluster_spec{
        .nodes = {{"head", {"scheduler"}, {{path}}}, {"worker", {"worker"}, {{path, "0-7"}}}},
        .cache = "enabled = true"});
    for (std::size_t i = 0; i < cluster_->size(); ++i) {
      std::ofstream{cluster_->config(i), std::ios::app} << fmt::format(
          "\n[[access]]\nkey = \"{}\"\nroles = [\"worker\"]\n", to_hex(key_of(member_key).id()));
    }
    cluster_->start();
    model_ = digest_from_hex(
                 cluster_->ask(0, "models").at("models").at(0).at("model").get<std::string>())
                 .value();
    source_ = std::make_unique<hostile_source>(model_);
  }
  void TearDown() override {
    source_.reset();
    if (HasFailure() && cluster_) {
      ADD_FAILURE() << cluster_->last_words();
    }
  }

  [[nodiscard]] std::pair<std::string, node_id> at(std::size_t i) const {
    const apps::json nodes = cluster_->ask(i, "nodes");
    for (const apps::json& n : nodes.at("nodes")) {
      if (n.at("self").get<bool>()) {
        return {n.at("address"), node_id_from_hex(n.at("node").get<std::string>()).value()};
      }
    }
    throw std::runtime_error("no node of its own");
  }
  void join(std::size_t i, bool holds) {
    const auto [address, id] = at(i);
    source_->join(address, id, holds);
  }
  [[nodiscard]] static std::vector<token_id> prompt(std::uint32_t number) {
    std::vector<token_id> tokens;
    for (std::uint32_t i = 0; i < prompt_tokens; ++i) {
      tokens.push_back(3 + (i * 7919 + number * 31) % 250);
    }
    return tokens;
  }
  [[nodiscard]] static apps::json request(const std::vector<token_id>& tokens,
                                          const char* cache = "default") {
    static std::uint64_t last = 0;
    return {{"request", fmt::format("{:016x}", 0x1000 + ++last)},
            {"tokens", tokens},
            {"max_tokens", 8},
            {"temperature", 0.8},
            {"seed", 5},
            {"cache", cache}};
  }
  [[nodiscard]] apps::json ask(const apps::json& args) const {
    const apps::shell_outcome outcome = cluster_->shell({0}).call("run", args);
    EXPECT_EQ(failure_text(outcome), "");
    const auto* const data = std::get_if<apps::json>(&outcome);
    return data == nullptr ? apps::json::object() : *data;
  }

  temporary_folder folder_;
  std::filesystem::path model_path_ = folder_.path() / "synthetic.gguf";
  std::unique_ptr<test_cluster> cluster_;
  digest model_;
  std::unique_ptr<hostile_source> source_;
};

TEST_F(hole_12, a_block_that_its_author_did_not_compute_changes_no_answer) {
  join(1, false);
  source_->claim_all();
  ASSERT_TRUE(cluster_->wait_until(
      [&] { return cluster_->ask(1, "cache").at("peers").at("members").size() == 1; }));
  std::uint64_t refused = 0;
  // Again where the machine was so busy that the block came too late to be looked at.
  for (std::uint32_t number = 1; number < 20 && refused == 0; ++number) {
    const std::vector<token_id> tokens = prompt(number);
    const apps::json computed = ask(request(tokens, "off"));
    source_->answer_with(tokens);
    const apps::json told = ask(request(tokens));
    ASSERT_EQ(told.at("transcript"), computed.at("transcript"))
        << "of " << told.at("units").at("peer")
        << " units that a member sent, which nobody computed";
    ASSERT_EQ(told.at("tokens"), computed.at("tokens"));
    refused = cluster_->ask(1, "cache").at("peers").at("wrong_blocks").get<std::uint64_t>();
    if (refused == 0) {
      (void)cluster_->wait_until([&] {
        return cluster_->ask(1, "cache").at("peers").at("members").at(0).at("fault").is_null();
      });
    }
  }
  EXPECT_GT(refused, 0U) << "it was asked for " << source_->asked();
  const apps::json cache = cluster_->ask(1, "cache");
  EXPECT_EQ(cache.at("units").at("peer"), 0);
}

// The stage that was opened for one request of an owner tries every name it can make of what it was
// sent, of a request whose first window is the same.
TEST_F(hole_12, a_stage_of_one_request_learns_no_names_of_another_of_its_owner) {
  std::vector<token_id> second = prompt(1);
  second[40] += 1;
  const std::vector<digest> known = prefixes_of(prompt(1));
  const std::vector<digest> other = prefixes_of(second);
  join(0, true);
  join(1, true);
  {
    cluster_shell worker = cluster_->shell({1});
    static_cast<void>(worker.data("unload synthetic.gguf"));
  }
  apps::json first = request(prompt(1));
  first["wait"] = false;
  EXPECT_EQ(failure_text(cluster_->shell({0}).call("run", first)), "");
  const bytes sent = source_->opened();
  ASSERT_FALSE(sent.empty()) << "it was given no stage";
  source_->advertise(false);
  {
    cluster_shell worker = cluster_->shell({1});
    static_cast<void>(worker.data(fmt::format("load {} --first 0 --last 7", model_path_.string())));
  }
  EXPECT_EQ(failure_text(cluster_->shell({0}).call("attach", {{"request", first.at("request")}})),
            "");
  static_cast<void>(ask(request(second)));
  std::vector<digest> of_the_first;
  std::vector<digest> of_the_second;
  for (std::size_t at = 0; at + digest::size <= sent.size(); at += 8) {
    const digest s = digest_at(sent, at);
    of_the_first.push_back(unit_of(model_, 0, s));
    of_the_first.push_back(salted("ovir/store/v1/private-key", s, unit_of(model_, 0, known[1])));
    of_the_second.push_back(salted("ovir/store/v1/private-key", s, unit_of(model_, 0, other[1])));
    of_the_second.push_back(unit_of(model_, 0, salted("ovir/prefix/v1/name", s, other[1])));
    of_the_second.push_back(
        unit_of(model_, 0, window_of(s, std::span{second}.subspan(window, window))));
  }
  const auto [address, id] = at(1);
  EXPECT_EQ(source_->ask_for(address, id, of_the_second), 0U)
      << "blocks of a prompt that it was never told of";
  EXPECT_EQ(source_->ask_for(address, id, of_the_first), prefix_windows)
      << "blocks of the prompt whose names it was sent";
}

} // namespace
} // namespace ovir::test
