#include "messages/request/privacy.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir {
namespace {

node_id privacy_key(std::uint8_t number) {
  node_id id;
  id.key.fill(number);
  return id;
}

ends_rule good_ends() { return {{privacy_key(1), privacy_key(2)}, 2, 1, hash("salt", {})}; }

TEST(privacy, has_two_names_and_the_stricter_of_two_counts) {
  for (const privacy_mode mode : {privacy_mode::none, privacy_mode::ends}) {
    EXPECT_EQ(privacy_from(to_string(mode)).value(), mode);
    EXPECT_EQ(stricter(mode, privacy_mode::ends), privacy_mode::ends);
    EXPECT_EQ(stricter(privacy_mode::ends, mode), privacy_mode::ends);
  }
  EXPECT_EQ(stricter(privacy_mode::none, privacy_mode::none), privacy_mode::none);
  EXPECT_EQ(privacy_from("all").error().code, errc::invalid_argument);
}

TEST(privacy, a_rule_names_few_nodes_in_order_with_layers_and_a_salt) {
  EXPECT_TRUE(check(good_ends()));
  ends_rule rule = good_ends();
  std::swap(rule.nodes[0], rule.nodes[1]);
  EXPECT_EQ(check(rule).error().code, errc::malformed);
  rule.nodes = {privacy_key(1), privacy_key(1)};
  EXPECT_EQ(check(rule).error().code, errc::malformed);
  rule.nodes = {};
  EXPECT_EQ(check(rule).error().code, errc::malformed);
  rule.nodes = {node_id{}, privacy_key(1)};
  EXPECT_EQ(check(rule).error().code, errc::malformed);
  for (std::uint8_t n = 1; n <= limits::ends_nodes_max + 1; ++n) {
    rule.nodes.resize(n);
    rule.nodes.back() = privacy_key(n);
  }
  EXPECT_EQ(check(rule).error().code, errc::over_limit);
  for (std::uint32_t ends_rule::*end : {&ends_rule::first, &ends_rule::last}) {
    rule = good_ends();
    rule.*end = 0;
    EXPECT_EQ(check(rule).error().code, errc::malformed);
    rule.*end = limits::ends_layers_max + 1;
    EXPECT_EQ(check(rule).error().code, errc::over_limit);
  }
  rule = good_ends();
  rule.salt = {};
  EXPECT_EQ(check(rule).error().code, errc::malformed);
}

TEST(privacy, salts_follow_from_the_secret_and_differ_by_request) {
  const digest secret = hash("secret", {});
  const digest one = request_salt(secret, request_id{1});
  EXPECT_EQ(one, request_salt(secret, request_id{1}));
  EXPECT_NE(one, request_salt(secret, request_id{2}));
  EXPECT_NE(one, request_salt(hash("other", {}), request_id{1}));
  const digest content = hash("content", {});
  EXPECT_NE(salted_content(one, content), content);
  EXPECT_NE(salted_content(one, content),
            salted_content(request_salt(secret, request_id{2}), content));
  EXPECT_NE(names_salt(one), one) << "names say nothing of the salt";
}

} // namespace
} // namespace ovir
