#include "actors/protocol/wire.hpp"
#include "messages/limits/general.hpp"
#include "tests/property/random_wire.hpp"
#include "tests/support/allocation_meter.hpp"

#include <gtest/gtest.h>

#include <bitset>
#include <cstdlib>
#include <cstring>

namespace ovir::actors {
namespace {

std::uint64_t seed_of_this_run() {
  const char* text = std::getenv("OVIR_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 20'260'301;
}

TEST(wire_property, every_message_reads_back_as_it_was_written) {
  const std::uint64_t seed = seed_of_this_run();
  SCOPED_TRACE("OVIR_SEED=" + std::to_string(seed));
  std::mt19937_64 random{seed};
  std::bitset<std::variant_size_v<wire_body>> kinds;
  for (int i = 0; i < 5'000; ++i) {
    const wire_message sent = test::random_wire(random);
    ASSERT_TRUE(check(sent)) << i << ": " << check(sent).error().message;
    const auto bytes = encode_wire(sent);
    ASSERT_LE(bytes.size(), wire_bytes(sent));
    const auto read = decode_wire(bytes);
    ASSERT_TRUE(read) << i << ", kind " << sent.body.index() << ": " << read.error().message;
    ASSERT_EQ(*read, sent) << i << ", kind " << sent.body.index();
    kinds.set(sent.body.index());
  }
  EXPECT_TRUE(kinds.all()) << kinds;
}

// Whatever is accepted is a message of its own right: in its one form, within every rule.
TEST(wire_property, a_damaged_message_is_refused_or_the_one_encoding_of_another) {
  const std::uint64_t seed = seed_of_this_run();
  SCOPED_TRACE("OVIR_SEED=" + std::to_string(seed));
  std::mt19937_64 random{seed + 1};
  std::size_t refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    const wire_message sent = test::random_wire(random);
    auto bytes = encode_wire(sent);
    const auto damages = 1 + random() % 3;
    for (std::size_t d = 0; d < damages; ++d) {
      // Half of them where the pointers are.
      const std::size_t reach =
          random() % 2 == 0 ? std::min<std::size_t>(96, bytes.size()) : bytes.size();
      bytes[random() % reach] ^= static_cast<std::byte>(1U << (random() % 8));
    }
    const auto read = decode_wire(bytes);
    if (!read) {
      ASSERT_FALSE(read.error().message.empty());
      ++refused;
    } else if (!std::holds_alternative<stage_failed>(read->body) &&
               !std::holds_alternative<wire_load_failed>(read->body)) {
      ASSERT_EQ(encode_wire(*read), bytes) << i;
    }
  }
  EXPECT_GT(refused, 5'000U);
}

TEST(wire_property, no_truncation_and_no_longer_form_is_accepted) {
  const std::uint64_t seed = seed_of_this_run();
  SCOPED_TRACE("OVIR_SEED=" + std::to_string(seed));
  std::mt19937_64 random{seed + 2};
  for (int i = 0; i < 40; ++i) {
    const auto whole = encode_wire(test::random_wire(random));
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const std::vector<std::byte> cut{whole.begin(),
                                       whole.begin() + static_cast<std::ptrdiff_t>(size)};
      const auto read = decode_wire(cut);
      ASSERT_FALSE(read);
      ASSERT_EQ(read.error().code, errc::malformed);
    }
    auto longer = whole;
    longer.resize(whole.size() + 8);
    ASSERT_FALSE(decode_wire(longer));
    // A word that nothing points to, declared as part of the segment.
    const auto words = static_cast<std::uint32_t>(longer.size() / 8 - 1);
    std::memcpy(longer.data() + 4, &words, sizeof(words));
    const auto read = decode_wire(longer);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, errc::malformed);
  }
}

// The longest prompt there can be, a damaged form of it, and what both cost.
TEST(wire_property, decoding_takes_a_small_multiple_of_the_bytes_that_came) {
  wire_adopt adopt;
  adopt.log.prompt.assign(limits::context_max - 1, 5);
  adopt.log.max_tokens = 1;
  const wire_message sent{request_id{}, epoch{1}, 0, adopt};
  auto bytes = encode_wire(sent);
  for (const bool damaged : {false, true}) {
    bytes.back() ^= std::byte{damaged};
    test::reset_allocation_peak();
    const std::size_t before = test::allocated_bytes();
    EXPECT_EQ(decode_wire(bytes).has_value(), !damaged);
    EXPECT_LE(test::allocation_peak() - before, 3 * bytes.size()) << damaged;
  }
}

} // namespace
} // namespace ovir::actors
