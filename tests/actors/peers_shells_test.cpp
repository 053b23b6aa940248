// A shell that asks while the actor that answers shells is not there, or is a new one, learns it:
// no question waits for an answer that cannot come.
#include "actors/protocol/peers_actor.hpp"
#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ovir::actors {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class noted_network final : public network {
public:
  connection_id connect(const std::string&, channel, const node_id&) override {
    return connection_id{};
  }
  result<void> send(connection_id, message_kind, std::uint32_t,
                    std::shared_ptr<const std::vector<std::byte>>) override {
    return {};
  }
  void close(connection_id connection, error reason) override {
    closed[connection] = std::move(reason);
  }
  std::map<connection_id, error> closed;
};

class peers_shells : public ::testing::Test {
protected:
  peers_shells()
      : config_(system_config::simulated()), system_(config_),
        scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())),
        access_(access_list::load(*env_, {}).value()),
        peers_(node_id{}, *access_, log_, [] { return std::uint64_t{0}; }) {
    peers_.use(&network_);
  }

  /// An actor that notes who asked.
  caf::actor answers(std::vector<connection_id>& asked) {
    return system_.spawn([&asked](caf::event_based_actor*) -> caf::behavior {
      return {[&asked](const admin_request& r) { asked.push_back(r.peer.connection); },
              [](const admin_closed&) {}};
    });
  }
  void ask(connection_id shell) {
    peer_info peer;
    peer.kind = channel::admin;
    peer.connection = shell;
    peers_.connected(peer);
    peers_.received(peer, message_kind::request, 0,
                    std::make_shared<const std::vector<std::byte>>());
    scheduler_.run();
  }

  system_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  null_log log_;
  std::unique_ptr<access_list> access_;
  noted_network network_;
  peers peers_;
};

TEST_F(peers_shells, who_asks_before_the_node_can_answer_is_told_to_ask_again) {
  ask(connection_id{1});
  ASSERT_TRUE(network_.closed.contains(connection_id{1}));
  EXPECT_EQ(network_.closed[connection_id{1}].code, errc::busy);
  EXPECT_THAT(network_.closed[connection_id{1}].message, HasSubstr("ask again"));
}

TEST_F(peers_shells, who_connected_before_the_node_could_answer_is_answered_after) {
  peer_info early;
  early.kind = channel::admin;
  early.connection = connection_id{1};
  peers_.connected(early);
  std::vector<connection_id> asked;
  peers::receivers actors;
  actors.admin = answers(asked);
  peers_.use(actors);
  peers_.received(early, message_kind::request, 0,
                  std::make_shared<const std::vector<std::byte>>());
  scheduler_.run();
  EXPECT_THAT(asked, ElementsAre(connection_id{1}));
  EXPECT_THAT(network_.closed, IsEmpty());
}

TEST_F(peers_shells, what_was_asked_of_an_actor_that_is_gone_is_asked_again) {
  std::vector<connection_id> first;
  std::vector<connection_id> second;
  peers::receivers actors;
  actors.admin = answers(first);
  peers_.use(actors);
  ask(connection_id{1});
  actors.admin = answers(second);
  peers_.use(actors);
  EXPECT_TRUE(network_.closed.contains(connection_id{1}));
  ask(connection_id{2});
  EXPECT_THAT(first, ElementsAre(connection_id{1}));
  EXPECT_THAT(second, ElementsAre(connection_id{2}));
  EXPECT_FALSE(network_.closed.contains(connection_id{2}));
}

TEST_F(peers_shells, none_is_let_in_while_no_answer_could_be_sent) {
  peer_hello hello;
  hello.kind = channel::admin;
  peers_.use(static_cast<network*>(nullptr));
  const auto early = peers_.admit(hello);
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, errc::busy);
  EXPECT_THAT(early.error().message, HasSubstr("ask again"));
  peers_.use(&network_);
  const auto unknown = peers_.admit(hello);
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().code, errc::busy) << unknown.error().message;
}

} // namespace
} // namespace ovir::actors
