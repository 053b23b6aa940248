#include "gateway/http/host_check.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::gateway {
namespace {

const std::string name = "localhost";

TEST(host_check, finds_the_host_and_refuses_what_is_none) {
  EXPECT_EQ(host_of("a.example"), "a.example");
  EXPECT_EQ(host_of("a.example:80"), "a.example");
  EXPECT_EQ(host_of(fmt::format("[{}]:80", "::1")), "::1");
  EXPECT_EQ(host_of("[::1]"), "::1");
  for (const char* const text :
       {"", ":80", "a:b", "a:123456", "[::1", "[::1]x", "[a]", "::1", "a:1:2", "[]", "[]:1"}) {
    EXPECT_EQ(host_of(text), std::nullopt) << text;
  }
}

TEST(host_check, an_address_of_this_machine_is_parsed_and_not_guessed) {
  for (const char* const host : {"localhost", "LOCALHOST", "127.0.0.1", "127.255.0.9", "::1",
                                 "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(is_this_machine(host)) << host;
  }
  for (const char* const host :
       {"", "127", "127.1", "127.example.org", "127.0.0.1.example.org", "128.0.0.1", "0.0.0.0",
        "::", "::2", "::ffff:10.0.0.1", "localhost.example.org", "127.0.0.1 ", "[::1]"}) {
    EXPECT_FALSE(is_this_machine(host)) << host;
  }
}

TEST(host_check, names_that_others_may_own_are_refused_unless_they_are_listed) {
  const host_rule open{false, {"ovir.example"}};
  for (const std::string& host : {std::string{"10.1.2.3"}, std::string{"[2001:db8::1]:7380"},
                                  name + ":1", std::string{"OVIR.example"}}) {
    EXPECT_TRUE(is_own_name(open, host)) << host;
  }
  for (const char* const host : {"", "x", "ovir.example.org", "ovir.example:x", "10.1.2.3.4"}) {
    EXPECT_FALSE(is_own_name(open, host)) << host;
  }
  EXPECT_TRUE(is_own_name({true, {}}, "any.example")) << "a key is what counts";
}

TEST(host_check, a_page_is_its_own_when_origin_and_host_agree) {
  http_request head;
  head.fields = {{"host", name + ":1"}, {"origin", "http://" + name + ":1"}};
  EXPECT_TRUE(is_own_page({}, head));
  EXPECT_FALSE(refuse_caller({}, head));
  head.fields["origin"] = "http://" + name + ":2";
  EXPECT_FALSE(is_own_page({}, head));
  EXPECT_TRUE(refuse_caller({}, head));
  head.fields = {{"host", "evil.example"}, {"origin", "http://evil.example"}};
  EXPECT_TRUE(refuse_caller({}, head));
  head.fields = {};
  EXPECT_TRUE(refuse_caller({}, head)) << "no Host";
  EXPECT_FALSE(refuse_caller({true, {}}, head));
}

} // namespace
} // namespace ovir::gateway
