#include "compute/text/prompt_lookup.hpp"
#include "messages/limits/draft.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ovir::compute {
namespace {

using id_list = std::vector<token_id>;

TEST(prompt_lookup, goes_on_as_the_text_did_where_it_stood_like_this_before) {
  EXPECT_EQ(lookup_draft(id_list{1, 2, 3, 4, 5, 9, 1, 2}, 3), (id_list{3, 4, 5}));
}

TEST(prompt_lookup, guesses_nothing_after_a_single_equal_token_or_none) {
  EXPECT_EQ(lookup_draft(id_list{1, 2, 3, 4, 2}, 3), id_list{});
  EXPECT_EQ(lookup_draft(id_list{1, 2, 3, 4, 5}, 3), id_list{});
  EXPECT_EQ(lookup_draft(id_list{7}, 3), id_list{});
  EXPECT_EQ(lookup_draft(id_list{}, 3), id_list{});
  EXPECT_EQ(lookup_draft(id_list{1, 2, 3, 1, 2}, 0), id_list{});
}

TEST(prompt_lookup, prefers_the_longest_match_and_then_the_latest) {
  EXPECT_EQ(lookup_draft(id_list{8, 1, 2, 5, 9, 1, 2, 6, 8, 1, 2}, 1), (id_list{5}));
  EXPECT_EQ(lookup_draft(id_list{9, 1, 2, 5, 9, 1, 2, 6, 9, 1, 2}, 1), (id_list{6}));
}

TEST(prompt_lookup, draws_a_repeated_run_out_to_what_is_asked_for) {
  EXPECT_EQ(lookup_draft(id_list{4, 4, 4, 4}, 5), (id_list{4, 4, 4, 4, 4}));
  EXPECT_EQ(lookup_draft(id_list{1, 2, 1, 2, 1, 2}, 5), (id_list{1, 2, 1, 2, 1}));
}

TEST(prompt_lookup, does_not_look_farther_back_than_its_bound) {
  id_list text(limits::draft_lookback_max + 3);
  for (std::size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<token_id>(i);
  }
  text[text.size() - 2] = 2; // stood at 2 and 3, of which 3 is the first that is looked at
  text[text.size() - 1] = 3;
  EXPECT_EQ(lookup_draft(text, 1), id_list{});
  text[text.size() - 2] = 3;
  text[text.size() - 1] = 4;
  EXPECT_EQ(lookup_draft(text, 1), id_list{5});
}

/// As the header says it, place by place.
id_list obvious_draft(const id_list& text, std::size_t count) {
  for (std::size_t length = lookup_match_max; length >= lookup_match_min; --length) {
    for (std::size_t end = text.size() - 1; end >= length; --end) {
      if (std::equal(text.end() - static_cast<std::ptrdiff_t>(length), text.end(),
                     text.begin() + static_cast<std::ptrdiff_t>(end - length))) {
        id_list all = text;
        for (std::size_t i = 0; i < count; ++i) {
          all.push_back(all[end + i]);
        }
        return {all.end() - static_cast<std::ptrdiff_t>(count), all.end()};
      }
    }
  }
  return {};
}

TEST(prompt_lookup, equals_its_obvious_twin_on_random_texts_of_few_words) {
  std::mt19937 random{5};
  std::size_t found = 0;
  for (int i = 0; i < 3'000; ++i) {
    id_list text(1 + random() % 60);
    const auto words = 2 + random() % 5;
    std::generate(text.begin(), text.end(), [&] { return random() % words; });
    const id_list draft = lookup_draft(text, 7);
    ASSERT_EQ(draft, obvious_draft(text, 7)) << "text " << i;
    found += draft.empty() ? 0 : 1;
  }
  EXPECT_GT(found, 1'000U);
}

} // namespace
} // namespace ovir::compute
