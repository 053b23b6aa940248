#include "messages/evidence/addendum.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <gtest/gtest.h>

namespace ovir {
namespace {

class addenda : public testing::Test {
protected:
  [[nodiscard]] addendum some(std::uint64_t receipt = 1) const {
    addendum a;
    a.receipt = hasher{"ovir/test/addendum"}.update_u64(receipt).finish();
    a.means = {audit_kernels::avx2, "ovir test"};
    a.unix_seconds = 1'800'000'000;
    a.units = {
        {0, 0, audit_finding::right}, {0, 2, audit_finding::missing}, {1, 1, audit_finding::wrong}};
    sign_addendum(a, cast_.key(test::receipt_maker::stranger));
    return a;
  }

  test::receipt_maker cast_;
};

TEST_F(addenda, are_read_as_they_were_written) {
  const std::vector<addendum> all{some(), some()};
  EXPECT_EQ(*decode_addenda(*encode_addenda(all)), all);
  EXPECT_TRUE(decode_addenda(*encode_addenda({}))->empty());
  const audit_message told = audit_addendum{some()};
  EXPECT_EQ(*decode_audit(*encode_audit(told)), told);
}

TEST_F(addenda, are_the_word_of_who_signed_all_of_it) {
  EXPECT_TRUE(verify_addendum(some()));
  const auto changed = [&](const auto& change) {
    addendum a = some();
    change(a);
    return verify_addendum(a);
  };
  EXPECT_FALSE(changed([](addendum& a) { a.receipt.bytes[3] ^= 1; }));
  EXPECT_FALSE(changed([](addendum& a) { a.means.kernels = audit_kernels::avx512; }));
  EXPECT_FALSE(changed([](addendum& a) { a.means.software += "."; }));
  EXPECT_FALSE(changed([](addendum& a) { ++a.unix_seconds; }));
  EXPECT_FALSE(changed([](addendum& a) { a.units[2].what = audit_finding::right; }));
  EXPECT_FALSE(changed([](addendum& a) { a.units.pop_back(); }));
  EXPECT_FALSE(changed([&](addendum& a) { a.verifier = cast_.id(0); }));
}

TEST_F(addenda, have_bounds_and_an_order) {
  const auto reads = [](const addendum& a) {
    return decode_addenda(*encode_addenda(std::span{&a, 1})).has_value();
  };
  EXPECT_TRUE(reads(some()));
  addendum a = some();
  a.units.clear();
  EXPECT_FALSE(reads(a)) << "it says nothing";
  a = some();
  std::swap(a.units[0], a.units[1]);
  EXPECT_FALSE(reads(a)) << "descending";
  a.units[0] = a.units[1];
  EXPECT_FALSE(reads(a)) << "twice";
  a.units.clear();
  for (std::uint32_t i = 0; i <= limits::addendum_units_max; ++i) {
    a.units.push_back({0, i, audit_finding::right});
  }
  EXPECT_FALSE(reads(a)) << "too many";
  a.units.pop_back();
  EXPECT_TRUE(reads(a));
  const std::vector<addendum> two{some(1), some(2)};
  EXPECT_FALSE(decode_addenda(*encode_addenda(two))) << "about different receipts";
  const std::vector<addendum> many(limits::addenda_per_receipt_max + 1, some());
  EXPECT_FALSE(encode_addenda(many));
}

} // namespace
} // namespace ovir
