#include "actors/nat/nat_message.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using test::key_of;

std::vector<nat_message> one_of_each_nat_message() {
  const secret_key helper = key_of(1);
  const node_id node = key_of(2).id();
  const std::string address = "203.0.113.7:7300";
  return {
      helper_join{true, {"203.0.113.7:7300", "[2001:db8::1]:1"}},
      address_seen{address, helper.sign(seen_domain, seen_statement(node, address)), true, {7, 8}},
      helper_ask{7, node},
      helper_answer{7, true, false, true, {address}},
      meeting{9, node, true, nat_mapping::dependent, {address, "10.0.0.2:40000"}, {address}},
      stream_open{2, node, {1, 2, 3}},
      stream_taken{3},
      stream_bytes{4, {std::byte{1}, std::byte{2}}},
      stream_count{4, 2, helper.sign(count_domain, count_statement({}))},
      stream_end{4, stream_ending::full}};
}

TEST(nat_message, comes_back_as_it_was_and_in_one_encoding) {
  for (const nat_message& one : one_of_each_nat_message()) {
    const auto bytes = encode(one);
    const auto back = decode_nat_message(bytes);
    ASSERT_TRUE(back) << one.index() << ": " << back.error().message;
    EXPECT_TRUE(*back == one) << one.index();
    EXPECT_TRUE(encode(*back) == bytes) << one.index();
  }
}

TEST(nat_message, is_refused_when_a_byte_is_missing_or_left_over) {
  for (const nat_message& one : one_of_each_nat_message()) {
    auto bytes = encode(one);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(decode_nat_message(std::span{bytes}.first(size))) << one.index() << ", " << size;
    }
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(decode_nat_message(bytes)) << one.index();
  }
}

TEST(nat_message, claims_no_more_than_its_bounds) {
  auto bytes = encode(helper_join{false, {}});
  bytes.back() = static_cast<std::byte>(limits::nat_addresses_max + 1);
  const auto many = decode_nat_message(bytes);
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code, errc::over_limit);

  const auto piece =
      encode(stream_bytes{0, std::vector<std::byte>(limits::nat_stream_piece_bytes_max)});
  EXPECT_TRUE(decode_nat_message(piece));
  auto longer = piece;
  longer[9] = std::byte{1}; // one byte more is claimed, and then is there
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_nat_message(longer));
  EXPECT_FALSE(decode_nat_message(
      std::vector<std::byte>(limits::nat_message_bytes_max + 1, std::byte{'O'})));
}

TEST(nat_message, tells_addresses_in_digits_alone) {
  for (const char* const right : {"1.2.3.4:1", "[2001:db8::1]:65535", "203.0.113.7:7300"}) {
    EXPECT_TRUE(is_numeric_address(right)) << right;
  }
  for (const char* const wrong : {"", "a.example:1", "1.2.3.4", "1.2.3.4:0", "1.2.3.4:65536",
                                  "01.2.3.4:1", "::1:1", "[::0:1]:1", "1.2.3.4:01", " 1.2.3.4:1"}) {
    EXPECT_FALSE(is_numeric_address(wrong)) << wrong;
    auto bytes = encode(helper_join{false, {}});
    bytes.back() = std::byte{1};
    const std::string_view text = wrong;
    bytes.push_back(static_cast<std::byte>(text.size()));
    for (const char c : text) {
      bytes.push_back(static_cast<std::byte>(c));
    }
    EXPECT_FALSE(decode_nat_message(bytes)) << wrong;
  }
}

TEST(nat_message, refuses_words_that_no_version_knows) {
  auto mapping = encode(meeting{});
  mapping[mapping.size() - 2] = std::byte{3};
  EXPECT_FALSE(decode_nat_message(mapping));
  auto ending = encode(stream_end{});
  for (const int why : {0, 6, 255}) {
    ending.back() = static_cast<std::byte>(why);
    EXPECT_FALSE(decode_nat_message(ending)) << why;
  }
  auto kind = encode(stream_taken{});
  for (const int k : {0, 11, 255}) {
    kind[4] = static_cast<std::byte>(k);
    EXPECT_FALSE(decode_nat_message(kind)) << k;
  }
  EXPECT_FALSE(decode_nat_message(encode(stream_bytes{})));
}

} // namespace
} // namespace ovir::actors
