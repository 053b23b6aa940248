#include "actors/link/link_format.hpp"
#include "compute/model/transcript.hpp"
#include "messages/limits/audit.hpp"
#include "messages/limits/blocks.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/keepers.hpp"
#include "messages/limits/nat.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::actors {
namespace {

using testing::HasSubstr;

std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> bytes;
  std::string digits;
  for (const char c : text) {
    if (c != ' ') {
      digits += c;
    }
    if (digits.size() == 2) {
      bytes.push_back(static_cast<std::byte>(std::stoul(digits, nullptr, 16)));
      digits.clear();
    }
  }
  return bytes;
}

link_hello member_hello() {
  link_hello hello;
  hello.roles.add(role::worker).add(role::store);
  hello.life = 0x0102'0304'0506'0708;
  hello.last_loss = 9;
  hello.cluster = "test";
  hello.address = "[fe80::7]:7700";
  return hello;
}

std::vector<std::byte> body_of(const link_hello& hello) {
  const std::vector<std::byte> bytes = encode_hello(hello);
  return {bytes.begin() + hello_prefix::size, bytes.end()};
}

TEST(link_format, a_hello_has_the_bytes_its_page_shows) {
  EXPECT_EQ(encode_hello(member_hello()),
            from_hex("4f564c48 0100 2b00"
                     "0100 0500 0807060504030201 0900000000000000 04 74657374"
                     "0e00 5b666538303a3a375d3a37373030 0000"));
}

// Nodes of one link version compute the same: whoever changes what the profile's name stands for
// raises the version, and both here.
TEST(link_format, its_version_is_that_of_the_arithmetic) {
  EXPECT_EQ(compute::profile_name, "exact-1/7c004b2d");
  EXPECT_EQ(link_version, 1);
}

TEST(link_format, a_message_header_has_the_bytes_its_page_shows) {
  const auto bytes = encode_header({0x01020304, 2, 0x0a0b0c0d});
  EXPECT_TRUE(std::ranges::equal(bytes, from_hex("04030201 0200 0000 0d0c0b0a 00000000")));
}

TEST(link_format, a_verdict_has_the_bytes_its_page_shows) {
  EXPECT_EQ(encode_verdict({}), from_hex("4f564c56 0100 00 00 0000 0000"));
  EXPECT_EQ(encode_verdict({error{errc::busy, "no\troom"}}),
            from_hex("4f564c56 0100 01 00 0700 0000 6e6f3f726f6f6d"));
}

TEST(link_format, a_hello_comes_back_as_it_was) {
  link_hello hello = member_hello();
  EXPECT_EQ(*decode_hello_body(body_of(hello)), hello);
  hello.kind = channel::admin;
  hello.address.clear();
  hello.token.assign(1'000, std::byte{7});
  hello.binding.emplace();
  hello.binding->bytes.fill(9);
  EXPECT_EQ(*decode_hello_body(body_of(hello)), hello);
  hello.cluster.assign(limits::cluster_name_bytes_max, 'c');
  hello.token.resize(limits::hello_bytes_max - hello_prefix::size - 25 - 64 - hello.cluster.size());
  const std::vector<std::byte> largest = encode_hello(hello);
  EXPECT_EQ(largest.size(), limits::hello_bytes_max);
  EXPECT_EQ(*decode_hello_body(std::span{largest}.subspan(hello_prefix::size)), hello);
  hello.token.emplace_back();
  EXPECT_EQ(check(hello).error().code, errc::over_limit);
}

TEST(link_format, every_shortening_and_lengthening_of_a_hello_is_refused) {
  link_hello hello = member_hello();
  hello.token.assign(30, std::byte{7});
  hello.binding.emplace();
  std::vector<std::byte> body = body_of(hello);
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_EQ(decode_hello_body(std::span{body}.first(size)).error().code, errc::malformed) << size;
  }
  body.emplace_back();
  EXPECT_EQ(decode_hello_body(body).error().code, errc::malformed);
}

TEST(link_format, a_hello_with_text_that_is_none_is_refused) {
  link_hello hello = member_hello();
  hello.cluster = "te\nst";
  EXPECT_EQ(check(hello).error().code, errc::malformed);
  hello = member_hello();
  hello.address = "nowhere";
  EXPECT_EQ(check(hello).error().code, errc::malformed);
  hello = member_hello();
  hello.cluster.assign(limits::cluster_name_bytes_max + 1, 'c');
  EXPECT_EQ(check(hello).error().code, errc::over_limit);
  hello = member_hello();
  hello.token.emplace_back();
  EXPECT_EQ(check(hello).error().code, errc::malformed) << "no binding";
}

TEST(link_format, the_sentence_about_versions_names_the_older_side) {
  node_id peer;
  peer.key.fill(0xaa);
  node_id self;
  self.key.fill(0xbb);
  EXPECT_TRUE(check_version(link_version, peer, self));
  EXPECT_THAT(check_version(link_version + 1, peer, self).error().message,
              HasSubstr("node bbbbbbbb is older"));
  EXPECT_THAT(check_version(link_version - 1, peer, self).error().message,
              HasSubstr("node aaaaaaaa is older"));
  EXPECT_EQ(check_version(7, peer, self).error().code, errc::unsupported);
}

TEST(link_format, a_refusal_keeps_its_code_when_it_is_known_here) {
  const auto again = [](const error& e) { return *decode_verdict(encode_verdict({e}))->refusal; };
  EXPECT_EQ(again({errc::not_found, "who?"}), (error{errc::not_found, "who?"}));
  EXPECT_EQ(again({static_cast<errc>(39), "new"}).code, errc::unsupported);
  EXPECT_EQ(again({errc::busy, std::string(4'000, 'x')}).message.size(),
            limits::error_text_bytes_max);
  EXPECT_FALSE(decode_verdict(encode_verdict({}))->refusal);
}

TEST(link_format, a_verdict_that_claims_other_bytes_than_it_has_is_refused) {
  std::vector<std::byte> bytes = encode_verdict({error{errc::busy, "full"}});
  bytes.pop_back();
  EXPECT_EQ(decode_verdict(bytes).error().code, errc::malformed);
  bytes[8] = std::byte{0xff};
  bytes[9] = std::byte{0xff};
  EXPECT_EQ(decode_verdict(bytes).error().code, errc::over_limit);
  bytes[0] = std::byte{0};
  EXPECT_EQ(decode_verdict(bytes).error().code, errc::malformed);
}

TEST(link_format, each_channel_takes_its_kinds_up_to_their_limits) {
  struct row {
    channel c;
    message_kind kind;
    std::size_t bytes_max;
  };
  const std::vector<row> taken{
      {channel::control, message_kind::wire, limits::wire_bytes_max},
      {channel::control, message_kind::gossip, limits::gossip_bytes_max},
      {channel::control, message_kind::blocks, limits::block_claims_bytes_max},
      {channel::control, message_kind::credit, limits::credit_message_bytes_max},
      {channel::control, message_kind::keepers, limits::keepers_word_bytes_max},
      {channel::data, message_kind::tensor, limits::frame_bytes_max},
      {channel::data, message_kind::audit, limits::audit_message_bytes_max},
      {channel::admin, message_kind::request, limits::admin_bytes_max},
      {channel::admin, message_kind::reply, limits::admin_bytes_max},
      {channel::relay, message_kind::nat, limits::nat_message_bytes_max}};
  for (const channel c : {channel::control, channel::data, channel::admin, channel::relay}) {
    for (std::uint16_t kind = 0; kind < 20; ++kind) {
      const auto at = std::find_if(taken.begin(), taken.end(), [&](const row& r) {
        return r.c == c && static_cast<std::uint16_t>(r.kind) == kind;
      });
      const std::size_t bytes_max = at == taken.end() ? 0 : at->bytes_max;
      EXPECT_EQ(message_bytes_max(c, static_cast<message_kind>(kind)), bytes_max);
      const auto largest =
          decode_header(c, encode_header({static_cast<std::uint32_t>(bytes_max), kind, 5}));
      EXPECT_EQ(largest.has_value(), bytes_max != 0);
      const auto larger =
          decode_header(c, encode_header({static_cast<std::uint32_t>(bytes_max + 1), kind, 5}));
      EXPECT_EQ(larger.error().code, bytes_max == 0 ? errc::malformed : errc::over_limit);
    }
  }
}

TEST(link_format, reserved_bytes_of_a_header_are_zero) {
  for (const std::size_t at : {6U, 7U, 12U, 13U, 14U, 15U}) {
    auto bytes = encode_header({1, 2, 3});
    bytes[at] = std::byte{1};
    EXPECT_EQ(decode_header(channel::control, bytes).error().code, errc::malformed) << at;
  }
}

TEST(link_format, addresses_are_host_and_port) {
  EXPECT_EQ(parse_host_and_port("10.0.0.7:7700")->host, "10.0.0.7");
  EXPECT_EQ(parse_host_and_port("[fe80::1]:0")->host, "fe80::1");
  EXPECT_EQ(parse_host_and_port("node.example:65535")->port, 65'535);
  EXPECT_EQ(to_string(*parse_host_and_port("[fe80::1]:80")), "[fe80::1]:80");
  EXPECT_EQ(to_string(*parse_host_and_port("a:80")), "a:80");
  for (const std::string_view wrong :
       {"", ":", "host", "host:", ":80", "host:65536", "host:-1", "host:8o", "::1:80", "[::1]80",
        "[]:80", "[::1:80", "a b:80", "host: 80", "host:80 ", "h\tost:80"}) {
    const auto parsed = parse_host_and_port(wrong);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_EQ(parsed.error().code, errc::invalid_argument);
  }
  EXPECT_FALSE(parse_host_and_port(std::string(300, 'h') + ":80"));
}

} // namespace
} // namespace ovir::actors
