#include "actors/link/access_list.hpp"
#include "apps/ovir/base/qr_text.hpp"
#include "apps/ovir/node/made_invitations.hpp"
#include "storage/env/memory_env.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::apps {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t monday = 1'000'000;

secret_key inviting_key(std::uint8_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = std::byte{value};
  return secret_key::from_seed(seed);
}

invitation made_for(std::uint8_t key, std::uint32_t uses, std::uint64_t end) {
  return issue_invitation(inviting_key(1), inviting_key(key).id(), role_set{}.add(role::worker),
                          end, uses);
}

TEST(made_invitations, are_listed_with_what_the_node_saw_of_them) {
  storage::memory_env env;
  ASSERT_TRUE(env.make_folder("up"));
  ASSERT_TRUE(keep_invitation(env, "up", made_for(2, 2, monday + 60), monday));
  ASSERT_TRUE(keep_invitation(env, "up", made_for(3, 1, monday + 600), monday));
  actors::access_list::settings how;
  how.admins = {inviting_key(1).id()};
  how.path = "up/admissions";
  const auto access = actors::access_list::load(env, how).value();
  const std::array<std::byte, 16> nonce{std::byte{5}};
  const auto use = [&](std::uint8_t key, std::uint8_t guest, std::uint32_t uses) {
    return access->show(
        to_bytes(accept_invitation(inviting_key(key), made_for(key, uses, monday + 60),
                                   inviting_key(guest).id(), role_set{}.add(role::worker), nonce)),
        monday);
  };
  ASSERT_TRUE(use(2, 10, 2));
  ASSERT_TRUE(use(4, 11, 1)); // of another machine
  ASSERT_TRUE(access->show(
      to_bytes(shown_token{issue_revocation(inviting_key(1), inviting_key(3).id(), nonce)}),
      monday));
  const auto known = known_invitations(env, "up").value();
  ASSERT_EQ(known.size(), 3U);
  const auto one = [&](std::uint8_t key) {
    return *std::find_if(known.begin(), known.end(), [&](const listed_invitation& l) {
      return l.key == inviting_key(key).id();
    });
  };
  EXPECT_EQ(one(2).used, 1U);
  EXPECT_EQ(one(2).uses, 2U);
  EXPECT_EQ(one(2).state(monday), "open");
  EXPECT_EQ(one(2).state(monday + 60), "expired");
  EXPECT_EQ(one(3).state(monday), "revoked");
  EXPECT_EQ(one(4).state(monday), "used up");
  const std::string key = to_hex(inviting_key(2).id());
  EXPECT_EQ(invitation_named(known, key.substr(0, 8)).value(), inviting_key(2).id());
  EXPECT_FALSE(invitation_named(known, key.substr(0, 3)));
  EXPECT_FALSE(invitation_named(known, "ffffffff"));
}

TEST(made_invitations, drop_the_expired_and_refuse_a_damaged_file) {
  storage::memory_env env;
  ASSERT_TRUE(env.make_folder("up"));
  ASSERT_TRUE(keep_invitation(env, "up", made_for(2, 2, monday + 60), monday));
  ASSERT_TRUE(keep_invitation(env, "up", made_for(3, 1, monday + 600), monday + 60));
  EXPECT_EQ(known_invitations(env, "up")->size(), 1U);
  const std::string text = env.read("up/invitations", 1U << 20U).value();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  const auto damaged = env.stage("up/invitations").value();
  const std::string other = "ovir-invitations-v1\n00\n";
  ASSERT_TRUE(damaged->append(std::as_bytes(std::span{other})));
  ASSERT_TRUE(damaged->commit());
  const auto known = known_invitations(env, "up");
  ASSERT_FALSE(known);
  EXPECT_THAT(known.error().message, HasSubstr("is damaged"));
}

/// Modules of a code as it is drawn: true where it is dark.
std::vector<std::vector<bool>> modules_of(const std::string& drawn) {
  std::vector<std::vector<bool>> rows;
  std::vector<bool> upper;
  std::vector<bool> lower;
  for (std::size_t at = 0; at < drawn.size();) {
    const std::string_view rest{drawn.data() + at, drawn.size() - at};
    if (rest.starts_with("\x1b")) {
      at += rest.find('m') + 1;
    } else if (rest.starts_with("\n")) {
      rows.push_back(std::exchange(upper, {}));
      rows.push_back(std::exchange(lower, {}));
      ++at;
    } else {
      const bool full = rest.starts_with("\u2588");
      const bool top = rest.starts_with("\u2580");
      const bool bottom = rest.starts_with("\u2584");
      upper.push_back(!full && !top);
      lower.push_back(!full && !bottom);
      at += full || top || bottom ? 3 : 1;
    }
  }
  return rows;
}

TEST(qr_text, draws_a_square_with_its_finders_within_a_quiet_zone) {
  const std::string text(380, 'x'); // about an invitation
  const auto drawn = qr_text(text);
  ASSERT_TRUE(drawn) << drawn.error().message;
  const auto rows = modules_of(*drawn);
  const std::size_t side = rows.front().size() - 8;
  EXPECT_EQ(side % 4, 1U) << "17 + 4 times the version";
  for (const std::size_t x : {std::size_t{0}, side - 7}) {
    for (std::size_t i = 0; i < 7; ++i) {
      for (std::size_t j = 0; j < 7; ++j) {
        const bool ring = i == 0 || i == 6 || j == 0 || j == 6;
        const bool heart = i >= 2 && i <= 4 && j >= 2 && j <= 4;
        EXPECT_EQ(rows[4 + i][4 + x + j], ring || heart) << x << " " << i << " " << j;
      }
    }
  }
  for (std::size_t x = 0; x < side + 8; ++x) {
    EXPECT_FALSE(rows[3][x] || rows[x][3] || rows[x][side + 4]) << x;
  }
}

TEST(qr_text, refuses_what_no_code_holds) {
  const auto drawn = qr_text(std::string(3'000, 'x'));
  ASSERT_FALSE(drawn);
  EXPECT_EQ(drawn.error().code, errc::over_limit);
}

} // namespace
} // namespace ovir::apps
