// Join tokens in the wrong hands, of another time, or for more than they say.
#include "tests/hostile/hostile_node.hpp"

#include <gmock/gmock.h>

namespace ovir::test {
namespace {

using testing::HasSubstr;

class hostile_guest : public hostile_node {
protected:
  static constexpr std::uint8_t guest = attacker::guest;

  /// A way in, and what a token may make of who takes it.
  struct door {
    std::string port;
    std::uint16_t channel{1};
    role_set may;
    std::uint16_t wants{1};  ///< just that
    std::uint16_t greedy{3}; ///< that and more
  };
  [[nodiscard]] std::vector<door> doors() const {
    const role_set work = role_set{}.add(role::worker);
    return {{listen(front), 1, work, 1, 3},
            {listen(front), 2, work, 1, 3},
            {admin_port(front), 3, role_set{}.add(role::reader), 0x100, 0x200}};
  }

  hostile_hello with_token(const door& at, const secret_key& by, std::uint8_t key,
                           std::uint64_t until) {
    std::array<std::byte, 16> nonce{};
    nonce.fill(static_cast<std::byte>(++nonces_));
    hostile_hello hello = hello_as(at.channel, at.wants);
    hello.token = to_bytes(issue_token(by, attacker_key(key).id(), at.may, until, nonce));
    return hello;
  }
  hostile_hello good(const door& at) { return with_token(at, issuer_, guest, soon_); }

  void be_known(hostile_member& guest_links) {
    actors::node_advert advert;
    advert.name = "guest";
    advert.address = "nobody.invalid:1";
    advert.roles.add(role::worker);
    ASSERT_TRUE(guest_links.gossip(actors::encode_gossip(
        {actors::news{}, {actors::sign_advert(attacker_key(guest), 1, advert)}})));
  }

  secret_key issuer_ = attacker_key(attacker::issuer);
  std::uint64_t now_ = storage::make_env_posix()->unix_seconds();
  std::uint64_t soon_ = now_ + 600;

private:
  std::uint8_t nonces_{0};
};

TEST_F(hostile_guest, shows_tokens_that_do_not_count_at_any_port) {
  for (const door& at : doors()) {
    const auto answer = [&](const hostile_hello& hello) { return verdict(at.port, guest, hello); };
    EXPECT_THAT(answer(with_token(at, issuer_, guest, now_ - 1)), HasSubstr("expired"));
    EXPECT_THAT(answer(with_token(at, issuer_, attacker::stranger, soon_)), HasSubstr("is for"));
    EXPECT_THAT(answer(with_token(at, attacker_key(guest), guest, soon_)),
                HasSubstr("no admin here"));
    EXPECT_THAT(answer(with_token(at, attacker_key(attacker::worker), guest, soon_)),
                HasSubstr("no admin here"));
    hostile_hello greedy = good(at);
    greedy.roles = at.greedy;
    EXPECT_THAT(answer(greedy), HasSubstr("wants to be")) << "more than it says";
    hostile_hello cut = good(at);
    cut.token.pop_back();
    EXPECT_NE(answer(cut), "");
    for (const std::size_t byte : {0U, 20U, 60U, 100U}) {
      hostile_hello changed = good(at);
      changed.token.at(byte) ^= std::byte{1};
      EXPECT_NE(answer(changed), "") << byte;
    }
    // A signature made for one connection is none for another.
    hostile_hello moved = good(at);
    moved.binding = shaken(at.port, guest).bind(moved.token);
    EXPECT_THAT(answer(moved), HasSubstr("not bound to this connection"));
    EXPECT_THAT(answer(hello_as(at.channel, at.wants)), HasSubstr("is not allowed here"));
  }
  // A member's token is none for a shell, nor a shell's for a member.
  const std::vector<door> all = doors();
  hostile_hello crossed = good(all.front());
  crossed.channel = 3;
  crossed.roles = 0x100;
  EXPECT_NE(verdict(all.back().port, guest, crossed), "");
  crossed = good(all.back());
  crossed.channel = 1;
  EXPECT_NE(verdict(all.front().port, guest, crossed), "");
  crossed.roles = 0x100;
  EXPECT_NE(verdict(all.front().port, guest, crossed), "");
  expect_service();
}

TEST_F(hostile_guest, opens_with_a_token_that_opens_for_nobody_else) {
  for (const door& at : doors()) {
    const hostile_hello right = good(at);
    hostile_peer first = shaken(at.port, guest);
    ASSERT_EQ(first.introduce(right), std::string{});
    // The thief saw everything, the signature included.
    hostile_hello overheard = right;
    EXPECT_THAT(verdict(at.port, attacker::stranger, overheard), HasSubstr("is for"));
    overheard.binding = first.bind(right.token);
    EXPECT_THAT(verdict(at.port, attacker::stranger, overheard), HasSubstr("is for"));
    EXPECT_THAT(verdict(at.port, guest, overheard), HasSubstr("not bound to this connection"));
  }
  expect_service();
}

TEST_F(hostile_guest, is_kicked_and_comes_back_with_no_token_it_had) {
  const door control = doors()[0];
  const std::string& port = control.port;
  const hostile_hello first = good(control);
  const hostile_hello second = good(control);
  EXPECT_EQ(verdict(port, guest, first), "");
  hostile_hello data = second;
  data.channel = 2;
  hostile_member inside{shaken(port, guest), shaken(port, guest)};
  ASSERT_EQ(inside.control.introduce(second), std::string{});
  ASSERT_EQ(inside.data.introduce(data), std::string{});
  be_known(inside);
  auto admin = cluster_->shell({front});
  ASSERT_TRUE(cluster_->wait_until([&] { // as soon as it is a member
    return failure_text(admin.call("kick", {{"node", to_hex(attacker_key(guest).id())}})).empty();
  })) << cluster_->ask(front, "nodes").dump();
  EXPECT_TRUE(inside.control.waits_for_close());
  EXPECT_TRUE(inside.data.waits_for_close());
  EXPECT_THAT(verdict(port, guest, second), HasSubstr("was kicked"));
  EXPECT_THAT(verdict(port, guest, first), HasSubstr("was kicked"));
  EXPECT_THAT(verdict(port, guest, hello_as(1, 1)), HasSubstr("was kicked"));
  EXPECT_EQ(verdict(port, guest, good(control)), "") << "a new one";
  expect_service();
}

} // namespace
} // namespace ovir::test
