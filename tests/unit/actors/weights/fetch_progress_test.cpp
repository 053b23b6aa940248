#include "actors/weights/fetch_progress.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

fetch_progress of_layers() {
  fetch_progress fetch;
  fetch.model.bytes[0] = 0xab;
  fetch.layers = {4, 8};
  fetch.bytes = 100U << 20U;
  return fetch;
}

node_id member_numbered(std::uint8_t n) {
  node_id id;
  id.key[0] = n;
  return id;
}

TEST(fetch_progress, says_what_is_fetched_how_far_from_whom_and_how_long_yet) {
  fetch_progress fetch = of_layers();
  EXPECT_EQ(words_of(fetch, 3s), "looks for a member that has layers 4-7 of model ab000000");
  fetch.sources[member_numbered(1)].joined = true;
  const std::string one = short_name(member_numbered(1));
  EXPECT_EQ(words_of(fetch, 3s),
            "fetches layers 4-7 of model ab000000 from " + one + ": 0 of 100 MiB");
  // What was on the disk before says nothing of the rate.
  fetch.present_bytes = 40U << 20U;
  fetch.count.verified_bytes = 20U << 20U;
  EXPECT_EQ(words_of(fetch, 4s),
            "fetches layers 4-7 of model ab000000 from " + one + ": 60 of 100 MiB, about 8 s left");
}

TEST(fetch_progress, names_few_of_many_sources) {
  fetch_progress fetch = of_layers();
  for (std::uint8_t n = 1; n <= 5; ++n) {
    fetch.sources[member_numbered(n)].joined = n != 2;
  }
  const std::string words = words_of(fetch, 1s);
  EXPECT_NE(words.find(short_name(member_numbered(4)) + " and 1 more: "), std::string::npos)
      << words;
  EXPECT_EQ(words.find(short_name(member_numbered(2))), std::string::npos) << words;
}

} // namespace
} // namespace ovir::actors
