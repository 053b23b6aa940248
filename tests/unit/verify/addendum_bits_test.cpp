// Every single bit of a file of addenda, changed: it is not read, or what it says does not count.
#include "messages/evidence/addendum.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "verify/addendum_check.hpp"

#include <gtest/gtest.h>

namespace ovir {
namespace {

TEST(addendum_bits, none_can_be_changed_unnoticed) {
  const test::receipt_maker cast;
  const receipt r = cast.honest();
  addendum a;
  a.receipt = receipt_digest(encode_receipt(r));
  a.means = {audit_kernels::avx2, "ovir test"};
  a.unix_seconds = 1'800'000'000;
  a.units = {{0, 0, audit_finding::right}, {2, 1, audit_finding::wrong}};
  sign_addendum(a, cast.key(test::receipt_maker::stranger));
  const auto subject = compute::subject_of(r, a.receipt);
  const auto bytes = *encode_addenda(std::span{&a, 1});
  ASSERT_EQ(compute::judge_addenda(subject, *decode_addenda(bytes)).sound.size(), 1U);
  std::size_t unread = 0;
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    auto changed = bytes;
    changed[bit / 8] ^= std::byte{static_cast<unsigned char>(1U << bit % 8)};
    const auto read = decode_addenda(changed);
    unread += read ? 0 : 1;
    if (read) {
      EXPECT_TRUE(compute::judge_addenda(subject, *read).sound.empty()) << "bit " << bit;
    }
  }
  EXPECT_GT(unread, bytes.size()) << "the form itself has few bits to spare";
}

} // namespace
} // namespace ovir
