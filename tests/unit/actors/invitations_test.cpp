// What nodes let in by invitations: uses, ends, revocations, and what members tell each other.
#include "actors/link/access_list.hpp"
#include "messages/limits/general.hpp"
#include "storage/env/memory_env.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::actors {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint64_t party = 1'000'000;
constexpr std::uint64_t party_end = party + 600;

secret_key key_numbered(std::uint32_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = static_cast<std::byte>(value);
  seed[1] = static_cast<std::byte>(value >> 8U);
  seed[2] = std::byte{1};
  return secret_key::from_seed(seed);
}

std::array<std::byte, 16> nonce_of(std::uint8_t value) {
  std::array<std::byte, 16> nonce{};
  nonce.fill(std::byte{value});
  return nonce;
}

class invitations : public ::testing::Test {
protected:
  invitations() {
    settings_.admins = {admin_.id()};
    settings_.path = "admissions";
    restart();
  }
  void restart() {
    auto loaded = access_list::load(env_, settings_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    list_ = std::move(*loaded);
  }
  [[nodiscard]] invitation invite(std::uint32_t uses, std::uint32_t key = 2,
                                  std::uint64_t end = party_end) const {
    return issue_invitation(admin_, key_numbered(key).id(), worker_, end, uses);
  }
  [[nodiscard]] peer_hello guest(std::uint32_t number, const invitation& by, std::uint8_t nonce = 1,
                                 std::uint32_t key = 2) const {
    peer_hello h;
    h.node = key_numbered(number).id();
    h.roles = worker_;
    h.kind = channel::control;
    h.token = to_bytes(accept_invitation(key_numbered(key), by, h.node, worker_, nonce_of(nonce)));
    h.token_bound = true;
    return h;
  }
  std::string refusal(const peer_hello& h, std::uint64_t at = party) {
    const auto admitted = list_->admit(h, at);
    return admitted ? "" : admitted.error().message;
  }
  [[nodiscard]] std::vector<std::byte> revocation(std::uint32_t key = 2) const {
    return to_bytes(shown_token{issue_revocation(admin_, key_numbered(key).id(), nonce_of(9))});
  }

  const role_set worker_ = role_set{}.add(role::worker);
  secret_key admin_ = key_numbered(1);
  storage::memory_env env_;
  access_list::settings settings_;
  std::unique_ptr<access_list> list_;
};

TEST_F(invitations, let_in_as_many_nodes_as_they_say_also_over_restarts) {
  const invitation by = invite(2);
  EXPECT_EQ(refusal(guest(10, by)), "");
  EXPECT_EQ(refusal(guest(10, by)), "") << "the same node again takes no further use";
  EXPECT_EQ(refusal(guest(10, by, 5)), "") << "nor by another token";
  restart();
  EXPECT_EQ(refusal(guest(11, by)), "");
  restart();
  EXPECT_THAT(refusal(guest(12, by)), HasSubstr("is used up (2 of 2"));
  EXPECT_EQ(refusal(guest(10, by)), "") << "who is in stays in";
  EXPECT_EQ(list_->roles_of(key_numbered(11).id()), worker_);
  EXPECT_TRUE(list_->roles_of(key_numbered(12).id()).empty());
  ASSERT_EQ(list_->invitations().size(), 1U);
  EXPECT_EQ(list_->invitations()[0].used, 2U);
  EXPECT_EQ(list_->invitations()[0].what, by);
}

TEST_F(invitations, a_kicked_guest_takes_its_use_with_it_and_returns_by_no_token_of_it) {
  const invitation by = invite(1);
  ASSERT_EQ(refusal(guest(10, by)), "");
  ASSERT_TRUE(list_->kick(key_numbered(10).id()));
  EXPECT_NE(refusal(guest(10, by)), "");
  EXPECT_NE(refusal(guest(10, by, 5)), "") << "a token that it signed for itself since";
  EXPECT_NE(refusal(guest(10, invite(5, 3), 5, 3)), "") << "nor another invitation's";
  EXPECT_NE(refusal(guest(11, by)), "");
  peer_hello pardoned = guest(10, by);
  pardoned.token = to_bytes(issue_token(admin_, pardoned.node, worker_, party_end, nonce_of(7)));
  EXPECT_EQ(refusal(pardoned), "");
}

TEST_F(invitations, a_guest_that_signs_tokens_for_itself_without_end_is_remembered_once) {
  const invitation by = invite(1);
  for (int i = 1; i < 200; ++i) {
    ASSERT_EQ(refusal(guest(10, by, static_cast<std::uint8_t>(i))), "");
  }
  const std::string kept = env_.read("admissions", 1U << 20U).value();
  EXPECT_EQ(std::count(kept.begin(), kept.end(), '\n'), 2);
}

TEST_F(invitations, end_at_their_time_and_keep_whom_they_let_in) {
  const invitation by = invite(5);
  ASSERT_EQ(refusal(guest(10, by)), "");
  EXPECT_THAT(refusal(guest(11, by), party_end), HasSubstr("expired"));
  EXPECT_EQ(refusal(guest(10, by), party_end), "");
}

TEST_F(invitations, of_others_than_admins_and_with_more_roles_let_no_one_in) {
  const invitation forged =
      issue_invitation(key_numbered(7), key_numbered(2).id(), worker_, party_end, 5);
  EXPECT_THAT(refusal(guest(10, forged)), HasSubstr("no admin here"));
  invitation named = forged;
  named.admin = admin_.id();
  EXPECT_THAT(refusal(guest(10, named)), HasSubstr("signature"));
  peer_hello greedy = guest(10, invite(5));
  greedy.roles.add(role::scheduler);
  EXPECT_THAT(refusal(greedy), HasSubstr("may be worker"));
  peer_hello stolen = guest(10, invite(5));
  stolen.node = key_numbered(11).id();
  EXPECT_NE(refusal(stolen), "");
  // By the secret of another invitation
  peer_hello other = guest(10, invite(5));
  other.token = to_bytes(shown_token{
      issue_token(key_numbered(3), other.node, worker_, party_end, nonce_of(1)), invite(5)});
  EXPECT_NE(refusal(other), "");
  EXPECT_THAT(list_->invitations(), IsEmpty());
}

TEST_F(invitations, that_are_revoked_let_no_one_in_and_no_one_out_also_after_a_restart) {
  const invitation by = invite(5);
  ASSERT_EQ(refusal(guest(10, by)), "");
  ASSERT_TRUE(list_->show(revocation(), party));
  ASSERT_TRUE(list_->show(revocation(), party)) << "twice is as once";
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(refusal(guest(11, by)), HasSubstr("was revoked"));
    EXPECT_EQ(refusal(guest(10, by)), "");
    ASSERT_EQ(list_->invitations().size(), 1U);
    EXPECT_TRUE(list_->invitations()[0].revoked);
    EXPECT_FALSE(list_->was_member(by.key));
    restart();
  }
}

TEST_F(invitations, are_revoked_by_admins_alone_and_members_by_no_revocation) {
  const invitation by = invite(5);
  ASSERT_EQ(refusal(guest(10, by)), "");
  const auto strange =
      to_bytes(shown_token{issue_revocation(key_numbered(7), by.key, nonce_of(9))});
  EXPECT_EQ(list_->show(strange, party).error().code, errc::not_found);
  std::vector<std::byte> forged = strange;
  const auto real = revocation();
  std::copy_n(real.begin() + 62, 32, forged.begin() + 62); // the admin's key, not its signature
  EXPECT_EQ(list_->show(forged, party).error().code, errc::invalid_argument);
  EXPECT_EQ(refusal(guest(11, by)), "");
  // An old one of a key that became a member is played again.
  ASSERT_TRUE(list_->show(revocation(20), party));
  peer_hello member = guest(20, by);
  member.token = to_bytes(issue_token(admin_, member.node, worker_, party_end, nonce_of(3)));
  ASSERT_EQ(refusal(member), "");
  EXPECT_FALSE(list_->show(revocation(20), party));
  EXPECT_EQ(list_->roles_of(member.node), worker_);
  settings_.keys[key_numbered(22).id()] = worker_;
  restart();
  EXPECT_FALSE(list_->show(revocation(22), party));
  EXPECT_EQ(list_->roles_of(key_numbered(22).id()), worker_);
  // A node that shows a revocation as its leave
  peer_hello odd = guest(21, by);
  odd.token = revocation(21);
  EXPECT_NE(refusal(odd), "");
}

TEST_F(invitations, uses_that_other_members_tell_count_and_are_bounded_likewise) {
  const invitation by = invite(2);
  ASSERT_TRUE(list_->show(guest(10, by).token, party));
  ASSERT_TRUE(list_->show(guest(10, by).token, party));
  EXPECT_EQ(refusal(guest(11, by)), "");
  EXPECT_EQ(list_->show(guest(12, by).token, party).error().code, errc::over_limit);
  EXPECT_NE(refusal(guest(13, by)), "");
  EXPECT_EQ(refusal(guest(10, by)), "") << "told of before it came";
  EXPECT_TRUE(list_->roles_of(key_numbered(12).id()).empty());
  EXPECT_FALSE(list_->was_member(key_numbered(12).id()));
}

TEST_F(invitations, a_key_known_by_an_expired_token_still_takes_a_use) {
  const invitation by = invite(1);
  ASSERT_EQ(refusal(guest(10, by)), "");
  const node_id late = key_numbered(11).id();
  ASSERT_TRUE(
      list_->show(to_bytes(issue_token(admin_, late, worker_, party - 1, nonce_of(4))), party));
  ASSERT_TRUE(list_->roles_of(late).empty());
  EXPECT_NE(refusal(guest(11, by)), "");
  EXPECT_FALSE(list_->show(guest(11, by).token, party));
  EXPECT_TRUE(list_->roles_of(late).empty());
}

TEST_F(invitations, are_told_to_others_once_and_those_know_the_guests_also_after_the_end) {
  const invitation by = invite(5);
  const invitation short_one = invite(5, 3, party + 10);
  peer_hello member = guest(20, by);
  member.token = to_bytes(issue_token(admin_, member.node, worker_, party_end, nonce_of(3)));
  ASSERT_EQ(refusal(member), "");
  ASSERT_EQ(refusal(guest(11, short_one, 1, 3)), "");
  ASSERT_EQ(refusal(guest(10, by)), "");
  ASSERT_TRUE(list_->show(revocation(), party));
  std::size_t at = 0;
  EXPECT_THAT(list_->notices(at, 2), ::testing::SizeIs(2));
  EXPECT_EQ(list_->notices(at, 8), (std::vector<std::vector<std::byte>>{revocation()}));
  EXPECT_THAT(list_->notices(at, 8), IsEmpty());
  restart();
  at = 0;
  const auto told = list_->notices(at, 8);
  ASSERT_EQ(told.size(), 3U);
  EXPECT_EQ(told.back(), revocation()) << "behind the guests that came before it";
  // A node that joins when both have ended hears it.
  storage::memory_env other_env;
  const auto other = access_list::load(other_env, settings_).value();
  for (const auto& token : told) {
    EXPECT_TRUE(other->show(token, 0));
  }
  EXPECT_EQ(other->invitations().size(), 2U);
  EXPECT_FALSE(other->admit(guest(12, by), party));
  EXPECT_FALSE(other->admit(guest(12, short_one, 1, 3), party_end));
  EXPECT_TRUE(other->admit(guest(10, by), party_end));
  EXPECT_TRUE(other->admit(guest(11, short_one, 1, 3), party_end));
}

} // namespace
} // namespace ovir::actors
