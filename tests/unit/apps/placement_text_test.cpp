#include "apps/ovir/shell/placement_text.hpp"

#include <gtest/gtest.h>

namespace ovir::apps {
namespace {

TEST(placement_text, draws_what_is_held_and_what_shall_be) {
  const json data = json::parse(R"({
    "models": [{"model": "aabbccdd00", "name": "tiny.gguf", "layers": 8, "context": 256,
                "placer_name": "n1", "here": true, "served": true, "nodes": [
      {"name": "n1", "takes_orders": true, "held": [{"first_layer": 0, "last_layer": 4}],
       "aim": [{"first_layer": 0, "last_layer": 3}]},
      {"name": "n2", "takes_orders": false, "held": [],
       "spares": [{"first_layer": 6, "last_layer": 7}], "aim": []},
      {"name": "n3", "takes_orders": true, "held": [],
       "aim": [{"first_layer": 4, "last_layer": 7}]}]}],
    "under_way": [{"name": "n3", "model": "aabbccdd00", "first_layer": 4, "last_layer": 7,
                   "order": "fetch", "reason": "no node holds them"}],
    "next": [], "waiting": 1})");
  EXPECT_EQ(placement_text(data),
            "tiny.gguf  8 layers, 256 positions a request, placed by this node so that it is "
            "served\n"
            "  n1               ████▒···\n"
            "  n2               ······░░  takes no orders\n"
            "  n3               ····++++\n"
            "█ held  + to be fetched  ▒ to be dropped  ░ on its disk  · not here\n"
            "now   n3 fetches layers 4-7 of aabbccdd: no node holds them\n"
            "and 1 after these\n");
}

TEST(placement_text, of_a_model_that_another_node_places_says_whom_to_ask) {
  const json data = json::parse(R"({
    "models": [{"name": "tiny.gguf", "layers": 2, "context": 256, "placer_name": "n1",
                "placer_address": "a.example:7310", "here": false, "served": null, "nodes": [
      {"name": "n1", "takes_orders": true, "held": [{"first_layer": 0, "last_layer": 1}],
       "aim": null}]}],
    "under_way": [], "next": [], "waiting": 0})");
  EXPECT_EQ(placement_text(data),
            "tiny.gguf  2 layers, 256 positions a request, placed by n1, shells on "
            "a.example:7310\n"
            "  n1               ██\n"
            "█ held  + to be fetched  ▒ to be dropped  ░ on its disk  · not here\n");
}

TEST(placement_text, anything_that_a_node_may_say_is_drawn) {
  for (const char* text : {"null", "{}", "[]", R"({"models": 3})", R"({"models": [null, 1, {}]})",
                           R"({"models": [{"layers": 99999, "nodes": [{"held": [{}]}]}]})",
                           R"({"models": [{"layers": 2, "here": 4}], "next": [1]})"}) {
    EXPECT_FALSE(placement_text(json::parse(text)).empty()) << text;
  }
}

} // namespace
} // namespace ovir::apps
