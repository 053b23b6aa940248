// A swarm that is started with one line on each machine: no layer is named, every death is made
// good, and answers are those of one process.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/cluster_shell.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace ovir::test {
namespace {

using apps::json;

constexpr std::uint32_t layers = 8;
/// What the swarm says of itself may take so long to be true.
constexpr std::chrono::seconds patience{120};
/// For three of the eight layers and a request, beside what a process with a stage takes anyway:
/// less than two fifths of the model.
constexpr const char* room_for_some = "37M";

class up : public ::testing::Test {
protected:
  up() {
    compute::synth_spec large;
    large.layers = layers;
    large.dim = 512;
    large.ffn_dim = 2'048;
    large.heads = 8;
    large.kv_heads = 1;
    write_file(model_, synthetic_model(large));
  }

  struct machine {
    std::string name;
    std::unique_ptr<child_process> process;
    json told; ///< join, http, shells
    std::unique_ptr<cluster_shell> shell{};
  };

  /// Starts another machine: the first with the model, the others by the line of one that is there.
  machine& add(const std::string& memory) {
    const std::string name = fmt::format("m{}", machines_.size() + 1);
    std::vector<std::string> words{
        ovir_program(), "up",          "--name", name,          "--folder", folder_.path() / name,
        "--listen",     "127.0.0.1:0", "--http", "127.0.0.1:0", "--shells", "127.0.0.1:0",
        "--threads",    "1",           "--json"};
    if (!memory.empty()) {
      words.insert(words.end(), {"--memory", memory});
    }
    for (const machine& other : machines_) {
      if (other.process) {
        words.insert(words.end(), {"--join", other.told.at("join").get<std::string>()});
        break;
      }
    }
    if (machines_.empty()) {
      words.insert(words.end(), {"-m", model_.string(), "--context", "256"});
    }
    child_options how;
    how.environment["OVIR_OPERATOR"] = operator_.string();
    how.deadline = std::chrono::seconds{600};
    how.dies_with_thread = true;
    machines_.push_back({name, std::make_unique<child_process>(words, how), {}});
    machine& made = machines_.back();
    std::string said;
    while (made.told.is_null() || made.told.is_discarded()) {
      const std::string more = made.process->wait_for_output(said.size() + 1);
      if (more.size() == said.size()) {
        throw std::runtime_error("ovir up did not start: " + made.process->wait().err);
      }
      said = more;
      made.told = json::parse(said, nullptr, false);
    }
    return made;
  }
  void kill(std::size_t i) {
    machines_[i].process->send_signal(SIGKILL);
    (void)machines_[i].process->wait();
    machines_[i].process.reset();
  }

  [[nodiscard]] cluster_shell& shell(std::size_t i) {
    std::unique_ptr<cluster_shell>& known = machines_[i].shell;
    if (!known) {
      known = std::make_unique<cluster_shell>(
          cluster_shell::options{.key_file = operator_ / "admin.key",
                                 .addresses = {machines_[i].told.at("shells").get<std::string>()},
                                 .deadline = patience});
    }
    return *known;
  }
  [[nodiscard]] json nodes(std::size_t i) { return shell(i).data("nodes").at("nodes"); }
  [[nodiscard]] std::size_t alive() const {
    return static_cast<std::size_t>(std::count_if(
        machines_.begin(), machines_.end(), [](const machine& m) { return m.process != nullptr; }));
  }
  /// Asks now and then until it holds.
  [[nodiscard]] static bool wait_until(const std::function<bool()>& holds) {
    for (const auto end = std::chrono::steady_clock::now() + patience;
         std::chrono::steady_clock::now() < end;) {
      if (holds()) {
        return true;
      }
      std::this_thread::yield();
    }
    return false;
  }
  /// How many living nodes say so of the layer of which fewest do, as machine `i` sees it.
  [[nodiscard]] std::uint32_t fewest(std::size_t i, const std::vector<const char*>& keys) {
    std::vector<std::uint32_t> count(layers);
    const json all = nodes(i);
    for (const json& node : all) {
      for (const char* const key : keys) {
        for (const json& part : node.at(key)) {
          for (std::uint32_t l = part.at("first_layer"); l <= part.at("last_layer"); ++l) {
            count[l] += node.at("health") == "alive" ? 1 : 0;
          }
        }
      }
    }
    return *std::min_element(count.begin(), count.end());
  }
  [[nodiscard]] std::uint32_t copies(std::size_t i) { return fewest(i, {"held"}); }
  /// On which a layer lies, held there or not.
  [[nodiscard]] std::uint32_t disks(std::size_t i) { return fewest(i, {"held", "spares"}); }
  [[nodiscard]] bool knows_all(std::size_t i) {
    const json all = nodes(i);
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](const json& n) {
             return n.at("health") == "alive";
           })) == alive();
  }

  [[nodiscard]] static json request(std::uint64_t id) {
    std::vector<token_id> tokens;
    for (std::uint32_t i = 0; i < 40; ++i) {
      tokens.push_back(3 + (i * 7919) % 250);
    }
    return {{"request", fmt::format("{:016x}", id)},
            {"tokens", tokens},
            {"max_tokens", 24},
            {"temperature", 0.8},
            {"cache", "off"},
            {"seed", 11}};
  }
  [[nodiscard]] json ask(std::size_t i, std::uint64_t id) {
    const apps::shell_outcome outcome = shell(i).call("run", request(id));
    EXPECT_EQ(failure_text(outcome), "");
    const auto* const data = std::get_if<json>(&outcome);
    return data == nullptr ? json::object() : *data;
  }
  static void expect_same(const json& told, const json& right) {
    for (const char* const key : {"text", "tokens", "transcript", "finish_reason"}) {
      EXPECT_EQ(told.at(key), right.at(key)) << key;
    }
  }

  temporary_folder folder_;
  std::filesystem::path model_ = folder_.path() / "synthetic.gguf";
  std::filesystem::path operator_ = folder_.path() / "operator";
  std::vector<machine> machines_;
};

TEST_F(up, one_machine_serves_what_it_was_given_and_says_how_others_join) {
  const machine& first = add("");
  EXPECT_THAT(first.told.at("join").get<std::string>(), ::testing::HasSubstr("/ovir-swarm-"));
  ASSERT_TRUE(wait_until([&] { return copies(0) == 1; }));
  EXPECT_EQ(ask(0, 1).at("tokens").size(), 24U);
}

TEST_F(up, four_machines_with_room_for_two_fifths_each_serve_and_any_death_is_made_good) {
  add("");
  ASSERT_TRUE(wait_until([&] { return copies(0) == 1; }));
  const json right = ask(0, 1);
  kill(0);
  machines_.clear();
  std::filesystem::remove_all(folder_.path() / "m1");

  for (int i = 0; i < 4; ++i) {
    add(room_for_some);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(wait_until([&] { return knows_all(i) && copies(i) >= 1; })) << i;
  }
  for (std::size_t i = 0; i < 4; ++i) {
    expect_same(ask(i, 10 + i), right);
  }
  const json models = shell(1).data("models").at("models").at(0);
  EXPECT_EQ(models.at("complete"), true);
  EXPECT_EQ(copies(0), 1U) << "memory for two fifths each does not hold it twice";
  ASSERT_TRUE(wait_until([&] { return disks(0) >= 2; })) << shell(0).data("placement");

  // Any one, while it is asked for. The first one brought the model: its file is gone with it.
  std::uint64_t id = 20;
  for (const std::size_t dead : {std::size_t{2}, std::size_t{0}}) {
    const std::size_t other = dead == 2 ? 1 : machines_.size() - 1;
    kill(dead);
    expect_same(ask(other, id++), right);
    ASSERT_TRUE(wait_until([&] { return knows_all(other) && copies(other) >= 1; })) << dead;
    add(room_for_some);
    const std::size_t last = machines_.size() - 1;
    ASSERT_TRUE(wait_until([&] {
      return knows_all(last) && copies(last) >= 1 && disks(last) >= 2;
    })) << shell(last).data("placement");
    expect_same(ask(last, id++), right);
  }
}

TEST_F(up, a_machine_that_is_started_again_holds_what_it_held) {
  add("");
  add("");
  ASSERT_TRUE(wait_until([&] { return knows_all(1) && copies(1) >= 1; }));
  const auto held_by = [&](std::size_t i, const std::string& name) {
    const json all = nodes(i);
    for (const json& node : all) {
      if (node.at("name") == name) {
        return node.at("held");
      }
    }
    return json::array();
  };
  ASSERT_TRUE(wait_until([&] { return copies(0) == 2; })) << "each has room for all";
  const json before = held_by(0, "m2");
  const json said = machines_[1].told;
  kill(1);
  child_options how;
  how.environment["OVIR_OPERATOR"] = operator_.string();
  how.deadline = std::chrono::seconds{600};
  how.dies_with_thread = true;
  machines_[1].process = std::make_unique<child_process>(
      std::vector<std::string>{ovir_program(), "up", "--folder", folder_.path() / "m2"}, how);
  ASSERT_TRUE(wait_until([&] { return knows_all(0) && held_by(0, "m2") == before; }));
}

TEST_F(up, what_is_no_line_is_refused_and_not_repeated) {
  const child_result bad =
      run_ovir({"up", "--folder", folder_.path() / "x", "--join", "a.example/ovir-swarm-c2VjcmV0"});
  EXPECT_EQ(bad.exit_code, 3) << bad.err;
  EXPECT_THAT(bad.err, ::testing::HasSubstr("copy the whole line"));
  EXPECT_THAT(bad.err, ::testing::Not(::testing::HasSubstr("c2VjcmV0")));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "x" / "node.toml"));
}

} // namespace
} // namespace ovir::test
