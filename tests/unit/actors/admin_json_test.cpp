#include "actors/operator/admin_json_actor.hpp"
#include "messages/limits/general.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

errc code_of(std::string_view text) {
  const auto parsed = parse_command(text);
  return parsed ? errc{} : parsed.error().code;
}

TEST(admin_command, has_an_id_a_name_and_maybe_arguments) {
  const auto parsed = parse_command(R"({"id":7,"command":"jobs","args":{"a":[1,2],"b":{}}})");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->id, 7U);
  EXPECT_EQ(parsed->name, "jobs");
  EXPECT_EQ(parsed->args, (json{{"a", {1, 2}}, {"b", json::object()}}));
  EXPECT_TRUE(parse_command(R"({"id":9007199254740991,"command":""})")->args.empty());
}

TEST(admin_command, is_malformed_when_its_form_is_another) {
  for (const std::string_view text :
       {"", "nodes", "[]", "7", "{}", R"({"id":0,"command":"a"})", R"({"id":-1,"command":"a"})",
        R"({"id":1.0,"command":"a"})", R"({"id":9007199254740992,"command":"a"})",
        R"({"id":1,"command":7})", R"({"id":1})", R"({"id":1,"command":"a","args":[]})",
        R"({"id":1,"command":"a"} )"
        "x",
        R"({"id":1,"id":2,"command":"a"})", R"({"id":1,"command":"a","args":{"k":1,"k":2}})",
        "{\"id\":1,\"command\":\"\xff\"}"}) {
    EXPECT_EQ(code_of(text), errc::malformed) << text;
  }
}

TEST(admin_command, may_nest_so_deep_and_hold_so_many_lists_and_no_more) {
  const auto nested = [](std::size_t lists) {
    return R"({"id":1,"command":"a","args":{"k":)" + std::string(lists, '[') +
           std::string(lists, ']') + "}}";
  };
  EXPECT_EQ(code_of(nested(limits::admin_depth_max - 2)), errc{});
  EXPECT_EQ(code_of(nested(limits::admin_depth_max - 1)), errc::malformed);
  EXPECT_EQ(code_of(nested(500'000)), errc::malformed);
  const auto wide = [](std::size_t lists) {
    std::string text = R"({"id":1,"command":"a","args":{"k":[[])";
    for (std::size_t i = 1; i < lists; ++i) {
      text += ",[]";
    }
    return text + "]}}";
  };
  EXPECT_EQ(code_of(wide(limits::admin_containers_max - 3)), errc{});
  EXPECT_EQ(code_of(wide(limits::admin_containers_max - 2)), errc::malformed);
}

TEST(admin_arguments, are_refused_with_their_name_when_wrong_missing_or_unknown) {
  const json given = json::parse(R"({"n":5,"text":"t","list":["a","b"],"ids":[1,2],)"
                                 R"("request":"00000000000000ab","big":1})");
  admin_arguments args{given};
  EXPECT_EQ(args.whole("n", 0, 5, {}).value(), 5U);
  EXPECT_EQ(args.whole("n", 0, 4, {}).error().code, errc::invalid_argument);
  EXPECT_EQ(args.whole("text", 0, 4, {}).error().code, errc::invalid_argument);
  EXPECT_EQ(args.whole("absent", 0, 4, 3).value(), 3U);
  EXPECT_NE(args.whole("absent", 0, 4, {}).error().message.find("'absent'"), std::string::npos);
  EXPECT_EQ(args.number("n", 1).value(), 5.0);
  EXPECT_FALSE(args.number("text", 1));
  EXPECT_FALSE(args.boolean("n", true));
  EXPECT_EQ(args.texts("list", 2)->size(), 2U);
  EXPECT_FALSE(args.texts("list", 1));
  EXPECT_FALSE(args.texts("ids", 5));
  EXPECT_EQ(args.tokens("ids").value(), (std::vector<token_id>{1, 2}));
  EXPECT_FALSE(args.tokens("list"));
  EXPECT_EQ(args.request().value(), request_id{0xab});
  EXPECT_FALSE(args.request("text"));
  const auto left = args.done();
  ASSERT_FALSE(left);
  EXPECT_NE(left.error().message.find("'big'"), std::string::npos);
}

} // namespace
} // namespace ovir::actors
