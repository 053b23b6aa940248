#include "messages/limits/general.hpp"
#include "messages/limits/parts.hpp"
#include "messages/wire/group_frame.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace ovir {
namespace {

using testing::HasSubstr;

constexpr std::uint16_t group_rows = 3;

struct group_message {
  group_header header;
  std::size_t bytes; ///< of the payload
};

group_header header_of(group_kind kind, std::uint32_t width) {
  group_header h{kind, 2, group_rows, 0, 0, width, 0, 77, 5};
  if (crosses(kind)) {
    h.layer = 21;
    h.step = 100;
    h.block = 2;
  }
  if (kind >= group_kind::form && kind <= group_kind::part) {
    h.rows = 0;
  }
  if (kind >= group_kind::form && kind != group_kind::written && kind != group_kind::proofs) {
    h.pass = 0;
  }
  return h;
}

std::vector<group_message> one_of_each() {
  using enum group_kind;
  return {{header_of(queries_keys, 6), 72},  {header_of(maxima, 0), 15},
          {header_of(floats, 5), 63},        {header_of(quantised, 256), 3 * 266},
          {header_of(sums, 8), 1 + 24 * 6},  {header_of(rows, 7), 84},
          {header_of(logits, 11), 132},      {header_of(begin, 4), 2 * 24 + 48},
          {header_of(head, 0), 12},          {header_of(form, 0), 100},
          {header_of(formed, 0), 0},         {header_of(part, 0), 0},
          {header_of(history, 10), 24 + 60}, {header_of(written, 10), 60},
          {header_of(close, 0), 24},         {header_of(proofs, 0), 192}};
}

std::vector<std::byte> payload_of(const group_message& m) {
  std::vector<std::byte> payload(m.bytes);
  if (m.header.kind == group_kind::begin) {
    const std::vector<group_session> sessions{{9, 0, 2, 50}, {10, 40, 1, 50}};
    return begin_payload(sessions, std::vector<float>(12, 1.5F));
  }
  if (m.header.kind == group_kind::history) {
    return history_payload({9, 40, 3, 43}, std::vector<std::uint16_t>(30, 7));
  }
  return payload;
}

TEST(group_frame, of_every_kind_comes_back_as_it_was) {
  for (const group_message& m : one_of_each()) {
    const auto payload = payload_of(m);
    const auto bytes = encode_group(m.header, payload);
    EXPECT_EQ(bytes.size(), group_overhead_bytes + payload.size());
    const auto view = decode_group(bytes);
    ASSERT_TRUE(view) << view.error().message;
    EXPECT_EQ(view->header, m.header);
    EXPECT_TRUE(
        std::equal(payload.begin(), payload.end(), view->payload.begin(), view->payload.end()));
  }
}

TEST(group_frame, tells_of_a_pass_its_sessions_and_its_stream) {
  const group_message m = one_of_each()[7];
  const auto bytes = encode_group(m.header, payload_of(m));
  const auto view = decode_group(bytes).value();
  EXPECT_EQ(view.sessions(), (std::vector<group_session>{{9, 0, 2, 50}, {10, 40, 1, 50}}));
  EXPECT_EQ(view.stream().size(), 12U);
  EXPECT_EQ(view.stream()[11], 1.5F);
}

TEST(group_frame, brings_k_and_v_of_a_session) {
  const auto messages = one_of_each();
  const auto bytes = encode_group(messages[12].header, payload_of(messages[12]));
  const auto view = decode_group(bytes).value();
  EXPECT_EQ(view.sessions(), (std::vector<group_session>{{9, 40, 3, 43}}));
  EXPECT_EQ(std::vector<std::uint16_t>(view.halves().begin(), view.halves().end()),
            std::vector<std::uint16_t>(30, 7));
}

TEST(group_frame, is_refused_where_a_field_is_out_of_its_range) {
  struct wrong {
    group_header header;
    std::size_t bytes;
    errc code;
  };
  const auto changed = [](group_kind kind, std::uint32_t width, auto change) {
    group_header h = header_of(kind, width);
    change(h);
    return h;
  };
  using enum group_kind;
  for (const wrong& w : {
           wrong{header_of(group_kind{0}, 0), 0, errc::unsupported},
           wrong{header_of(group_kind{17}, 0), 0, errc::unsupported},
           wrong{changed(maxima, 0, [](auto& h) { h.member = limits::group_members_max; }), 15,
                 errc::over_limit},
           wrong{changed(maxima, 0, [](auto& h) { h.rows = limits::prefill_chunk_max + 1; }), 15,
                 errc::over_limit},
           wrong{changed(maxima, 0, [](auto& h) { h.layer = limits::layers_max; }), 15,
                 errc::over_limit},
           wrong{changed(maxima, 0, [](auto& h) { h.step = limits::group_steps_max; }), 15,
                 errc::over_limit},
           wrong{header_of(rows, limits::embedding_max + 1), 0, errc::over_limit},
           wrong{changed(maxima, 0, [](auto& h) { h.rows = 0; }), 0, errc::malformed},
           wrong{changed(maxima, 0, [](auto& h) { h.block = 0; }), 15, errc::malformed},
           wrong{changed(maxima, 0, [](auto& h) { h.block = 3; }), 15, errc::malformed},
           wrong{changed(logits, 11, [](auto& h) { h.layer = 1; }), 132, errc::malformed},
           wrong{changed(part, 0, [](auto& h) { h.rows = 1; }), 0, errc::malformed},
           wrong{header_of(maxima, 1), 15, errc::over_limit},
           wrong{header_of(maxima, 0), 14, errc::malformed},
           wrong{header_of(floats, 5), 60, errc::malformed},
           wrong{header_of(quantised, 256), 3 * 256 - 1, errc::malformed},
           wrong{header_of(quantised, 256), 3 * 272 + 1, errc::malformed},
           wrong{header_of(sums, 8), 24, errc::malformed},
           wrong{header_of(sums, 8), 1 + 24 * 8 + 1, errc::malformed},
           wrong{header_of(begin, 4), 48, errc::malformed},
           wrong{header_of(begin, 4), 48 + 25, errc::malformed},
           wrong{header_of(begin, 4), 48 + 24 * (limits::pass_sessions_max + 1), errc::malformed},
           wrong{header_of(form, 0), limits::group_order_bytes_max + 1, errc::malformed},
           wrong{header_of(form, 0), 0, errc::malformed},
           wrong{header_of(part, 0), 1, errc::malformed},
           wrong{header_of(proofs, 0), 191, errc::malformed},
           wrong{changed(proofs, 0, [](auto& h) { h.rows = 0; }), 0, errc::malformed},
       }) {
    const auto refused = check(w.header, std::vector<std::byte>(w.bytes));
    ASSERT_FALSE(refused) << static_cast<unsigned>(w.header.kind) << ", " << w.bytes << " bytes";
    EXPECT_EQ(refused.error().code, w.code) << refused.error().message;
  }
}

TEST(group_frame, refuses_sessions_that_do_not_fill_the_pass) {
  const group_header h = header_of(group_kind::begin, 1);
  const std::vector<float> stream(3);
  const auto refused = [&](const std::vector<group_session>& sessions) {
    return !check(h, begin_payload(sessions, stream)).has_value();
  };
  constexpr std::uint32_t most = limits::context_max;
  EXPECT_FALSE(refused({{1, 0, 3, 3}}));
  EXPECT_FALSE(refused({{1, 0, 2, 9}, {2, 8, 1, 9}}));
  EXPECT_TRUE(refused({{1, 0, 2, 9}}));
  EXPECT_TRUE(refused({{1, 0, 2, 9}, {2, 0, 2, 9}}));
  EXPECT_TRUE(refused({{1, 0, 3, 9}, {2, 0, 0, 9}}));
  EXPECT_TRUE(refused({{1, 7, 3, 9}})) << "beyond what it may come to";
  EXPECT_TRUE(refused({{1, 0, 3, most + 1}}));
  EXPECT_FALSE(refused({{1, 0, 3, 9, 1}}));
  EXPECT_TRUE(refused({{1, 0, 3, 9, 2}}));
  // Counts that come to the right sum by overflow.
  EXPECT_TRUE(refused({{1, 0, 0xFFFFFFFF, most}, {2, 0, 4, most}}));
}

TEST(group_frame, of_more_bytes_than_a_frame_may_have_is_refused_before_it_is_read) {
  group_header h = header_of(group_kind::rows, limits::embedding_max);
  h.rows = limits::prefill_chunk_max;
  EXPECT_EQ(check(h, std::vector<std::byte>(std::size_t{h.rows} * h.width * 4)).error().code,
            errc::over_limit);
}

TEST(group_frame, has_one_encoding) {
  const group_message m = one_of_each()[1];
  const auto bytes = encode_group(m.header, payload_of(m));
  for (std::size_t at = 0; at < group_overhead_bytes; ++at) {
    for (const unsigned bit : {0U, 7U}) {
      auto other = bytes;
      other[at] ^= std::byte{1} << bit;
      const auto view = decode_group(other);
      if (view) {
        EXPECT_EQ(encode_group(view->header, view->payload), other) << at;
      }
    }
  }
  auto longer = bytes;
  longer.push_back({});
  EXPECT_FALSE(decode_group(longer));
  EXPECT_FALSE(decode_group(std::span{bytes}.first(bytes.size() - 1)));
  EXPECT_FALSE(decode_group({}));
}

} // namespace
} // namespace ovir
