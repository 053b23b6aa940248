#include "messages/node_id.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir {
namespace {

using ::testing::HasSubstr;

node_id counting() {
  node_id id;
  for (std::size_t i = 0; i < id.key.size(); ++i) {
    id.key[i] = static_cast<std::uint8_t>(i * 9);
  }
  return id;
}

TEST(node_id, its_text_has_one_form_and_comes_back_the_same) {
  const std::string text = to_hex(counting());
  EXPECT_EQ(text, "0009121b242d363f48515a636c757e87"
                  "9099a2abb4bdc6cfd8e1eaf3fc050e17");
  EXPECT_EQ(node_id_from_hex(text).value(), counting());
  EXPECT_EQ(short_name(counting()), "0009121b");
}

TEST(node_id, refuses_everything_that_is_no_name) {
  const std::string text = to_hex(counting());
  std::string upper = text;
  upper[5] = 'B';
  for (const std::string& wrong :
       {std::string{}, text.substr(1), text + "0", " " + text.substr(1), upper, "0x" + text}) {
    const auto id = node_id_from_hex(wrong);
    ASSERT_FALSE(id) << wrong;
    EXPECT_EQ(id.error().code, errc::malformed);
    EXPECT_THAT(id.error().message, HasSubstr("64 lower-case hexadecimal digits"));
  }
}

TEST(node_id, is_empty_only_when_every_byte_is_zero) {
  EXPECT_TRUE(node_id{}.empty());
  for (std::size_t i = 0; i < node_id::size; ++i) {
    node_id id;
    id.key[i] = 1;
    EXPECT_FALSE(id.empty()) << i;
  }
}

TEST(roles, every_word_names_the_role_that_prints_it) {
  for (const role r : {role::worker, role::scheduler, role::store, role::verifier, role::ledger,
                       role::relay, role::reader, role::operate}) {
    EXPECT_EQ(role_from_text(to_string(role_set{}.add(r))).value(), r);
  }
  EXPECT_EQ(to_string(role_set{}), "none");
  EXPECT_EQ(to_string(role_set{}.add(role::operate).add(role::worker).add(role::store)),
            "worker, store, operator");
}

TEST(roles, another_word_is_answered_with_those_that_exist) {
  for (const char* wrong : {"", "Worker", "worker ", "none", "admin"}) {
    const auto r = role_from_text(wrong);
    ASSERT_FALSE(r) << wrong;
    EXPECT_EQ(r.error().code, errc::invalid_argument);
    EXPECT_THAT(r.error().message, HasSubstr("worker, scheduler, store, verifier, ledger, relay, "
                                             "reader, operator"));
  }
}

TEST(roles, a_set_is_within_another_when_that_has_all_of_its_roles) {
  const role_set both = role_set{}.add(role::worker).add(role::scheduler);
  EXPECT_TRUE(role_set{}.within(both));
  EXPECT_TRUE(role_set{}.add(role::worker).within(both));
  EXPECT_FALSE(both.within(role_set{}.add(role::worker)));
  EXPECT_FALSE(role_set{}.add(role::operate).within(member_roles));
  EXPECT_FALSE(role_set{}.add(role::worker).within(admin_roles));
}

} // namespace
} // namespace ovir
