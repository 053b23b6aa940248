#include "actors/members/gossip_format.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <utility>

namespace ovir::actors {
namespace {

secret_key key(std::uint8_t n) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = std::byte{n};
  return secret_key::from_seed(seed);
}

node_advert some_advert() {
  node_advert a;
  a.name = "großer knoten";
  a.address = "node.example:7001";
  a.admin_address = "node.example:7002";
  a.roles.add(role::worker).add(role::store);
  a.draining = true;
  a.placed = true;
  a.held = {{digest{{1, 2, 3}}, {0, 4}, 8}, {digest{{4}}, {4, 8}, 8}};
  a.spares = {{digest{{4}}, {0, 4}, 8}};
  a.spare_free = 77;
  a.memory_bytes = 1ULL << 40U;
  a.memory_free = 12'345;
  a.decode_bytes_per_second = 6'000'000'000;
  a.prefill_bytes_per_second = 60'000'000'000;
  a.sessions = 3;
  a.rtts = {{key(7).id(), 250}};
  a.attested = {attest(key(9), key(1).id(), {"Example Ltd", "eu", "tdx"}, 2'000'000'000),
                attest(key(8), key(1).id(), {{}, "eu-1", {}}, 2'000'000'000)};
  return a;
}

std::vector<signed_update> one_of_each() {
  return {sign_advert(key(1), 5, some_advert()), sign_suspicion(key(1), key(2).id(), 6),
          sign_farewell(key(3), 7)};
}

std::vector<gossip_message> messages() {
  const life_sign sign = sign_life(key(1), key(2).id(), 9);
  return {
      {ping{1}, one_of_each()},
      {ping_answer{2}, {}},
      {probe_order{3, key(4).id()}, {}},
      {relayed_ping{4, key(5).id()}, {}},
      {sign, {}},
      {summary{true, {{key(6).id(), 8, true}, {key(7).id(), 9, false}}}, {}},
      {summary{false, {{key(6).id(), 8, true}}, bucket_set{}.set(0).set(9).set(255)}, {}},
      {digests{5, std::vector<std::uint32_t>(limits::gossip_buckets, 77)}, {}},
      {parting{}, {}, {{key(6).id(), 8, true}}},
      {latest{6, {1, 2, 0xfffffffcU}}, {}},
      {latest_answer{7, {4, 8}, {12}, {{6, 8, {{9, signature{}}, {10, signature{}}}}, {7, 9, {}}}},
       one_of_each()},
      {notices{{std::vector<std::byte>(304, std::byte{7}), {}}}, {}},
      {news{}, one_of_each()}};
}

TEST(gossip_format, every_message_comes_back_as_it_went) {
  for (const gossip_message& m : messages()) {
    const auto back = decode_gossip(encode_gossip(m));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, m);
  }
}

TEST(gossip_format, lists_and_answers_above_their_bounds_are_refused) {
  const auto refused = [](std::vector<std::byte> bytes, std::size_t count_at, std::size_t most) {
    bytes[count_at] = static_cast<std::byte>((most + 1) & 0xffU);
    bytes[count_at + 1] = static_cast<std::byte>((most + 1) >> 8U);
    bytes.resize(bytes.size() + 4 * (most + 1));
    const auto back = decode_gossip(bytes);
    return !back && back.error().message.find("at most") != std::string::npos;
  };
  EXPECT_TRUE(refused(encode_gossip({latest{1, {}}, {}}), 13, limits::latest_marks_max));
  EXPECT_TRUE(
      refused(encode_gossip({latest_answer{1, {}, {}, {}}, {}}), 13, limits::latest_answer_max));
  EXPECT_TRUE(
      refused(encode_gossip({latest_answer{1, {}, {}, {}}, {}}), 15, limits::latest_marks_max));
  EXPECT_TRUE(
      refused(encode_gossip({latest_answer{1, {}, {}, {}}, {}}), 17, limits::latest_answer_max));
}

TEST(gossip_format, a_message_cut_short_or_with_more_behind_it_is_none) {
  for (const gossip_message& m : messages()) {
    std::vector<std::byte> bytes = encode_gossip(m);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const auto cut = decode_gossip(std::span{bytes}.first(size));
      ASSERT_FALSE(cut) << size;
      EXPECT_EQ(cut.error().code, errc::malformed);
    }
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(decode_gossip(bytes));
  }
}

TEST(gossip_format, a_flipped_bit_is_refused_or_another_message) {
  for (const gossip_message& m : messages()) {
    const std::vector<std::byte> bytes = encode_gossip(m);
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      std::vector<std::byte> other = bytes;
      other[bit / 8] ^= std::byte{1} << (bit % 8);
      const auto back = decode_gossip(other);
      if (back) {
        ASSERT_NE(*back, m) << bit;
        ASSERT_EQ(encode_gossip(*back), other) << bit;
      }
    }
  }
}

TEST(gossip_format, a_signature_holds_for_what_was_signed_and_for_nothing_else) {
  for (const signed_update& u : one_of_each()) {
    EXPECT_TRUE(is_genuine(u));
    const std::vector<std::byte> bytes = encode_gossip({news{}, {u}});
    // Behind magic, kind, count and the update's kind, everything is signed or the signature.
    for (std::size_t i = 8; i < bytes.size(); ++i) {
      std::vector<std::byte> other = bytes;
      other[i] ^= std::byte{1};
      const auto back = decode_gossip(other);
      EXPECT_TRUE(!back || !is_genuine(back->updates.at(0))) << u.index() << " " << i;
    }
  }
  life_sign sign = sign_life(key(1), key(2).id(), 9);
  EXPECT_TRUE(is_genuine(sign));
  sign.nonce += 1;
  EXPECT_FALSE(is_genuine(sign));
}

TEST(gossip_format, a_node_shows_what_is_attested_of_itself_alone) {
  const auto shown = [](attestation one) {
    node_advert a = some_advert();
    a.attested = {std::move(one)};
    return decode_gossip(encode_gossip({news{}, {sign_advert(key(1), 5, a)}}));
  };
  EXPECT_TRUE(shown(attest(key(9), key(1).id(), {{}, "eu", {}}, 1)));
  EXPECT_FALSE(shown(attest(key(9), key(2).id(), {{}, "eu", {}}, 1))) << "another node's";
  attestation empty = attest(key(9), key(1).id(), {{}, "eu", {}}, 1);
  empty.properties = {};
  EXPECT_FALSE(shown(empty));
}

TEST(gossip_format, a_signature_of_one_kind_is_none_of_another) {
  // A suspicion's bytes hold a farewell's at their end, a life sign's equal a farewell's in form.
  const life_sign sign = sign_life(key(1), key(1).id(), 9);
  signed_farewell farewell = sign_farewell(key(1), 9);
  farewell.proof = sign.proof;
  EXPECT_FALSE(is_genuine(farewell));
}

TEST(gossip_format, refuses_claims_beyond_the_bytes_there_are) {
  std::vector<std::byte> bytes = encode_gossip({news{}, {}});
  ASSERT_EQ(bytes.size(), 9U);
  bytes[7] = std::byte{64};
  EXPECT_FALSE(decode_gossip(bytes));
  bytes[7] = bytes[8] = std::byte{0xff};
  EXPECT_FALSE(decode_gossip(bytes));
  const auto large =
      decode_gossip(std::vector<std::byte>(limits::gossip_bytes_max + 1, std::byte{0}));
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, errc::over_limit);
}

TEST(gossip_format, the_largest_advert_and_the_largest_summary_fit_in_a_message) {
  node_advert a = some_advert();
  a.name = std::string(limits::node_name_bytes_max, 'n');
  a.address = std::string(limits::address_bytes_max, 'a');
  a.held.assign(limits::advert_segments_max, {digest{}, {0, 1}, 1});
  a.rtts.assign(limits::advert_rtts_max, {node_id{}, 1});
  a.attested.assign(limits::attestations_per_node_max,
                    attest(key(9), key(1).id(),
                           {std::string(limits::attested_operator_bytes_max, 'o'),
                            std::string(limits::attested_region_bytes_max, 'r'),
                            std::string(limits::attested_level_bytes_max, 'l')},
                           1));
  const signed_update largest = sign_advert(key(1), 1, a);
  EXPECT_LT(limits::gossip_news_max * encoded_bytes(largest), limits::gossip_bytes_max / 2);
  const summary full{true, std::vector<known_node>(limits::gossip_nodes_max)};
  EXPECT_LT(encode_gossip({full, {}, std::vector<known_node>(limits::gossip_counted_max)}).size(),
            48U << 10U);
}

TEST(gossip_format, refuses_adverts_outside_their_bounds) {
  const std::vector<std::pair<errc, std::function<void(node_advert&)>>> faults{
      {errc::over_limit, [](node_advert& a) { a.name = std::string(65, 'n'); }},
      {errc::over_limit, [](node_advert& a) { a.address = std::string(257, 'a'); }},
      {errc::over_limit, [](node_advert& a) { a.admin_address = std::string(257, 'a'); }},
      {errc::over_limit, [](node_advert& a) { a.held.assign(65, a.held[0]); }},
      {errc::over_limit, [](node_advert& a) { a.rtts.assign(65, a.rtts[0]); }},
      {errc::over_limit, [](node_advert& a) { a.attested.assign(5, a.attested[0]); }},
      {errc::malformed, [](node_advert& a) { a.name = "a\x1b[2J"; }},
      {errc::malformed, [](node_advert& a) { a.name = "\xff"; }},
      {errc::malformed, [](node_advert& a) { a.address = "host :1"; }},
      {errc::malformed, [](node_advert& a) { a.admin_address = "host\n:1"; }},
      {errc::malformed, [](node_advert& a) { a.roles.add(role::operate); }},
      {errc::malformed,
       [](node_advert& a) {
         a.held[0].layers = {4, 4};
       }},
      {errc::malformed,
       [](node_advert& a) {
         a.held[0].layers = {0, 9};
       }},
      {errc::malformed, [](node_advert& a) { a.held[0].model_layers = limits::layers_max + 1; }}};
  EXPECT_TRUE(check_advert(some_advert()));
  for (std::size_t i = 0; i < faults.size(); ++i) {
    node_advert a = some_advert();
    faults[i].second(a);
    const auto checked = check_advert(a);
    ASSERT_FALSE(checked) << i;
    EXPECT_EQ(checked.error().code, faults[i].first) << i;
  }
}

} // namespace
} // namespace ovir::actors
