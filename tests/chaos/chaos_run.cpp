#include "tests/chaos/chaos_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <stdexcept>

namespace ovir::chaos {

namespace {

using namespace std::chrono_literals;

// A stage keeps a session whose lead is gone for a minute (limits::session_grace).
constexpr std::chrono::seconds settle_wait{75};
constexpr std::chrono::seconds last_answers_wait{90};
constexpr std::chrono::seconds talk_every{10};
/// For four or five of the eight layers of the model that drills with placement use, and requests.
constexpr int placed_memory_mib = 48;

class run_of_chaos {
public:
  explicit run_of_chaos(const chaos_options& options) { report_.options = options; }

  chaos_report operator()() {
    const std::string model =
        given().model.empty() ? make_drill_model((folder() / "drill.gguf").string(), given().placed)
                              : given().model;
    say(fmt::format("{} answers of one process with {}", given().answers, model));
    workload_ = make_workload(model, given().answers, given().tokens_max, given().seed);
    const std::uint32_t layers = layers_of(model);
    test::cluster_spec spec;
    spec.nodes = given().placed ? placed_crew_nodes(model) : crew_nodes(model, layers);
    if (given().placed) {
      spec.limits = fmt::format("memory_mib = {}\n", placed_memory_mib);
    }
    spec.proxied = true;
    spec.folder = folder();
    test::test_cluster cluster{spec};
    say(fmt::format("seven nodes in {}", folder().string()));
    cluster.start();
    if (given().placed) {
      wait_for_copies(cluster, layers);
    }
    warm_up(cluster);
    const auto before = uses_of(cluster);
    harm_and_ask(cluster, layers);
    report_.left.insert(report_.left.end(), unfinished_.begin(), unfinished_.end());
    if (report_.fallen.empty() && unfinished_.empty()) {
      say("everybody is back; looking for what is left");
      const auto left = leaks(cluster, before, settle_wait);
      report_.left.insert(report_.left.end(), left.begin(), left.end());
    }
    if (!report_.good()) {
      report_.last_words = cluster.last_words();
    }
    return std::move(report_);
  }

private:
  [[nodiscard]] const chaos_options& given() const { return report_.options; }

  std::filesystem::path folder() {
    if (given().folder.empty() && !own_folder_) {
      own_folder_.emplace();
    }
    std::filesystem::path path =
        own_folder_ ? own_folder_->path() : std::filesystem::absolute(given().folder);
    std::filesystem::create_directories(path);
    return path;
  }

  void say(const std::string& text) const {
    if (given().talks) {
      std::cerr << "chaos: " << text << std::endl;
    }
  }

  // Two holders of every layer: a drill takes only what others hold, too.
  void wait_for_copies(test::test_cluster& cluster, std::uint32_t layers) const {
    crew nodes{cluster, layers, true};
    const auto all_twice = [&] {
      nodes.look();
      for (std::size_t i = 0; i < cluster.size(); ++i) {
        if (!nodes.can_lose(i)) {
          return false;
        }
      }
      return true;
    };
    if (!cluster.wait_until(all_twice, 120s)) {
      throw std::runtime_error("no second holder of every layer\n" + cluster.last_words());
    }
  }

  // Every scheduler answers once, so that what is made on first use is there.
  void warm_up(test::test_cluster& cluster) const {
    for (const std::size_t scheduler : cluster.with_role("scheduler")) {
      for (const expected_answer& wanted : workload_) {
        test::cluster_shell shell = cluster.shell({scheduler}, 60s);
        const auto outcome = shell.call("run", wanted.arguments);
        const auto* const data = std::get_if<apps::json>(&outcome);
        const std::string wrong =
            data == nullptr ? test::failure_text(outcome) : difference(wanted, *data);
        if (!wrong.empty()) {
          throw std::runtime_error(fmt::format("before any harm, at {}: {}\n{}",
                                               cluster.node(scheduler).name, wrong,
                                               cluster.last_words()));
        }
      }
    }
  }

  void harm_and_ask(test::test_cluster& cluster, std::uint32_t layers) {
    crew nodes{cluster, layers, given().placed};
    clients load{cluster, workload_, given().clients, given().seed};
    drill_options how;
    how.seed = given().seed;
    how.kills = given().kills;
    how.pause_max = given().pause_max;
    const clock::time_point begun = clock::now();
    if (given().length_max > 0s) {
      how.end = begun + given().length_max;
    }
    if (given().soak) {
      how.spared = {cluster.index_of("s1"), cluster.index_of("w1")};
    }
    drill harm{cluster, nodes, load, how};
    node_watch watch{cluster};
    clock::time_point talk_at = begun + talk_every;
    harm.on_look([&] {
      watch.look();
      if (clock::now() >= talk_at) {
        talk_at += talk_every;
        progress(harm, load, clock::now() - begun);
      }
    });
    harm.run();
    nodes.restore();
    const auto whole = [&] {
      nodes.look();
      return nodes.whole();
    };
    if (!cluster.wait_until(whole, 60s)) {
      unfinished_.push_back("not every node became a member again");
    }
    if (!load.finish(load.failures() > 0 ? 5s : last_answers_wait)) {
      unfinished_.push_back("not every request ended");
    }
    report_.seconds = std::chrono::duration<double>(clock::now() - begun).count();
    progress(harm, load, clock::now() - begun);
    report_.done = harm.count();
    report_.streams = load.results();
    report_.fallen = nodes.fallen();
    if (given().soak) {
      report_.grown = watch.grown(given().warm_up, given().clients);
    }
  }

  void progress(const drill& harm, const clients& load, clock::duration since) const {
    const tally seen = load.results();
    say(fmt::format("{:>4.0f} s  {:>4} kills  {:>5} answers  {:>7} tokens  {} lost  {} changed",
                    std::chrono::duration<double>(since).count(), harm.count().kills, seen.requests,
                    seen.tokens, seen.lost.size(), seen.changed.size()));
  }

  chaos_report report_;
  std::optional<test::temporary_folder> own_folder_;
  std::vector<expected_answer> workload_;
  std::vector<std::string> unfinished_;
};

} // namespace

chaos_report run_chaos(const chaos_options& options) { return run_of_chaos{options}(); }

std::string make_drill_model(const std::string& path, bool large) {
  std::vector<std::string> words{"model", "synth", path, "--layers", "8", "--context", "2048"};
  if (large) {
    words.insert(words.end(), {"--dim", "512", "--ffn", "2048", "--heads", "8", "--kv-heads", "1"});
  }
  const auto made = test::run_ovir(words);
  if (made.exit_code != 0) {
    throw std::runtime_error("ovir model synth failed: " + made.err);
  }
  return path;
}

std::uint32_t layers_of(const std::string& model) {
  const auto seen = test::run_ovir({"model", "inspect", model, "--json"});
  if (seen.exit_code != 0) {
    throw std::runtime_error("ovir model inspect failed: " + seen.err);
  }
  const apps::json document = apps::json::parse(seen.out);
  for (const auto& [key, entry] : document.at("metadata").items()) {
    if (key.ends_with(".block_count")) {
      return entry.at("value").get<std::uint32_t>();
    }
  }
  throw std::runtime_error(model + " does not say how many layers it has");
}

} // namespace ovir::chaos
