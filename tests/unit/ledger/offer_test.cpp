// What a client looks at before it signs that it pays.
#include "ledger/rules/offer.hpp"
#include "messages/limits/credit.hpp"
#include "tests/support/ledger/ledger_world.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace ovir::ledger {
namespace {

using test::ledger_world;
using ::testing::HasSubstr;

constexpr std::uint64_t t0 = ledger_world::t0;
constexpr micro_credits credits = 1'000'000;

reserve good_offer() {
  reserve r;
  r.payer = ledger_world::node(1);
  r.scheduler = ledger_world::node(2);
  r.about.bytes[0] = 1;
  r.rate = credits;
  r.prompt = 40;
  r.completion_max = 60;
  r.expires = t0 + 900;
  r.stages = {{ledger_world::node(3), 4, 1'000'000}, {ledger_world::node(4), 4, 3'000'000}};
  r.nonce = 1;
  return r;
}

offer_terms terms() {
  offer_terms t;
  t.payer = ledger_world::node(1);
  t.scheduler = ledger_world::node(2);
  t.most = 200 * credits;
  t.prompt = 40;
  t.completion_max = 60;
  t.now = t0;
  return t;
}

TEST(offer, costs_what_its_path_asks) {
  EXPECT_EQ(check_offer(good_offer(), terms()).value(), 200 * credits); // at twice the rate
  offer_terms unknown = terms();
  unknown.prompt.reset(); // the client sent text
  EXPECT_EQ(check_offer(good_offer(), unknown).value(), 200 * credits);
}

TEST(offer, is_not_signed_where_it_says_anything_else) {
  const struct {
    std::function<void(reserve&, offer_terms&)> change;
    const char* why;
  } cases[] = {
      {[](reserve& r, offer_terms&) { r.payer = ledger_world::node(9); }, "to pay, not for"},
      {[](reserve& r, offer_terms&) { r.scheduler = ledger_world::node(9); }, "entrusts"},
      {[](reserve& r, offer_terms&) { r.scheduler = {}; }, "entrusts"},
      {[](reserve& r, offer_terms&) { r.prompt = 41; }, "a prompt of 41 tokens"},
      {[](reserve& r, offer_terms&) { r.completion_max = 61; }, "is for 61 tokens"},
      {[](reserve& r, offer_terms&) { r.expires = t0; }, "would hold the credits"},
      {[](reserve& r, offer_terms&) { r.expires = t0 + limits::offer_lasts_s_max + 1; },
       "would hold the credits"},
      {[](reserve& r, offer_terms&) { r.rate += 1; }, "more than the 200000000"},
      {[](reserve& r, offer_terms&) { r.stages[0].ask_ppm += 1; }, "more than the 200000000"},
      {[](reserve& r, offer_terms&) { r.stages.clear(); }, "1 to 64 stages"},
      {[](reserve& r, offer_terms&) { r.stages[1].layers = 0; }, "layers must be"},
      {[](reserve&, offer_terms& t) { t.most -= 1; }, "more than the 199999999"},
  };
  for (const auto& one : cases) {
    reserve r = good_offer();
    offer_terms t = terms();
    one.change(r, t);
    const auto price = check_offer(r, t);
    ASSERT_FALSE(price) << one.why;
    EXPECT_THAT(price.error().message, HasSubstr(one.why));
  }
}

TEST(offer, is_another_entry_than_a_reservation_of_ones_own) {
  reserve own = good_offer();
  own.scheduler = {};
  EXPECT_EQ(kind_of(own), command_kind::reserve);
  EXPECT_EQ(kind_of(good_offer()), command_kind::entrust);
  EXPECT_EQ(escrow_of(own), escrow_of(good_offer())) << "so that one of them is refused";
  EXPECT_EQ(id_of(own), id_of(good_offer()));
  for (const reserve& r : {own, good_offer()}) {
    std::vector<std::byte> bytes;
    encode({7, r, {}}, bytes);
    const entry back = decode_entry(bytes).value();
    EXPECT_EQ(std::get<reserve>(back.what), r);
  }
  std::vector<std::byte> nobody;
  encode({7, good_offer(), {}}, nobody);
  std::fill_n(nobody.begin() + 9 + node_id::size, node_id::size, std::byte{0});
  EXPECT_THAT(decode_entry(nobody).error().message, HasSubstr("names no scheduler"));
  reserve oneself = good_offer();
  oneself.scheduler = oneself.payer;
  EXPECT_THAT(check_form(oneself).error().message, HasSubstr("leave that out"));
}

} // namespace
} // namespace ovir::ledger
