// Every single bit of a receipt counts: with any one of them flipped it is refused, or found wrong.
#include "messages/evidence/compact_receipt.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "verify/receipt_check.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir {
namespace {

const compute::signer_policy anybody{compute::signer_policy::kind::any, {}};

template <class Accepted>
void expect_every_flip_rejected(std::vector<std::byte> bytes, const Accepted& accepted) {
  ASSERT_TRUE(accepted(bytes));
  std::size_t survived = 0;
  for (std::size_t i = 0; i < 8 * bytes.size(); ++i) {
    const auto bit = std::byte{1} << static_cast<int>(i % 8);
    bytes[i / 8] ^= bit;
    if (accepted(bytes)) {
      ++survived;
      ADD_FAILURE() << "bit " << i % 8 << " of byte " << i / 8;
    }
    bytes[i / 8] ^= bit;
  }
  EXPECT_EQ(survived, 0U);
}

TEST(receipt_bits, of_a_receipt_all_count) {
  for (const receipt& r : {test::receipt_maker{}.small(), test::receipt_maker{}.small_greedy()}) {
    expect_every_flip_rejected(encode_receipt(r), [](const std::vector<std::byte>& bytes) {
      const auto read = decode_receipt(bytes);
      return read && check_receipt(*read, anybody).empty();
    });
  }
}

// Layer, author, binding and signature.
TEST(receipt_bits, of_a_citation_all_count) {
  const test::receipt_maker cast;
  receipt r = cast.make({2, 2, 34, 2, 17});
  cast.cite(r, 0, 1, 0, test::receipt_maker::stranger);
  cast.sign_stage(r, 0);
  cast.close(r);
  std::vector<std::byte> bytes = encode_receipt(r);
  const auto accepted = [&] {
    const auto read = decode_receipt(bytes);
    return read && check_receipt(*read, anybody).empty();
  };
  ASSERT_TRUE(accepted());
  const auto author = std::as_bytes(std::span{cast.id(test::receipt_maker::stranger).key});
  const auto at = std::search(bytes.begin(), bytes.end(), author.begin(), author.end());
  ASSERT_NE(at, bytes.end());
  for (std::size_t i = 0; i < 8 * sizeof(unit_citation); ++i) {
    std::byte& flipped = *(at - 4 + static_cast<std::ptrdiff_t>(i / 8));
    const auto bit = std::byte{1} << static_cast<int>(i % 8);
    flipped ^= bit;
    EXPECT_FALSE(accepted()) << "bit " << i;
    flipped ^= bit;
  }
}

TEST(receipt_bits, of_a_compact_receipt_all_count) {
  const receipt r = test::receipt_maker{}.small();
  expect_every_flip_rejected(encode_compact(compact(r).value()),
                             [](const std::vector<std::byte>& bytes) {
                               const auto read = decode_compact(bytes);
                               return read && check_receipt(*read, anybody).empty();
                             });
}

TEST(receipt_bits, of_an_opened_unit_all_count) {
  const receipt r = test::receipt_maker{}.honest();
  const compact_receipt brief = compact(r).value();
  for (const std::uint32_t window : {0U, 2U}) {
    expect_every_flip_rejected(encode_opening(open_unit(r, window, 4).value()),
                               [&](const std::vector<std::byte>& bytes) {
                                 const auto read = decode_opening(bytes);
                                 return read && check_opening(brief, *read);
                               });
  }
}

} // namespace
} // namespace ovir
