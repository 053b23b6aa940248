#include "messages/limits/fetch.hpp"
#include "messages/limits/general.hpp"
#include "messages/wire/fetch_frame.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ovir {
namespace {

const digest model = hash_plain({});

std::vector<std::vector<std::byte>> one_of_each() {
  const std::vector<std::byte> bytes(100, std::byte{7});
  const std::vector<std::uint32_t> pieces{3, 4, 1'000};
  const std::vector<piece_range> ranges{{0, 4}, {5, 9}};
  return {encode_fetch({fetch_kind::want_manifest, model, 0, 0}, {}),
          encode_fetch({fetch_kind::want_holdings, model, 0, 0}, {}),
          encode_fetch({fetch_kind::manifest, model, 0, 0}, bytes),
          encode_fetch({fetch_kind::piece, model, 8, 0}, bytes),
          encode_want_pieces(model, pieces, 77),
          encode_holdings(model, ranges),
          encode_holdings(model, {}),
          encode_refusal(model, no_piece, {errc::busy, "later"})};
}

TEST(fetch_frame, what_is_said_comes_back) {
  const auto all = one_of_each();
  EXPECT_EQ(decode_fetch(all[3])->header, (fetch_header{fetch_kind::piece, model, 8, 0}));
  EXPECT_EQ(decode_fetch(all[3])->payload.size(), 100U);
  EXPECT_EQ(decode_fetch(all[4])->pieces(), (std::vector<std::uint32_t>{3, 4, 1'000}));
  EXPECT_EQ(decode_fetch(all[4])->header.received, 77U);
  EXPECT_EQ(decode_fetch(all[5])->ranges(), (std::vector<piece_range>{{0, 4}, {5, 9}}));
  EXPECT_TRUE(decode_fetch(all[6])->ranges().empty());
  EXPECT_EQ(decode_fetch(all[7])->reason(), (error{errc::busy, "later"}));
}

TEST(fetch_frame, every_shortening_and_lengthening_is_refused) {
  for (const auto& whole : one_of_each()) {
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
      const std::vector<std::byte> part{whole.begin(),
                                        whole.begin() + static_cast<std::ptrdiff_t>(bytes)};
      EXPECT_FALSE(decode_fetch(part));
    }
    std::vector<std::byte> longer = whole;
    longer.emplace_back();
    EXPECT_FALSE(decode_fetch(longer));
  }
}

TEST(fetch_frame, every_flipped_bit_of_what_is_no_payload_is_refused_or_shows) {
  for (const auto& whole : one_of_each()) {
    for (std::size_t bit = 0; bit < fetch_overhead_bytes * 8; ++bit) {
      std::vector<std::byte> flipped = whole;
      flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      const auto view = decode_fetch(flipped);
      if (view) {
        EXPECT_NE(view->header, decode_fetch(whole)->header) << bit;
      }
    }
  }
}

TEST(fetch_frame, lists_that_no_writer_writes_are_refused) {
  const std::vector<std::uint32_t> too_many(limits::fetch_asked_max + 1);
  EXPECT_EQ(check({fetch_kind::want_pieces, model, 0, 0}, std::as_bytes(std::span{too_many}))
                .error()
                .code,
            errc::over_limit);
  EXPECT_FALSE(check({fetch_kind::want_pieces, model, 0, 0}, {}));
  for (const std::vector<piece_range>& wrong :
       {std::vector<piece_range>{{1, 1}}, {{2, 1}}, {{0, 2}, {2, 3}}, {{4, 5}, {1, 2}}}) {
    EXPECT_EQ(
        check({fetch_kind::holdings, model, 0, 0}, std::as_bytes(std::span{wrong})).error().code,
        errc::malformed);
  }
  const std::vector<piece_range> far{{0, limits::fetch_pieces_max + 1}};
  EXPECT_EQ(check({fetch_kind::holdings, model, 0, 0}, std::as_bytes(std::span{far})).error().code,
            errc::over_limit);
  EXPECT_FALSE(check({fetch_kind::piece, model, 0, 0}, {}));
  EXPECT_FALSE(check({fetch_kind::want_manifest, model, 1, 0}, {}));
  EXPECT_FALSE(check({fetch_kind::manifest, model, 0, 1}, std::vector<std::byte>(1)));
  EXPECT_EQ(check({static_cast<fetch_kind>(8), model, 0, 0}, {}).error().code, errc::unsupported);
}

TEST(fetch_frame, a_refusal_carries_printable_text_of_a_known_code_alone) {
  const error wild{errc::busy, std::string(2'000, '\n')};
  EXPECT_EQ(decode_fetch(encode_refusal(model, 3, wild))->reason().message,
            std::string(limits::error_text_bytes_max, '?'));
  const std::vector<std::byte> unknown{std::byte{255}};
  EXPECT_EQ(check({fetch_kind::refusal, model, 3, 0}, unknown).error().code, errc::unsupported);
  const std::vector<std::byte> control{std::byte{1}, std::byte{27}};
  EXPECT_EQ(check({fetch_kind::refusal, model, 3, 0}, control).error().code, errc::malformed);
}

} // namespace
} // namespace ovir
