// The shell's client against nodes that follow a script, over real links.
#include "apps/ovir/shell/shell_client.hpp"
#include "tests/support/cluster/fake_node.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::apps {
namespace {

using test::fake_node;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::chrono::milliseconds never{60'000};

json answer(const std::vector<token_id>& tokens, const std::string& text) {
  return {{"request", "00000000000000aa"}, {"text", text},
          {"prompt_tokens", {1}},          {"tokens", tokens},
          {"finish_reason", "length"},     {"transcript", "00"}};
}

/// A client of some nodes and what it was told.
class shell_client_test : public ::testing::Test {
protected:
  shell_outcome call(const std::vector<std::string>& words,
                     const std::vector<const fake_node*>& nodes) {
    shell_target target;
    for (const fake_node* const node : nodes) {
      target.addresses.push_back(node->address());
    }
    target.nodes = believed_;
    auto link = shell_link::make(key_, std::move(target));
    EXPECT_TRUE(link) << link.error().message;
    shell_client client{**link, patience_, interrupted_};
    auto command = parse_command(words);
    EXPECT_TRUE(command) << command.error().message;
    if (command->spec->name == "run") {
      complete_run(*command, chance_);
    }
    shell_listener listener;
    listener.text = [this](std::string_view text) { text_ += text; };
    listener.event = [this](const json& event) {
      events_.push_back(event);
      if (on_event_) {
        on_event_();
      }
    };
    listener.note = [this](std::string_view note) { notes_.emplace_back(note); };
    listener.bunch = bunch_;
    return client.call(*command, listener);
  }
  static json data(const shell_outcome& outcome) {
    const auto* const failure = std::get_if<shell_failure>(&outcome);
    EXPECT_EQ(failure, nullptr) << failure->code << ": " << failure->message;
    return failure == nullptr ? std::get<json>(outcome) : json::object();
  }
  static std::string code(const shell_outcome& outcome) {
    const auto* const failure = std::get_if<shell_failure>(&outcome);
    return failure == nullptr ? "ok" : failure->code;
  }
  static json args(const fake_node& node, std::size_t command) {
    return node.requests().at(command).at("args");
  }

  secret_key key_{test::key_of(200)};
  std::vector<node_id> believed_;
  shell_patience patience_{.deadline = never,
                           .unknown = std::chrono::milliseconds{0},
                           .again = std::chrono::milliseconds{1},
                           .ending = never};
  std::atomic<bool> interrupted_{false};
  std::array<std::byte, 16> chance_{std::byte{0xaa}};
  std::string text_;
  std::uint32_t bunch_{1};
  std::vector<json> events_;
  std::vector<std::string> notes_;
  std::function<void()> on_event_;
};

TEST_F(shell_client_test, a_command_is_answered_with_its_data) {
  const fake_node node{1, [](fake_node& self, const json& command) {
                         self.done(json{{"id", 99}}, {{"of", "another command"}});
                         self.done(command, {{"nodes", json::array()}});
                       }};
  EXPECT_EQ(data(call({"nodes"}, {&node})), json({{"nodes", json::array()}}));
  EXPECT_THAT(node.commands(), ElementsAre("nodes"));
}

TEST_F(shell_client_test, a_refusal_keeps_its_code_and_decides_the_exit_code) {
  std::string refusal;
  const fake_node node{
      1, [&refusal](fake_node& self, const json& command) { self.refuse(command, refusal, "no"); }};
  const auto exit_for = [&](const std::string& as) {
    refusal = as;
    const auto outcome = call({"nodes"}, {&node});
    return exit_code_of(std::get<shell_failure>(outcome));
  };
  EXPECT_EQ(exit_for("not_found"), exit_code::refused);
  EXPECT_EQ(exit_for("forbidden"), exit_code::refused);
  EXPECT_EQ(exit_for("invalid_argument"), exit_code::usage);
  EXPECT_EQ(exit_for("timed_out"), exit_code::unavailable);
  EXPECT_EQ(exit_for("digest_mismatch"), exit_code::wrong);
  EXPECT_EQ(exit_for("of_a_later_version"), exit_code::unavailable);
}

TEST_F(shell_client_test, a_run_shows_its_text_once_and_the_tail_from_the_end) {
  const fake_node node{1, [](fake_node& self, const json& command) {
                         self.token(command, 0, 7, "On");
                         self.event(command, {{"note", "a stage moved"}});
                         self.token(command, 1, 8, "");
                         self.done(command, answer({7, 8}, "Once"));
                       }};
  const json end = data(call({"run", "Hi", "there", "-n", "2"}, {&node}));
  EXPECT_EQ(text_, "Once");
  EXPECT_EQ(end["tokens"], json({7, 8}));
  ASSERT_EQ(events_.size(), 1U);
  EXPECT_EQ(args(node, 0),
            json({{"prompt", "Hi there"}, {"max_tokens", 2}, {"request", "00000000000000aa"}}));
}

TEST_F(shell_client_test, a_lost_connection_goes_on_at_the_next_node_with_the_next_token) {
  const fake_node first{1, [](fake_node& self, const json& command) {
                          self.token(command, 0, 7, "On");
                          self.token(command, 1, 8, "ce ");
                          self.drop();
                        }};
  const fake_node second{2, [](fake_node& self, const json& command) {
                           self.token(command, 2, 9, "upon");
                           self.done(command, answer({7, 8, 9}, "Once upon"));
                         }};
  const json end = data(call({"run", "Hi"}, {&first, &second}));
  EXPECT_EQ(text_, "Once upon");
  EXPECT_EQ(end["tokens"], json({7, 8, 9}));
  EXPECT_THAT(second.commands(), ElementsAre("attach"));
  EXPECT_EQ(args(second, 0), json({{"request", "00000000000000aa"}, {"from", 2}}));
}

TEST_F(shell_client_test, a_request_nobody_knows_is_sent_again_and_seen_tokens_are_passed_over) {
  const fake_node first{1, [](fake_node& self, const json& command) {
                          self.token(command, 0, 7, "On");
                          self.drop();
                        }};
  const fake_node second{2, [](fake_node& self, const json& command) {
                           if (command["command"] == "attach") {
                             self.refuse(command, "not_found", "no such request");
                             return;
                           }
                           self.token(command, 0, 7, "On");
                           self.token(command, 1, 8, "ce");
                           self.done(command, answer({7, 8}, "Once"));
                         }};
  static_cast<void>(data(call({"run", "Hi", "--temp", "0.5"}, {&first, &second})));
  EXPECT_EQ(text_, "Once");
  EXPECT_THAT(second.commands(), ElementsAre("attach", "run"));
  EXPECT_EQ(args(second, 1), args(first, 0)) << "the same request and seed";
  EXPECT_TRUE(args(first, 0).contains("seed"));
}

TEST_F(shell_client_test, another_token_at_an_index_seen_is_a_contradiction) {
  const fake_node first{1, [](fake_node& self, const json& command) {
                          self.token(command, 0, 7, "On");
                          self.drop();
                        }};
  const fake_node second{2, [](fake_node& self, const json& command) {
                           if (command["command"] == "attach") {
                             self.refuse(command, "not_found", "no such request");
                           } else {
                             self.token(command, 0, 9, "On");
                           }
                         }};
  const auto outcome = call({"run", "Hi"}, {&first, &second});
  EXPECT_EQ(code(outcome), "digest_mismatch");
  EXPECT_EQ(exit_code_of(std::get<shell_failure>(outcome)), exit_code::wrong);
  EXPECT_EQ(text_, "On");
}

TEST_F(shell_client_test, an_end_that_contradicts_the_stream_is_reported) {
  json end;
  const fake_node node{1, [&end](fake_node& self, const json& command) {
                         self.token(command, 0, 7, "On");
                         self.done(command, end);
                       }};
  end = answer({8}, "On");
  EXPECT_EQ(code(call({"run", "Hi"}, {&node})), "digest_mismatch");
  end = answer({7}, "In");
  EXPECT_EQ(code(call({"run", "Hi"}, {&node})), "digest_mismatch");
  end = answer({7}, "On");
  EXPECT_EQ(code(call({"run", "Hi"}, {&node})), "ok");
}

TEST_F(shell_client_test, missing_tokens_are_an_error) {
  const fake_node node{
      1, [](fake_node& self, const json& command) { self.token(command, 1, 7, "On"); }};
  EXPECT_EQ(code(call({"run", "Hi"}, {&node})), "malformed");
}

TEST_F(shell_client_test, a_busy_cluster_is_asked_again) {
  std::atomic<int> refusals{3};
  const fake_node node{1, [&refusals](fake_node& self, const json& command) {
                         if (command["command"] == "attach" && refusals.fetch_sub(1) > 0) {
                           self.refuse(command, "busy", "being taken over");
                         } else if (command["command"] == "attach") {
                           self.done(command, answer({}, ""));
                         } else {
                           self.drop();
                         }
                       }};
  EXPECT_EQ(code(call({"run", "Hi"}, {&node})), "ok");
  EXPECT_THAT(node.commands(), ElementsAre("run", "attach", "attach", "attach", "attach"));
}

TEST_F(shell_client_test, without_any_node_a_run_ends_at_its_deadline) {
  patience_.deadline = std::chrono::milliseconds{300};
  const fake_node node{1, [](fake_node& self, const json& command) {
                         self.token(command, 0, 7, "On");
                         self.close_door({errc::busy, "not now"});
                         self.drop();
                       }};
  const auto outcome = call({"run", "Hi"}, {&node});
  EXPECT_EQ(code(outcome), "timed_out");
  EXPECT_EQ(text_, "On");
  EXPECT_FALSE(notes_.empty());
}

TEST_F(shell_client_test, ctrl_c_cancels_a_run_and_its_answer_so_far_is_kept) {
  json run;
  const fake_node node{1, [&run](fake_node& self, const json& command) {
                         if (command["command"] == "run") {
                           run = command;
                           self.token(command, 0, 7, "On");
                           self.event(command, {{"note", "now"}});
                         } else {
                           self.done(command, {{"request", "00000000000000aa"}});
                           json end = answer({7}, "On");
                           end["finish_reason"] = "cancelled";
                           self.done(run, end);
                         }
                       }};
  on_event_ = [this] { interrupted_.store(true); };
  const json end = data(call({"run", "Hi"}, {&node}));
  EXPECT_EQ(end["finish_reason"], "cancelled");
  EXPECT_THAT(node.commands(), ElementsAre("run", "cancel"));
}

TEST_F(shell_client_test, ctrl_c_ends_top_but_not_what_it_watches) {
  json top;
  const fake_node node{1, [&top](fake_node& self, const json& command) {
                         if (command["command"] == "top") {
                           top = command;
                           self.event(command, {{"nodes", json::array()}});
                         } else {
                           self.done(top, json::object());
                         }
                       }};
  on_event_ = [this] { interrupted_.store(true); };
  EXPECT_EQ(code(call({"top", "--follow"}, {&node})), "ok");
  EXPECT_THAT(node.commands(), ElementsAre("top", "stop"));
  EXPECT_EQ(args(node, 1), json({{"id", top["id"]}}));
}

TEST_F(shell_client_test, attach_starts_where_it_was_told_to) {
  const fake_node node{1, [](fake_node& self, const json& command) {
                         self.token(command, 5, 7, " a");
                         self.done(command, answer({1, 2, 3, 4, 5, 7}, "told a"));
                       }};
  EXPECT_EQ(code(call({"attach", "aa", "--from", "5"}, {&node})), "ok");
  EXPECT_EQ(text_, " a");
}

TEST_F(shell_client_test, who_shows_nothing_is_told_in_bunches_also_by_the_next_node) {
  const fake_node lost{1, [](fake_node& self, const json& command) {
                         self.token(command, 0, 7, "On");
                         self.drop();
                       }};
  const fake_node next{2, [](fake_node& self, const json& command) {
                         self.token(command, 1, 8, "ce");
                         self.done(command, answer({7, 8}, "Once"));
                       }};
  bunch_ = 16;
  EXPECT_EQ(data(call({"run", "Hi"}, {&lost, &next}))["text"], "Once");
  EXPECT_EQ(args(lost, 0)["bunch"], 16);
  EXPECT_EQ(args(next, 0)["bunch"], 16);
  EXPECT_EQ(args(next, 0)["from"], 1);
}

TEST_F(shell_client_test, attach_to_what_nobody_knows_is_not_found_at_once) {
  const fake_node node{1, [](fake_node& self, const json& command) {
                         self.refuse(command, "not_found", "no such request");
                       }};
  EXPECT_EQ(code(call({"attach", "aa"}, {&node})), "not_found");
  EXPECT_THAT(node.commands(), ElementsAre("attach"));
}

TEST_F(shell_client_test, a_command_that_changes_something_is_sent_once) {
  const auto dies = [](fake_node& self, const json&) { self.drop(); };
  const fake_node first{1, dies};
  const fake_node second{2, dies};
  const auto outcome = call({"drain", "one"}, {&first, &second});
  EXPECT_EQ(code(outcome), "peer_lost");
  EXPECT_EQ(first.commands().size() + second.commands().size(), 1U);
}

TEST_F(shell_client_test, a_command_that_looks_is_sent_to_the_next_node) {
  const fake_node first{1, [](fake_node& self, const json&) { self.drop(); }};
  const fake_node second{2, [](fake_node& self, const json& command) {
                           self.done(command, {{"nodes", {}}});
                         }};
  EXPECT_EQ(code(call({"nodes"}, {&first, &second})), "ok");
}

TEST_F(shell_client_test, only_nodes_that_were_named_are_believed) {
  const fake_node node{
      1, [](fake_node& self, const json& command) { self.done(command, json::object()); }};
  believed_ = {test::key_of(9).id()};
  EXPECT_EQ(code(call({"nodes"}, {&node})), "forbidden");
  EXPECT_TRUE(node.commands().empty());
  believed_.push_back(node.id());
  EXPECT_EQ(code(call({"nodes"}, {&node})), "ok");
}

TEST_F(shell_client_test, a_node_that_does_not_let_us_in_is_a_refusal_with_its_reason) {
  fake_node node{1, [](fake_node&, const json&) {}};
  node.close_door({errc::invalid_argument, "this key is not known here"});
  const auto outcome = call({"nodes"}, {&node});
  EXPECT_EQ(code(outcome), "forbidden");
  EXPECT_THAT(std::get<shell_failure>(outcome).message, HasSubstr("not known here"));
}

TEST_F(shell_client_test, nonsense_costs_the_connection_and_nothing_else) {
  for (const char* const nonsense : {"", "[", "[]", "7", "\xff"}) {
    const fake_node node{1, [nonsense](fake_node& self, const json&) { self.say(nonsense); }};
    EXPECT_EQ(code(call({"drain", "one"}, {&node})), "peer_lost") << nonsense;
  }
  for (const char* const odd :
       {R"({"id":1,"ok":3})", R"({"id":1,"ok":false})", R"({"id":1,"ok":false,"error":7})",
        R"({"id":1,"ok":false,"error":{"code":7}})"}) {
    const fake_node node{1, [odd](fake_node& self, const json&) { self.say(odd); }};
    EXPECT_THAT(code(call({"drain", "one"}, {&node})), ::testing::AnyOf("malformed", "internal"));
  }
}

} // namespace
} // namespace ovir::apps
