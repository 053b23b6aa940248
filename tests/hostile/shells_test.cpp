// Admin shells that were let in and do not keep to the protocol, or want more than they may.
#include "messages/limits/general.hpp"
#include "tests/hostile/hostile_node.hpp"

#include <gmock/gmock.h>

namespace ovir::test {
namespace {

using testing::HasSubstr;
using json = apps::json;

class hostile_shell_at : public hostile_node {
protected:
  static std::string code_of(const json& reply) {
    return reply.is_object() && reply.contains("error") ? reply["error"].value("code", "") : "";
  }
};

TEST_F(hostile_shell_at, a_node_says_what_is_no_command) {
  const std::string deep(1U << 20U, '[');
  std::string objects;
  for (int i = 0; i < 200'000; ++i) {
    objects += "{\"\":";
  }
  std::string lists = R"({"id":1,"command":"run","args":{"tokens":[[])";
  while (lists.size() < 1'900'000) {
    lists += ",[]";
  }
  lists += "]}}";
  for (std::size_t node = 0; node < cluster_->size(); ++node) {
    for (const std::string& text :
         {std::string{}, std::string{"\0\0", 2}, std::string{"nodes"}, std::string{"[]"},
          std::string{"7"}, std::string{R"({"id":0,"command":"nodes"})"},
          std::string{R"({"id":-1,"command":"nodes"})"},
          std::string{R"({"id":1.5,"command":"nodes"})"},
          std::string{R"({"id":9007199254740993,"command":"nodes"})"},
          std::string{R"({"id":1,"command":7})"}, std::string{R"({"id":1})"},
          std::string{R"({"id":1,"command":"nodes","args":[]})"},
          std::string{R"({"id":1,"id":2,"command":"nodes"})"},
          std::string{"{\"id\":1,\"command\":\"no\xff\xfe\"}"}, deep,
          "{\"id\":1,\"command\":\"nodes\",\"args\":{\"a\":" + deep, objects, lists,
          R"({"id":1,"command":")" + std::string(1U << 20U, 'x')}) {
      hostile_shell liar = shell(node);
      ASSERT_TRUE(liar.say(text));
      EXPECT_TRUE(liar.link.waits_for_close()) << text.substr(0, 80);
    }
    hostile_shell huge = shell(node);
    (void)huge.link.message(4, (2U << 20U) + 1, noise(100));
    EXPECT_TRUE(huge.link.waits_for_close());
    hostile_shell twice = shell(node);
    ASSERT_TRUE(twice.say(R"({"id":5,"command":"top","args":{"follow":true}})"));
    ASSERT_TRUE(twice.say(R"({"id":5,"command":"nodes"})"));
    EXPECT_TRUE(twice.link.waits_for_close()) << "an id that is in use";
  }
  expect_service();
}

TEST_F(hostile_shell_at, a_node_may_look_only_and_changes_nothing) {
  hostile_shell reader = shell(head);
  const std::string front_key = cluster_->ask(front, "version").at("node");
  for (const auto& [command, args] :
       {std::pair<std::string, json>{"kick", {{"node", front_key}}},
        {"drain", {{"node", "head"}}},
        {"unload", {{"model", to_hex(model_)}}},
        {"load", {{"path", "/etc/passwd"}}},
        {"log", {{"level", "error"}}},
        {"chaos", {{"action", "kill"}, {"node", "head"}}},
        {"cancel", {{"request", "0000000000000001"}}},
        {"run", {{"request", "0000000000000001"}, {"prompt", "hello"}}}}) {
    EXPECT_EQ(code_of(reader.ask(command, args)), "forbidden") << command;
  }
  EXPECT_EQ(code_of(reader.ask("reboot")), "unsupported");
  EXPECT_TRUE(reader.ask("nodes").value("ok", false));
  EXPECT_EQ(reader.ask("version").at("data").at("roles"), json({"reader"}));
  ASSERT_TRUE(reader.say(R"({"id":700,"command":"top","args":{"follow":true}})"));
  ASSERT_TRUE(reader.say(R"({"id":701,"command":"top","args":{"follow":true}})"));
  json refused;
  do {
    refused = reader.hear();
  } while (refused.is_object() && refused["id"] != 701);
  EXPECT_EQ(code_of(refused), "busy") << "it follows one already";
  expect_service();
}

TEST_F(hostile_shell_at, a_node_gives_absurd_arguments) {
  hostile_shell operating = shell(head, attacker::operating);
  const std::string id = "00000000000000aa";
  const json base{{"request", id}, {"tokens", {1, 2, 3}}};
  const auto with = [&](const std::string& key, const json& value) {
    json args = base;
    args[key] = value;
    return args;
  };
  const std::vector<json> absurd{with("max_tokens", 0),
                                 with("max_tokens", std::uint64_t{1} << 40U),
                                 with("max_tokens", -5),
                                 with("max_tokens", "many"),
                                 with("temperature", 1e300),
                                 with("temperature", -1),
                                 with("top_p", 7),
                                 with("min_p", -3),
                                 with("repeat_penalty", 1e-300),
                                 with("top_k", std::uint64_t{1} << 60U),
                                 with("seed", 1e18),
                                 with("seed", -1),
                                 with("stop", json::array({""})),
                                 with("stop", json(std::vector<std::string>(17, "x"))),
                                 with("stop", json::array({std::string(1'000, 'x')})),
                                 with("deadline_ms", 0),
                                 with("deadline_ms", std::uint64_t{1} << 63U),
                                 with("model", "nothing like it"),
                                 with("model", std::string(100'000, 'm')),
                                 with("tokens", json::array()),
                                 with("tokens", json::array({vocabulary})),
                                 with("tokens", json::array({-1})),
                                 with("tokens", json(std::vector<int>(100'000, 1))),
                                 with("request", "AA"),
                                 with("request", std::string(100'000, 'a')),
                                 with("colour", "red"),
                                 with("prompt", "and tokens too")};
  for (const json& args : absurd) {
    const json reply = operating.ask("run", args);
    EXPECT_NE(code_of(reply), "") << args.dump().substr(0, 200);
    EXPECT_LT(reply.dump().size(), 2'000U);
  }
  hostile_shell reader = shell(head);
  for (const auto& [command, args] :
       {std::pair<std::string, json>{"plan", {{"context", std::uint64_t{1} << 60U}}},
        {"plan", {{"model", json::array()}}},
        {"job", {{"request", nullptr}}},
        {"attach", {{"request", id}, {"from", std::uint64_t{1} << 33U}}},
        {"attach", {{"request", id}, {"from", 0}}},
        {"top", {{"follow", true}, {"every_ms", 0}}},
        {"stop", {{"id", 12'345}}},
        {"nodes", {{std::string(100'000, 'k'), 1}}}}) {
    const json reply = reader.ask(command, args);
    EXPECT_FALSE(reply.value("ok", true)) << command << reply.dump();
    EXPECT_LT(reply.dump().size(), 2'000U) << command;
  }
  expect_service();
}

TEST_F(hostile_shell_at, a_node_floods_it_with_commands) {
  for (std::size_t node = 0; node < cluster_->size(); ++node) {
    hostile_shell flood = shell(node);
    std::size_t answers = 0;
    std::size_t busy = 0;
    std::uint64_t id = 0;
    for (int batch = 0; batch < 10; ++batch) {
      for (int i = 0; i < 1'000; ++i) {
        ++id;
        ASSERT_TRUE(flood.say(R"({"id":)" + std::to_string(id) + R"(,"command":"nodes"})"));
      }
      for (int i = 0; i < 1'000; ++i) {
        const json reply = flood.hear();
        ASSERT_TRUE(reply.is_object());
        ++answers;
        busy += code_of(reply) == "busy" ? 1 : 0;
      }
    }
    EXPECT_EQ(answers, 10'000U);
    EXPECT_LT(busy, answers);
  }
  expect_service();
}

TEST_F(hostile_shell_at, a_node_reads_nothing_of_what_it_asked_for) {
  std::vector<hostile_shell> deaf;
  for (std::size_t i = 0; i < limits::shells_per_key_max; ++i) {
    deaf.push_back(shell(head));
    for (int id = 1; id <= 30; ++id) {
      ASSERT_TRUE(deaf.back().say(R"({"id":)" + std::to_string(id) +
                                  R"(,"command":"top","args":{"follow":true,"every_ms":100}})"));
    }
  }
  const std::string unknown = R"({"id":99,"command":"nodes","args":{"k":1}})";
  std::vector<bool> open(deaf.size(), true);
  for (int n = 0; n < 20'000; ++n) { // as long as anybody is listened to
    for (std::size_t i = 0; i < deaf.size(); ++i) {
      open[i] = open[i] && deaf[i].say(n % 2 == 0 ? R"({"id":99,"command":"nodes"})" : unknown);
    }
  }
  expect_service(3);
}

TEST_F(hostile_shell_at, a_node_sends_huge_commands_faster_than_they_are_read) {
  std::string huge = R"({"id":1,"command":"plan","args":{"model":")";
  huge += std::string(limits::admin_bytes_max - huge.size() - 3, 'm') + "\"}}";
  ASSERT_EQ(huge.size(), limits::admin_bytes_max);
  std::vector<std::thread> senders;
  senders.reserve(4);
  for (int i = 0; i < 4; ++i) {
    senders.emplace_back([&, link = shell(head)]() mutable {
      for (int n = 0; n < 10 && link.say(huge) && link.hear().is_object(); ++n) {
      }
      for (int n = 0; n < 30 && link.say(huge); ++n) { // and without waiting for answers
      }
    });
  }
  for (std::thread& sender : senders) {
    sender.join();
  }
  expect_service();
}

} // namespace
} // namespace ovir::test
