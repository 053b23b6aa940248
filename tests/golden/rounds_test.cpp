// The bytes of docs/formats/rounds.md. A change here is a new version.
#include "learning/rounds/discrete_gaussian.hpp"
#include "learning/rounds/fixed_point.hpp"
#include "learning/rounds/journal.hpp"
#include "learning/rounds/letters.hpp"
#include "learning/rounds/round_worker.hpp"
#include "messages/hex.hpp"
#include "tests/support/memory_file.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::learning {
namespace {

template <class T>
T filled_with(std::uint8_t byte) {
  T out;
  if constexpr (requires { out.key; }) {
    out.key.fill(byte);
  } else {
    out.bytes.fill(byte);
  }
  return out;
}

round_task golden_task() {
  round_task t;
  t.round = 7;
  t.nonce = filled_with<digest>(1);
  t.coordinator = filled_with<node_id>(2);
  t.base = filled_with<digest>(3);
  t.adapter = filled_with<digest>(4);
  t.numbers = 3;
  t.clip_units = 1'000;
  t.noise_variance = 900;
  t.drop_outs = 1;
  t.threshold = 3;
  t.settings = "ab";
  for (const std::uint8_t member : std::array<std::uint8_t, 4>{0x10, 0x11, 0x12, 0x13}) {
    t.members.push_back(filled_with<node_id>(member));
  }
  return t;
}

std::string times(const char* two_digits, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    out += two_digits;
  }
  return out;
}

TEST(golden_rounds, a_task_is_these_fields_in_this_order) {
  const std::string task = "01"
                           "07000000" +
                           times("01", 32) + times("02", 32) + times("03", 32) + times("04", 32) +
                           "03000000"
                           "14"
                           "e8030000"
                           "8403000000000000"
                           "14"
                           "01000000"
                           "00000000"
                           "03000000"
                           "0200"
                           "6162"
                           "04000000" +
                           times("10", 32) + times("11", 32) + times("12", 32) + times("13", 32);
  EXPECT_EQ(to_hex(to_bytes(
                letter{round_offer{golden_task(), filled_with<signature>(9), {std::byte{0xaa}}}})),
            "460101" + task + times("09", 64) + "01000000aa");
  EXPECT_EQ(to_hex(name_of(golden_task())),
            "ad8a07f23afc06aa92f696a8ceb58e4a05bb475d68fe2cca92ef422e22ec53de");
}

TEST(golden_rounds, letters_are_tag_version_kind_and_fields) {
  const auto task = filled_with<digest>(0x0a);
  const auto worker = filled_with<node_id>(0x0b);
  const auto proof = filled_with<signature>(0x0c);
  const std::string head = times("0a", 32);
  const std::string who = times("0b", 32);
  const std::string end = times("0c", 64);
  const key_advert advert{task, worker, filled_with<public_key>(1), filled_with<public_key>(2),
                          proof};
  const std::string advert_hex = head + who + times("01", 32) + times("02", 32) + end;
  sealed_share sealed{filled_with<node_id>(3), {}};
  sealed.bytes.fill(4);
  const std::string sealed_hex = times("03", 32) + times("04", 96);
  const survivor_vote vote{task, worker, filled_with<digest>(5), proof};
  const std::string vote_hex = head + who + times("05", 32) + end;
  const std::vector<std::pair<letter, std::string>> all{
      {advert, "460102" + advert_hex},
      {key_list{task, {advert}}, "460103" + head + "01000000" + advert_hex},
      {sealed_shares{task, worker, {sealed}, proof},
       "460104" + head + who + "01000000" + sealed_hex + end},
      {share_delivery{task, {sealed}}, "460105" + head + "01000000" + sealed_hex},
      {masked_update{task, worker, filled_with<digest>(6), {1, ~std::uint64_t{0}}, proof},
       "460106" + head + who + times("06", 32) + "02000000" + "0100000000000000" + times("ff", 8) +
           end},
      {survivor_list{task, {worker}}, "460107" + head + "01000000" + who},
      {vote, "460108" + vote_hex},
      {vote_list{task, {vote}}, "460109" + head + "01000000" + vote_hex},
      {opened_shares{task, worker, {{worker, share_kind::mask_key, {1, 2, 3, 4, 5}}}, proof},
       "46010a" + head + who + "01000000" + who + "02" +
           "01000000000000000200000000000000030000000000000004000000000000000500000000000000" +
           end},
      {open_update{task, worker, {5}, proof},
       "46010b" + head + who + "01000000" + "0500000000000000" + end},
      {round_receipt{
           task, worker, {worker}, filled_with<digest>(7), filled_with<digest>(8), 9, 10, proof},
       "46010c" + head + who + "01000000" + who + times("07", 32) + times("08", 32) +
           "0900000000000000" + "0a00000000000000" + end},
      {round_end{task, "no"}, "46010d" + head + "0200" + "6e6f"}};
  for (const auto& [one, hex] : all) {
    const std::vector<std::byte> bytes = to_bytes(one);
    EXPECT_EQ(to_hex(bytes), hex);
    const auto read = letter_from(bytes);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, one);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(letter_from(std::span{bytes}.first(size)));
    }
  }
  auto later = to_bytes(all[0].first);
  later[1] = std::byte{2};
  EXPECT_EQ(letter_from(later).error().code, errc::unsupported);
}

TEST(golden_rounds, lists_and_numbers_out_of_bounds_are_refused) {
  const auto task = filled_with<digest>(0x0a);
  const auto refused = [](const letter& l) { return !letter_from(to_bytes(l)).has_value(); };
  const auto a = filled_with<node_id>(1);
  const auto b = filled_with<node_id>(2);
  EXPECT_FALSE(refused(survivor_list{task, {a, b}}));
  EXPECT_TRUE(refused(survivor_list{task, {b, a}}));
  EXPECT_TRUE(refused(survivor_list{task, {a, a}}));
  EXPECT_TRUE(refused(opened_shares{task, a, {{a, share_kind{3}, {}}}, {}}));
  EXPECT_TRUE(refused(opened_shares{task, a, {{a, share_kind::self_mask, {share_prime}}}, {}}));
  EXPECT_TRUE(refused(
      opened_shares{task, a, {{a, share_kind::self_mask, {}}, {a, share_kind::mask_key, {}}}, {}}));
  // A claim of 2^32 - 1 numbers, of which none is there.
  auto claims = to_bytes(letter{open_update{task, a, {}, {}}});
  std::fill_n(claims.begin() + 67, 4, std::byte{0xff});
  EXPECT_EQ(letter_from(claims).error().code, errc::over_limit);
}

TEST(golden_rounds, masks_shares_noise_and_names_are_these) {
  secret32 secret;
  for (std::size_t i = 0; i < 32; ++i) {
    secret.bytes[i] = static_cast<std::byte>(i);
  }
  secret32 other;
  other.bytes.fill(std::byte{0x42});
  const auto one = filled_with<node_id>(1);
  const auto two = filled_with<node_id>(2);
  const auto pair =
      agreed("ovir/rounds-1/pair-mask", secret, public_of(other), filled_with<digest>(3), one, two)
          .value();
  EXPECT_EQ(to_hex(std::span<const std::byte>{pair.bytes}),
            "55c82d3be8194e425d89a359a59f5155d78b9c498e5b4cb7dcb05b64118b481a");
  std::vector<std::uint64_t> values{5, 0};
  add_mask(values, pair);
  EXPECT_EQ(to_hex(std::as_bytes(std::span{values})), "a02f9a5e7fd797676d521c75eeac035b");
  std::array<std::byte, share_bytes> text{};
  const auto sealed = seal(pair, text);
  EXPECT_EQ(to_hex(std::as_bytes(std::span{sealed}).first(16)), "d25fabf676eddd0a59efc65d084226c4");
  keystream chance{other};
  const std::vector<std::uint32_t> places{1, 2, 3};
  const auto shares = split(secret, 2, places, chance);
  EXPECT_EQ(shares[2].values[0], 552772820895888413U);
  std::vector<std::int64_t> noise;
  for (int i = 0; i < 8; ++i) {
    noise.push_back(drawn_gaussian(900, chance).value());
  }
  EXPECT_EQ(noise, (std::vector<std::int64_t>{26, 16, 30, 5, -49, 3, -39, 38}));
  EXPECT_EQ(to_hex(name_of_sum(noise)),
            "207cd2bb7c4ce3fc0490b9a64d138c259faafa9a858dfa16f0b25f15ceeac06f");
  EXPECT_EQ(to_hex(commitment_to(filled_with<digest>(1), one, secret)),
            "28a40062c18921d36c6c85a97ab14d6ce48dfc1d49ef0eccc2156e89a83f4b9c");
  const std::vector<node_id> survivors{one, two};
  EXPECT_EQ(to_hex(view_of(filled_with<digest>(1), survivors)),
            "d4034f59366f8b1e523136e3bf14f089a313672ba541f5e9a0f457c9abb423b8");
  EXPECT_EQ(to_hex(name_of(key_list{filled_with<digest>(1), {}})),
            "f04396a2e0256d04f9f5e0ab81c8841938a99fb07851039da413bae065d62d4e");
}

TEST(golden_rounds, a_journal_is_lengths_digests_and_bytes) {
  auto file = std::make_unique<test::memory_file>();
  test::memory_file* const disk = file.get();
  auto journal = round_journal::open(std::move(file)).value();
  ASSERT_TRUE(journal.append(std::vector<std::byte>{std::byte{0xaa}}));
  ASSERT_TRUE(journal.append({}));
  EXPECT_EQ(to_hex(disk->content),
            "010000005e795a400340a03cb6fb537d63deca32a8be97b013da8de9b10a27cb10d15217aa00000000cc52"
            "4b6f32be5d29484609b49e0ea8f051365d8d38a1930018e67ac6ea7e919f");
}

} // namespace
} // namespace ovir::learning
