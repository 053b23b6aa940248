// Inputs of windows between two nodes: asked for by name, over the connections for blocks.
#include "actors/reuse/block_exchange_actor.hpp"
#include "actors/runtime/simulated_executor_actor.hpp"
#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {
namespace {

class deaf_log final : public log {
public:
  void write(log_level, std::optional<request_id>, std::string_view) override {}
  [[nodiscard]] log_level level() const noexcept override { return log_level::error; }
  void set_level(log_level) noexcept override {}
};

class joined_node;

/// Bulk connections between nodes of one test. What they say arrives when the test says so.
struct joined_wires {
  std::deque<std::function<void()>> events;
  std::map<std::string, joined_node*> nodes;                                  ///< by address
  std::map<connection_id, std::pair<joined_node*, joined_node*>> connections; ///< by whom, to whom
  std::uint64_t begun{0};
};

/// A node as far as its blocks go.
class joined_node final : public network {
public:
  joined_node(caf::actor_system& system, joined_wires& wires, std::uint8_t name, role as,
              storage::env& env)
      : address_(1, static_cast<char>('a' + name)), wires_(wires), front_(system),
        access_(access_list::load(env, {}).value()),
        links_(node_id{}, *access_, log_, [] { return 0U; }),
        tiers_(std::make_shared<cache_tiers>(1U << 20U, nullptr, env)) {
    id_.key[0] = name;
    roles_.add(as);
    wires_.nodes[address_] = this;
    exchange_ = system.spawn(exchange_behavior, exchange_environment{id_, &links_, &log_, &env,
                                                                     tiers_, &front_, nullptr});
    peers::receivers receivers;
    receivers.blocks = exchange_;
    links_.use(receivers);
    links_.use(this);
  }
  ~joined_node() override {
    links_.use(nullptr);
    links_.forget_actors();
    caf::anon_send_exit(exchange_, caf::exit_reason::kill);
  }
  joined_node(const joined_node&) = delete;
  joined_node& operator=(const joined_node&) = delete;

  connection_id connect(const std::string& address, channel kind, const node_id&) override {
    const connection_id made{++wires_.begun};
    joined_node* const to = wires_.nodes.at(address);
    EXPECT_EQ(kind, channel::bulk);
    wires_.connections[made] = {this, to};
    wires_.events.emplace_back([this, to, made] {
      to->links_.connected(told_of(made));
      links_.connected(to->told_of(made));
    });
    return made;
  }
  result<void> send(connection_id connection, message_kind kind, std::uint32_t target,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override {
    const auto ends = wires_.connections.find(connection);
    if (ends == wires_.connections.end()) {
      return fail(errc::peer_lost, "it is over");
    }
    joined_node* const to = ends->second.first == this ? ends->second.second : ends->second.first;
    if (!mute) {
      wires_.events.emplace_back([this, to, connection, kind, target, bytes = std::move(bytes)] {
        to->links_.received(told_of(connection), kind, target, bytes);
      });
    }
    return {};
  }
  void close(connection_id connection, error reason) override {
    const auto ends = wires_.connections.find(connection);
    if (ends == wires_.connections.end()) {
      return;
    }
    const auto [one, other] = ends->second;
    wires_.connections.erase(ends);
    wires_.events.emplace_back([one = one, other = other, connection, reason] {
      one->links_.closed(other->told_of(connection), reason);
      other->links_.closed(one->told_of(connection), reason);
    });
  }

  /// It is linked with this member, or no longer.
  void link(const joined_node& with, bool up) const {
    member m;
    m.node = with.id_;
    m.advert.address = with.address_;
    caf::anon_send(exchange_, members_changed{std::make_shared<const std::vector<member>>(1, m)});
    caf::anon_send(exchange_, link_changed{with.id_, up, up ? "" : "gone", true});
  }
  [[nodiscard]] const node_id& id() const { return id_; }
  [[nodiscard]] cache_tiers& tiers() { return *tiers_; }
  [[nodiscard]] const caf::actor& exchange() const { return exchange_; }

  bool mute{false}; ///< what it sends is lost

private:
  [[nodiscard]] peer_info told_of(connection_id connection) const {
    const auto ends = wires_.connections.find(connection);
    const bool began = ends != wires_.connections.end() && ends->second.first == this;
    return {connection, id_, channel::bulk, roles_, address_, began, 0};
  }

  node_id id_;
  role_set roles_;
  std::string address_;
  joined_wires& wires_;
  simulated_executor front_;
  deaf_log log_;
  std::unique_ptr<access_list> access_;
  peers links_;
  std::shared_ptr<cache_tiers> tiers_;
  caf::actor exchange_;
};

constexpr std::size_t piece_bytes = 3'000;

digest piece_name(std::uint32_t number) {
  return hasher{"ovir/test/piece"}.update_u32(number).finish();
}

class input_fetch : public ::testing::Test {
protected:
  input_fetch() {
    hold_inputs held;
    for (std::uint32_t i = 0; i < 300; ++i) { // more than one question asks for
      held.inputs.emplace_back(piece_name(i), std::make_shared<const std::vector<std::byte>>(
                                                  piece_bytes, static_cast<std::byte>(i)));
    }
    worker_->tiers().hold(held);
  }
  ~input_fetch() override {
    worker_.reset();
    asker_.reset();
    scheduler_.run();
  }

  void run() {
    scheduler_.run();
    while (!wires_.events.empty()) {
      const auto event = std::move(wires_.events.front());
      wires_.events.pop_front();
      event();
      scheduler_.run();
    }
  }
  /// The first of them, by what the asker wants of `source`.
  void ask(const node_id& source, std::uint32_t pieces) {
    fetch_inputs wanted{source, {}};
    for (std::uint32_t i = 0; i < pieces; ++i) {
      wanted.inputs.push_back({piece_name(i), piece_bytes});
    }
    fetched_.reset();
    system_.spawn([this, wanted](caf::event_based_actor* self) {
      self->request(asker_->exchange(), caf::infinite, wanted)
          .then([this](const inputs_fetched& told) { fetched_ = told.bytes; });
    });
    run();
  }
  [[nodiscard]] std::size_t came() const {
    return static_cast<std::size_t>(
        std::count_if(fetched_.value().begin(), fetched_.value().end(),
                      [](const auto& bytes) { return bytes != nullptr; }));
  }
  void become(role as) {
    asker_.reset();
    scheduler_.run();
    asker_ = std::make_unique<joined_node>(system_, wires_, std::uint8_t{2}, as, *env_);
  }

  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  system_config config_{system_config::simulated()};
  caf::actor_system system_{config_};
  caf::scheduler::test_coordinator& scheduler_ =
      dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  joined_wires wires_;
  std::unique_ptr<joined_node> worker_ =
      std::make_unique<joined_node>(system_, wires_, std::uint8_t{1}, role::worker, *env_);
  std::unique_ptr<joined_node> asker_ =
      std::make_unique<joined_node>(system_, wires_, std::uint8_t{2}, role::verifier, *env_);
  std::optional<std::vector<input_fetch_core::bytes_pointer>> fetched_;
};

TEST_F(input_fetch, a_verifier_gets_from_a_worker_what_that_has) {
  asker_->link(*worker_, true);
  ask(worker_->id(), 301);
  ASSERT_TRUE(fetched_);
  ASSERT_EQ(fetched_->size(), 301U);
  EXPECT_EQ(came(), 300U);
  EXPECT_EQ((*fetched_)[300], nullptr);
  for (std::uint32_t i = 0; i < 300; ++i) {
    ASSERT_EQ((*fetched_)[i]->at(0), static_cast<std::byte>(i));
  }
  EXPECT_EQ(wires_.begun, 1U);
  ask(worker_->id(), 2);
  EXPECT_EQ(came(), 2U);
  EXPECT_EQ(wires_.begun, 1U) << "the connection serves again";
  EXPECT_EQ(worker_->tiers().report().inputs_served, 302U);
}

TEST_F(input_fetch, what_is_here_is_looked_up_here) {
  asker_->tiers().hold(
      {{{piece_name(1), std::make_shared<const std::vector<std::byte>>(piece_bytes, std::byte{7})},
        {piece_name(2),
         std::make_shared<const std::vector<std::byte>>(piece_bytes + 1, std::byte{7})}}});
  ask(asker_->id(), 3);
  ASSERT_TRUE(fetched_);
  EXPECT_EQ((*fetched_)[0], nullptr);
  EXPECT_NE((*fetched_)[1], nullptr);
  EXPECT_EQ((*fetched_)[2], nullptr) << "it has another size";
  EXPECT_EQ(wires_.begun, 0U);
}

TEST_F(input_fetch, of_who_is_not_linked_nothing_comes_at_once) {
  ask(worker_->id(), 2);
  ASSERT_TRUE(fetched_);
  EXPECT_EQ(fetched_->size(), 2U);
  EXPECT_EQ(came(), 0U);
}

TEST_F(input_fetch, a_source_that_goes_away_leaves_no_one_waiting) {
  asker_->link(*worker_, true);
  ask(worker_->id(), 1);
  EXPECT_EQ(came(), 1U);
  worker_->mute = true;
  ask(worker_->id(), 2);
  EXPECT_FALSE(fetched_);
  worker_->close(wires_.connections.begin()->first, {errc::peer_lost, "its process ended"});
  run();
  ASSERT_TRUE(fetched_);
  EXPECT_EQ(came(), 0U);
  // And when it is no member any more.
  ask(worker_->id(), 2);
  EXPECT_FALSE(fetched_);
  asker_->link(*worker_, false);
  run();
  ASSERT_TRUE(fetched_);
  EXPECT_EQ(came(), 0U);
  // It comes back.
  worker_->mute = false;
  asker_->link(*worker_, true);
  ask(worker_->id(), 2);
  EXPECT_EQ(came(), 2U);
}

TEST_F(input_fetch, a_keeper_gets_what_it_examines_convictions_with) {
  become(role::ledger);
  asker_->link(*worker_, true);
  ask(worker_->id(), 301);
  ASSERT_TRUE(fetched_);
  EXPECT_EQ(came(), 300U);
  EXPECT_EQ(worker_->tiers().report().inputs_served, 300U);
}

TEST_F(input_fetch, members_that_neither_compute_nor_audit_get_nothing) {
  become(role::store);
  asker_->link(*worker_, true);
  ask(worker_->id(), 2);
  ASSERT_TRUE(fetched_);
  EXPECT_EQ(came(), 0U);
  EXPECT_EQ(worker_->tiers().report().inputs_served, 0U);
  EXPECT_TRUE(wires_.connections.empty()) << "it was hung up on";
  become(role::scheduler);
  asker_->link(*worker_, true);
  ask(worker_->id(), 2);
  EXPECT_EQ(came(), 2U);
}

} // namespace
} // namespace ovir::actors
