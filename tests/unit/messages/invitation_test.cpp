#include "messages/invitation.hpp"
#include "messages/limits/invitations.hpp"
#include "messages/swarm_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ovir {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t invited_at = 1'000'000;
constexpr std::array<std::byte, 16> one_nonce{std::byte{1}};

secret_key guest_key(std::uint8_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = std::byte{value};
  return secret_key::from_seed(seed);
}

role_set worker_and_scheduler() { return role_set{}.add(role::worker).add(role::scheduler); }

invitation some_invitation() {
  return issue_invitation(guest_key(1), guest_key(2).id(), worker_and_scheduler(), invited_at + 60,
                          3);
}

shown_token some_shown(role_set roles = role_set{}.add(role::worker)) {
  return accept_invitation(guest_key(2), some_invitation(), guest_key(3).id(), roles, one_nonce);
}

TEST(invitation, and_a_token_by_it_come_back_as_they_were) {
  const invitation made = some_invitation();
  EXPECT_EQ(to_bytes(made).size(), limits::invitation_bytes);
  EXPECT_EQ(invitation_from_bytes(to_bytes(made)).value(), made);
  const shown_token shown = some_shown();
  EXPECT_EQ(to_bytes(shown).size(), limits::shown_token_bytes_max);
  EXPECT_EQ(shown_token_from_bytes(to_bytes(shown)).value(), shown);
  EXPECT_EQ(shown_token_from_text(to_text(shown)).value(), shown);
  EXPECT_EQ(shown.admin(), guest_key(1).id());
  EXPECT_TRUE(check(shown, invited_at));
}

TEST(invitation, a_token_of_an_admin_is_shown_as_it_always_was) {
  const shown_token plain{issue_token(guest_key(1), guest_key(3).id(), worker_and_scheduler(),
                                      invited_at + 60, one_nonce)};
  EXPECT_EQ(to_bytes(plain), to_bytes(plain.token));
  EXPECT_EQ(to_text(plain), to_text(plain.token));
  EXPECT_EQ(shown_token_from_text(to_text(plain)).value(), plain);
  EXPECT_EQ(plain.admin(), guest_key(1).id());
  EXPECT_TRUE(check(plain, invited_at));
  EXPECT_FALSE(check(plain, invited_at + 60));
}

TEST(invitation, counts_neither_changed_nor_after_its_end_nor_beyond_its_roles) {
  EXPECT_FALSE(check(some_shown(), invited_at + 60));
  EXPECT_TRUE(check(some_shown(worker_and_scheduler()), invited_at));
  const auto more = check(some_shown(worker_and_scheduler().add(role::verifier)), invited_at);
  ASSERT_FALSE(more);
  EXPECT_THAT(more.error().message, HasSubstr("join with fewer roles"));
  const std::vector<std::byte> bytes = to_bytes(some_shown());
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::vector<std::byte> changed = bytes;
    changed[at] ^= std::byte{1};
    const auto read = shown_token_from_bytes(changed);
    EXPECT_FALSE(read && check(*read, invited_at) && read->admin() == guest_key(1).id()) << at;
  }
}

TEST(invitation, is_no_leave_for_its_own_key_and_makes_no_further_one) {
  const shown_token own = accept_invitation(guest_key(2), some_invitation(), guest_key(2).id(),
                                            role_set{}.add(role::worker), one_nonce);
  EXPECT_FALSE(check(own, invited_at)) << "it could not be revoked";
  // An invitation that an invitation's key signs is of an admin that no node has.
  const invitation further =
      issue_invitation(guest_key(2), guest_key(4).id(), worker_and_scheduler(), invited_at + 60, 3);
  const shown_token by_further = accept_invitation(guest_key(4), further, guest_key(3).id(),
                                                   role_set{}.add(role::worker), one_nonce);
  EXPECT_EQ(by_further.admin(), guest_key(2).id());
}

TEST(invitation, a_token_without_roles_by_an_admin_revokes_and_by_an_invitation_does_not) {
  const shown_token revoked{issue_revocation(guest_key(1), guest_key(2).id(), one_nonce)};
  EXPECT_TRUE(is_revocation(revoked));
  EXPECT_TRUE(check(revoked, invited_at));
  EXPECT_FALSE(is_revocation(some_shown()));
  EXPECT_FALSE(is_revocation(some_shown({})));
}

TEST(invitation, with_values_outside_their_bounds_is_malformed) {
  const std::vector<std::byte> good = to_bytes(some_invitation());
  for (const std::size_t uses_at : {std::size_t{46}, std::size_t{48}}) {
    std::vector<std::byte> bytes = good;
    std::fill_n(bytes.begin() + 46, 4, std::byte{0});
    bytes[uses_at] = uses_at == 46 ? std::byte{0} : std::byte{1};
    EXPECT_FALSE(invitation_from_bytes(bytes)) << uses_at;
  }
  for (const std::byte roles : {std::byte{0}, std::byte{0x40}}) {
    std::vector<std::byte> bytes = good;
    bytes[36] = roles;
    EXPECT_FALSE(invitation_from_bytes(bytes));
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(invitation_from_bytes(std::span{good}.first(size)));
  }
}

TEST(invitation, texts_of_other_forms_are_refused_without_being_quoted) {
  const std::string good = to_text(some_shown());
  for (std::size_t cut = 0; cut < good.size(); ++cut) {
    const auto read = shown_token_from_text(good.substr(0, cut));
    ASSERT_FALSE(read) << cut;
    EXPECT_EQ(read.error().message.find(good.substr(20, 12)), std::string::npos);
  }
  std::string padded = good;
  padded.back() = '=';
  EXPECT_FALSE(shown_token_from_text(padded));
  EXPECT_FALSE(shown_token_from_text(good + "A"));
}

TEST(invitation, a_line_by_it_comes_back_and_names_the_swarm) {
  const swarm_line line{{"a.example:7300"}, guest_key(2), {}, {}, 256, some_invitation()};
  const std::string text = to_text(line);
  EXPECT_THAT(text, HasSubstr("/ovir-invite-"));
  const auto read = swarm_line_from(text);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->by, line.by);
  EXPECT_EQ(read->swarm(), guest_key(1).id());
  EXPECT_EQ(to_text(*read), text);
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    EXPECT_FALSE(swarm_line_from(text.substr(0, cut))) << cut;
  }
  const swarm_line plain{{"a.example:7300"}, guest_key(1), {}, {}, 256};
  EXPECT_EQ(plain.swarm(), guest_key(1).id());
}

TEST(invitation, a_line_with_the_secret_of_another_invitation_is_damaged) {
  const invitation other =
      issue_invitation(guest_key(1), guest_key(5).id(), worker_and_scheduler(), invited_at + 60, 3);
  const std::string mine =
      to_text(swarm_line{{"a.example:7300"}, guest_key(2), {}, {}, 256, some_invitation()});
  const std::string theirs =
      to_text(swarm_line{{"a.example:7300"}, guest_key(5), {}, {}, 256, other});
  // Seed, model, keeper and context are the first 104 bytes; 102 of them are 136 whole digits.
  const std::size_t begin = mine.find("ovir-invite-") + 12;
  const std::string mixed = mine.substr(0, begin + 136) + theirs.substr(begin + 136);
  EXPECT_FALSE(swarm_line_from(mixed));
}

} // namespace
} // namespace ovir
