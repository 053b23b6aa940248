#include "actors/reuse/answer_record.hpp"
#include "tests/support/cluster/answers.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

namespace ovir::actors {
namespace {

using test::answered_prompt;
using test::drawn_window;
using test::finished_answer;

void seal(std::vector<std::byte>& record) {
  const std::span<std::byte> all{record};
  const digest check = hash("ovir/answer/v1/record", all.first(all.size() - digest::size));
  std::memcpy(all.last(digest::size).data(), check.bytes.data(), digest::size);
}

TEST(answer_record, comes_back_as_it_was) {
  for (const std::uint32_t count : {1U, 24U, 25U, 26U, 100U}) {
    const answer_record r = finished_answer(count);
    EXPECT_EQ(answer_from(to_bytes(r)).value(), r);
  }
  answer_record signed_for = finished_answer(3);
  signed_for.receipt.assign(41, std::byte{9});
  EXPECT_EQ(answer_from(to_bytes(signed_for)).value(), signed_for);
  EXPECT_EQ(answer_from(to_bytes(drawn_window())).value(), drawn_window());
}

TEST(answer_record, with_any_bit_changed_or_byte_missing_is_refused) {
  for (const answer_record& r : {finished_answer(3), drawn_window()}) {
    const std::vector<std::byte> right = to_bytes(r);
    for (std::size_t bit = 0; bit < right.size() * 8; ++bit) {
      std::vector<std::byte> wrong = right;
      wrong[bit / 8] ^= std::byte{1} << (bit % 8);
      EXPECT_FALSE(answer_from(wrong)) << "bit " << bit;
    }
    for (std::size_t size = 0; size < right.size(); ++size) {
      EXPECT_FALSE(answer_from(std::span{right}.first(size)));
    }
  }
}

TEST(answer_record, sealed_again_after_a_change_is_refused_where_it_does_not_add_up) {
  const auto with = [](const answer_record& r, std::size_t at, std::uint32_t value,
                       std::size_t bytes) {
    std::vector<std::byte> record = to_bytes(r);
    std::memcpy(record.data() + at, &value, bytes);
    seal(record);
    return answer_from(record);
  };
  const answer_record whole = finished_answer(3);
  EXPECT_EQ(with(whole, 4, 1, 2).error().code, errc::unsupported);
  EXPECT_EQ(with(whole, 6, 3, 1).error().code, errc::malformed);  // kind
  EXPECT_EQ(with(whole, 6, 1, 1).error().code, errc::malformed);  // kind of draws, with leaves
  EXPECT_EQ(with(whole, 7, 0, 1).error().code, errc::malformed);  // no end
  EXPECT_EQ(with(whole, 7, 3, 1).error().code, errc::malformed);  // unknown end
  EXPECT_EQ(with(whole, 8, 65, 4).error().code, errc::malformed); // a window more
  EXPECT_EQ(with(whole, 8, 0xFFFFFFFF, 4).error().code, errc::malformed);
  EXPECT_EQ(with(whole, 12, 3, 4).error().code, errc::malformed); // layers
  EXPECT_EQ(with(whole, 16, 0xFFFFFFFF, 4).error().code, errc::over_limit);
  EXPECT_EQ(with(whole, 20, 0xFFFFFFFF, 4).error().code, errc::malformed);
  EXPECT_EQ(with(whole, 24, 1, 4).error().code, errc::malformed); // a receipt that is not there
  EXPECT_EQ(with(whole, 28, 1, 4).error().code, errc::malformed); // not zero
  EXPECT_EQ(with(drawn_window(), 6, 2, 1).error().code, errc::malformed);
  EXPECT_EQ(with(drawn_window(), 7, 2, 1).error().code, errc::malformed);
}

TEST(answer_record, agrees_with_its_own_request_alone) {
  const answer_record right = finished_answer(30);
  const std::vector<token_id> prompt = answered_prompt();
  EXPECT_TRUE(agrees(right, prompt, 30, 300));
  EXPECT_TRUE(agrees(right, prompt, 31, 300));
  EXPECT_FALSE(agrees(right, prompt, 29, 300)); // longer than asked for
  EXPECT_FALSE(agrees(right, prompt, 30, 80));  // not of this vocabulary
  std::vector<token_id> other = prompt;
  other[5] ^= 1U;
  EXPECT_FALSE(agrees(right, other, 30, 300));
  EXPECT_FALSE(agrees(drawn_window(), prompt, 100, 300));
}

// A forger who changes a field and leaves the root as it was.
TEST(answer_record, changed_anywhere_no_longer_agrees_with_its_root) {
  const std::vector<token_id> prompt = answered_prompt();
  const answer_record right = finished_answer(30);
  std::vector<answer_record> forged(5, right);
  forged[0].drawn[7].token ^= 1U;
  forged[1].drawn[7].logits.bytes[3] ^= 1U;
  forged[2].leaves[2].bytes[0] ^= 1U;
  forged[3].transcript.bytes[9] ^= 1U;
  forged[4].drawn.pop_back();
  for (std::size_t i = 0; i < forged.size(); ++i) {
    EXPECT_FALSE(agrees(forged[i], prompt, 30, 300)) << i;
  }
}

TEST(answer_record, keys_tell_requests_apart_by_all_that_matters_and_nothing_else) {
  const digest model = hash_plain({});
  const std::vector<token_id> prompt = answered_prompt();
  sampling_params greedy;
  sampling_params greedy_with_seed;
  greedy_with_seed.seed = 5;
  EXPECT_EQ(request_digest(model, prompt, greedy), request_digest(model, prompt, greedy_with_seed));
  sampling_params hot;
  hot.temperature = 0.5F;
  std::vector<sampling_params> all(12, hot);
  all[1].seed = 1;
  all[2].top_k = 5;
  all[3].top_p = 0.5;
  all[4].min_p = 0.5;
  all[5].repeat_penalty = 2;
  all[6].temperature = 0.25F;
  all[7].constraint = "{}";
  all[8].presence_penalty = 1;
  all[9].frequency_penalty = 1;
  all[10].min_tokens = 1;
  all[11].logit_bias = {{1, 1.0F}};
  std::set<digest> keys{request_digest(model, prompt, greedy)};
  for (const sampling_params& s : all) {
    keys.insert(request_digest(model, prompt, s));
  }
  keys.insert(request_digest(hash("a", {}), prompt, greedy));
  keys.insert(request_digest(model, std::span{prompt}.first(39), greedy));
  EXPECT_EQ(keys.size(), 15U);
  const digest request = *keys.begin();
  const std::set<digest> ends{finished_key(request, 5, {}),
                              finished_key(request, 6, {}),
                              finished_key(request, 5, std::vector<std::string>{"a"}),
                              finished_key(request, 5, std::vector<std::string>{"a", "b"}),
                              finished_key(request, 5, std::vector<std::string>{"ab"}),
                              draws_key(request, 0),
                              draws_key(request, 5)};
  EXPECT_EQ(ends.size(), 7U);
}

} // namespace
} // namespace ovir::actors
