#include "actors/operator/admin_json_actor.hpp"
#include "apps/ovir/shell/explain_cache.hpp"

#include <gtest/gtest.h>

namespace ovir::apps {
namespace {

using actors::fetch_choice;
using actors::reuse_end;
using actors::stage_reuse;

actors::json stage(const stage_reuse& told) {
  actors::json out = actors::reuse_json(told);
  out["first_layer"] = 4;
  out["last_layer"] = 7;
  out["name"] = "second";
  return out;
}

TEST(explain_cache, says_where_units_came_from_and_why_no_more) {
  const std::string found = "cache      layers 4-7 on second: 2 of 3 windows found; 4 units from "
                            "memory, 3 from disk, 1 from others";
  const auto text = [](reuse_end end, const actors::fetch_told& others) {
    return explained_text(actors::json::array({stage({{4, 3, 1}, {3, 2, end, others}})}));
  };
  EXPECT_EQ(text(reuse_end::all, {}), found + "\n");
  EXPECT_EQ(text(reuse_end::missing, {.choice = fetch_choice::nobody}),
            found + "; the next one is not kept there; no other node claims it\n");
  EXPECT_EQ(text(reuse_end::damaged, {}),
            found + "; the next one is damaged, and computed again\n");
  EXPECT_EQ(text(reuse_end::rechecked, {}),
            found + "; the next one came from another node, and is computed to see whether it is "
                    "right\n");
  EXPECT_EQ(text(reuse_end::unanswered, {}), found + "; the cache did not answer\n");
  const std::string claimed = found +
                              "; the next one is not kept there; others claim 5 windows (20 "
                              "blocks that lack here), predicted 2.5 ms to fetch and ";
  EXPECT_EQ(text(reuse_end::missing, {fetch_choice::computed, 5, 20, 0, 2'500, 1'000, 0}),
            claimed + "1.0 ms to compute: computed\n");
  EXPECT_EQ(text(reuse_end::missing, {fetch_choice::busy, 5, 20, 0, 2'500, 9'000, 0}),
            claimed + "9.0 ms to compute: computed, as too many fetches were under way\n");
  EXPECT_EQ(text(reuse_end::missing, {fetch_choice::fetched, 5, 20, 2, 2'500, 0, 3'100}),
            found + "; the next one is not kept there; others claim 5 windows (20 blocks that lack "
                    "here), predicted 2.5 ms to fetch, and nothing known of computing: fetched, 2 "
                    "windows came in 3.1 ms\n");
}

TEST(explain_cache, makes_nothing_up_where_nothing_was_told) {
  EXPECT_EQ(explained_text(nullptr), "");
  EXPECT_EQ(explained_text(actors::json::array()), "");
  EXPECT_EQ(explained_text(actors::json::array({{{"first_layer", 0}, {"last_layer", 3}}})),
            "cache      layers 0-3: told nothing\n");
  // Of another node, or of anybody: whatever it is, nothing breaks.
  EXPECT_EQ(explained_text(actors::json::array({{{"first_layer", "x"}, {"name", "\x1b[31m"}}}))
                .find('\x1b'),
            std::string::npos);
}

} // namespace
} // namespace ovir::apps
