#include "actors/protocol/link_mail.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

link_mail::letter letter_of(std::size_t size, std::uint32_t target = 0) {
  return {channel::data, message_kind::tensor, target,
          std::make_shared<const std::vector<std::byte>>(size)};
}

TEST(link_mail, keeps_what_waits_in_order_until_it_is_taken) {
  link_mail mail;
  const node_id to{{1}};
  EXPECT_TRUE(mail.add(to, letter_of(5, 1)));
  EXPECT_TRUE(mail.add(to, letter_of(6, 2)));
  EXPECT_THAT(mail.take(node_id{{2}}), IsEmpty());
  const auto taken = mail.take(to);
  ASSERT_THAT(taken, SizeIs(2));
  EXPECT_EQ(taken[0].target, 1U);
  EXPECT_EQ(taken[1].target, 2U);
  EXPECT_THAT(mail.take(to), IsEmpty());
}

TEST(link_mail, has_room_again_when_something_is_taken) {
  link_mail mail;
  EXPECT_TRUE(mail.add(node_id{{1}}, letter_of(limits::link_mail_bytes_max)));
  EXPECT_FALSE(mail.add(node_id{{2}}, letter_of(1)));
  (void)mail.take(node_id{{1}});
  EXPECT_TRUE(mail.add(node_id{{2}}, letter_of(1)));
}

TEST(link_mail, names_for_whom_it_waited_too_long_and_drops_it) {
  link_mail mail;
  (void)mail.add(node_id{{1}}, letter_of(limits::link_mail_bytes_max));
  for (std::uint32_t i = 0; i < limits::link_mail_ticks; ++i) {
    EXPECT_THAT(mail.tick(), IsEmpty());
  }
  EXPECT_THAT(mail.tick(), ElementsAre(node_id{{1}}));
  EXPECT_TRUE(mail.add(node_id{{2}}, letter_of(1)));
}

} // namespace
} // namespace ovir::actors
