// A request's trace as a file that Perfetto opens: whole, nested, and in agreement with what the
// receipt says, also when a worker is killed in the middle.
#include "messages/evidence/receipt.hpp"
#include "messages/hex.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using apps::json;

constexpr double rounding = 0.01; // microseconds

struct span {
  std::string name;
  std::string kind;
  int process{0};
  int thread{0};
  double from{0};
  double to{0};
  json args;
};

/// A file in Chrome's trace event format, read by its rules.
struct trace_file {
  std::vector<span> spans;
  std::map<int, std::string> processes;
  std::vector<json> instants;
  json whole;

  [[nodiscard]] std::vector<span> of_kind(const std::string& kind) const {
    std::vector<span> found;
    for (const span& s : spans) {
      if (s.kind == kind) {
        found.push_back(s);
      }
    }
    return found;
  }
};

trace_file read(const std::string& text) {
  trace_file out;
  out.whole = json::parse(text);
  for (const json& e : out.whole.at("traceEvents")) {
    const std::string phase = e.at("ph");
    EXPECT_TRUE(e.at("pid").is_number_integer() && e.at("tid").is_number_integer()) << e;
    EXPECT_TRUE(e.at("name").is_string()) << e;
    if (phase == "M") {
      if (e.at("name") == "process_name") {
        EXPECT_TRUE(out.processes.emplace(e.at("pid"), e.at("args").at("name")).second) << e;
      }
    } else if (phase == "i") {
      out.instants.push_back(e);
    } else {
      EXPECT_EQ(phase, "X");
      out.spans.push_back({e.at("name"), e.at("cat"), e.at("pid"), e.at("tid"),
                           e.at("ts").get<double>(),
                           e.at("ts").get<double>() + e.at("dur").get<double>(), e.at("args")});
    }
  }
  const auto requests = out.of_kind("request");
  EXPECT_EQ(requests.size(), 1U);
  if (requests.empty()) {
    return out;
  }
  for (const span& s : out.spans) {
    EXPECT_GE(s.from, requests.front().from - rounding) << s.name << " begins before the request";
    EXPECT_LE(s.to, requests.front().to + rounding) << s.name << " ends behind the request";
    EXPECT_TRUE(out.processes.contains(s.process)) << s.name << " runs in a process without a name";
  }
  return out;
}

/// Whether spans of a thread lie within or beside one another, as viewers need it.
void expect_nested(const trace_file& file) {
  std::map<std::pair<int, int>, std::vector<const span*>> threads;
  for (const span& s : file.spans) {
    threads[{s.process, s.thread}].push_back(&s);
  }
  for (auto& [thread, spans] : threads) {
    std::stable_sort(spans.begin(), spans.end(), [](const span* a, const span* b) {
      return a->from != b->from ? a->from < b->from : a->to > b->to;
    });
    std::vector<const span*> open;
    for (const span* s : spans) {
      while (!open.empty() && open.back()->to <= s->from + rounding) {
        open.pop_back();
      }
      if (!open.empty()) {
        EXPECT_LE(s->to, open.back()->to + rounding)
            << s->name << " begins within " << open.back()->name << " and ends behind it";
      }
      open.push_back(s);
    }
  }
}

class traces : public ::testing::Test {
protected:
  traces() {
    compute::synth_spec spec;
    spec.layers = 8;
    spec.context = 2'048;
    write_file(model_, synthetic_model(spec));
  }

  [[nodiscard]] cluster_spec spec() const {
    cluster_spec out;
    out.nodes = {{"front", {"scheduler"}, {{model_.string()}}},
                 {"left", {"worker"}, {{model_.string(), "0-3"}}},
                 {"right", {"worker"}, {{model_.string(), "4-7"}}},
                 {"spare", {"worker"}, {{model_.string(), "4-7"}}}};
    return out;
  }
  [[nodiscard]] static json order(std::uint32_t tokens,
                                  const std::string& request = "0000000000001234") {
    json asked{{"request", request}, {"max_tokens", tokens}, {"trace", true},
               {"receipt", true},    {"speculate", "off"},   {"cache", "off"}};
    for (int i = 0; i < 100; ++i) {
      asked["tokens"].push_back(3 + i % 50);
    }
    return asked;
  }
  [[nodiscard]] static receipt receipt_in(const json& answer) {
    const auto bytes = bytes_from_hex(answer.at("receipt").at("bytes").get<std::string>(),
                                      "a receipt", limits::receipt_bytes_max);
    return decode_receipt(bytes.value()).value();
  }

  temporary_folder folder_;
  std::filesystem::path model_ = folder_.path() / "synthetic.gguf";
};

/// The lead's, and one for each node of its paths.
std::set<std::string> processes_in(const trace_file& file) {
  std::set<std::string> names;
  for (const auto& [id, name] : file.processes) {
    names.insert(name);
  }
  return names;
}

/// Each step covers the computing of each stage of the path that was in force, in order.
void expect_steps_to_cover(const trace_file& file, std::size_t stages) {
  for (const span& step : file.of_kind("step")) {
    std::map<int, const span*> computed;
    for (const span& s : file.spans) {
      if (s.kind == "compute" && s.name == step.name && s.from >= step.from - rounding &&
          s.to <= step.to + rounding) {
        computed[s.args.at("stage").get<int>()] = &s;
      }
    }
    ASSERT_EQ(computed.size(), stages) << step.name << " " << step.args;
    double sum = 0;
    double at = step.from;
    for (const auto& [stage, s] : computed) {
      EXPECT_GE(s->from, at - rounding)
          << step.name << ": a stage cannot begin before the one before";
      at = s->to;
      sum += s->args.at("compute_us").get<double>();
    }
    EXPECT_NEAR(sum, step.args.at("compute_us").get<double>(), rounding);
    EXPECT_LE(sum + step.args.at("links_us").get<double>(), step.to - step.from + 1) << step.name;
  }
}

TEST_F(traces, have_every_part_of_a_request_and_agree_with_its_receipt) {
  test_cluster cluster{spec()};
  cluster.start();
  cluster_shell shell = cluster.shell({0});
  json answer;
  trace_file file;
  std::string id;
  // A busy machine may plan three stages. What a path of two reports is not forgiven.
  for (int tried = 1; tried == 1 || (tried <= 5 && processes_in(file).size() != 3); ++tried) {
    id = fmt::format("000000000000123{}", tried);
    const auto outcome = shell.call("run", order(70, id));
    ASSERT_EQ(failure_text(outcome), "") << cluster.last_words();
    answer = std::get<json>(outcome);
    file = read(answer.at("trace").at("text"));
  }
  EXPECT_EQ(file.whole.at("otherData").at("request"), id);
  EXPECT_EQ(file.whole.at("otherData").at("left_out"), 0);
  for (const char* const kind : {"request", "admission", "planning", "opening", "prefill", "decode",
                                 "closing", "pass", "step", "compute"}) {
    EXPECT_FALSE(file.of_kind(kind).empty()) << kind;
  }
  EXPECT_TRUE(file.of_kind("recovery").empty());
  expect_nested(file);
  expect_steps_to_cover(file, 2);
  const std::set<std::string> names = processes_in(file);
  EXPECT_EQ(names.size(), 3U);
  EXPECT_TRUE(names.contains("left")) << testing::PrintToString(names);
  // What the receipt says: when the first token came, how long stages computed.
  const receipt r = receipt_in(answer);
  const span prefill = file.of_kind("prefill").at(0);
  const span decode = file.of_kind("decode").at(0);
  EXPECT_NEAR(prefill.to, static_cast<double>(r.first_token_us), 2);
  EXPECT_NEAR(decode.to - decode.from, static_cast<double>(r.decode_us), 2);
  EXPECT_EQ(file.of_kind("step").size() + 1, r.output.size());
  for (std::size_t stage = 0; stage < r.stages.size(); ++stage) {
    std::uint64_t stated = 0;
    for (const statement& s : r.stages[stage].statements) {
      stated += s.compute_us;
    }
    double told = 0;
    std::size_t passes = 0;
    for (const span& s : file.of_kind("compute")) {
      if (s.args.at("stage").get<std::size_t>() == stage) {
        told += s.args.at("compute_us").get<double>();
        ++passes;
      }
    }
    // Each is cut to whole microseconds.
    EXPECT_NEAR(told, static_cast<double>(stated),
                static_cast<double>(passes + r.stages[stage].statements.size()))
        << "stage " << stage;
  }
}

TEST_F(traces, show_the_recovery_of_a_request_whose_worker_was_killed) {
  test_cluster cluster{spec()};
  cluster.start();
  cluster_shell shell = cluster.shell({0});
  bool killed = false;
  apps::shell_listener listener;
  listener.text = [](std::string_view) {};
  listener.event = [](const json&) {};
  listener.note = [](std::string_view) {};
  listener.token = [&](std::uint64_t index) {
    if (index >= 40 && !std::exchange(killed, true)) {
      const json path = cluster.ask(0, "job 0000000000001234").at("job").at("path");
      cluster.kill(cluster.index_of(path.at(1).at("name")));
    }
  };
  const auto outcome = shell.call("run", order(400), listener);
  ASSERT_EQ(failure_text(outcome), "") << cluster.last_words();
  ASSERT_TRUE(killed);
  const json answer = std::get<json>(outcome);
  const trace_file file = read(answer.at("trace").at("text"));
  ASSERT_GE(file.of_kind("recovery").size(), 1U);
  EXPECT_FALSE(file.instants.empty()) << "somebody was lost";
  expect_nested(file);
  const span recovery = file.of_kind("recovery").front();
  EXPECT_GT(recovery.to, recovery.from);
  EXPECT_EQ(recovery.args.at("stages").size(), 2U);
  // Both nodes that had the second half are there, and steps lie on either side.
  std::set<std::string> names;
  for (const auto& [id, name] : file.processes) {
    names.insert(name);
  }
  EXPECT_THAT(names, testing::IsSupersetOf({"left", "right", "spare"}));
  const auto steps = file.of_kind("step");
  EXPECT_TRUE(std::any_of(steps.begin(), steps.end(),
                          [&](const span& s) { return s.to <= recovery.from + rounding; }));
  EXPECT_TRUE(std::any_of(steps.begin(), steps.end(),
                          [&](const span& s) { return s.from >= recovery.to - rounding; }));
}

TEST_F(traces, are_written_by_run_and_by_the_shell) {
  const auto file = folder_.path() / "here.json";
  EXPECT_EQ(run_ovir({"run", "-p", "Once", "-n", "12", "--stages", "2", "--no-cache", "--trace",
                      file.string()})
                .exit_code,
            0);
  const trace_file here = read(read_file(file));
  EXPECT_FALSE(here.of_kind("step").empty());
  expect_nested(here);
  expect_steps_to_cover(here, 2);
  test_cluster cluster{spec()};
  cluster.start();
  const auto sent = folder_.path() / "sent.json";
  const child_result asked =
      run_ovir({"shell", "--connect", cluster.admin_address(0), "--key", cluster.admin_key(), "-e",
                "run --ids 5,6,7 -n 12 --trace " + sent.string()});
  ASSERT_EQ(asked.exit_code, 0) << asked.err;
  EXPECT_FALSE(read(read_file(sent)).of_kind("step").empty());
}

} // namespace
} // namespace ovir::test
