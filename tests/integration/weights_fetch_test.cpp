// Weights fetched by content between real processes: from two members at once, over kills, past a
// source that sends wrong bytes, and without fetching what other files have.
#include "compute/gguf/gguf.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <random>

namespace ovir::test {
namespace {

using apps::json;

constexpr std::uint64_t mib = 1U << 20U;

std::uint64_t base_seed() {
  const char* const given = std::getenv("OVIR_SEED");
  return given == nullptr ? 5 : std::strtoull(given, nullptr, 10);
}

std::string name_of_file(const std::filesystem::path& path) {
  return ovir_json({"model", "manifest", path.string()}).at("model").get<std::string>();
}

std::uint64_t whole(const json& object, const char* key) {
  return object.at(key).get<std::uint64_t>();
}

/// Changes a byte of each stretch of this tensor's data where it lies on the disk.
void damage_tensor(const std::filesystem::path& path, const std::string& name) {
  const std::vector<std::byte> bytes = bytes_of_file(path);
  const auto parsed = compute::gguf::parse(bytes).value();
  const auto data = parsed.find_tensor(name)->data;
  std::fstream file{path, std::ios::binary | std::ios::in | std::ios::out};
  for (std::size_t at = 1'000; at < data.size(); at += 100'000) {
    file.seekp(data.data() - bytes.data() + static_cast<std::ptrdiff_t>(at));
    file.put(static_cast<char>(std::to_integer<int>(data[at]) ^ 1));
  }
  ASSERT_TRUE(file.flush());
}

class weights_fetch : public ::testing::Test {
protected:
  void use(const std::filesystem::path& path) {
    path_ = path;
    name_ = name_of_file(path);
  }
  [[nodiscard]] std::string copy_of_model(const std::string& as) const {
    const std::filesystem::path copy = folder_.path() / as;
    std::filesystem::copy_file(path_, copy);
    std::filesystem::permissions(copy, std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
    return copy.string();
  }

  static json fetches(const test_cluster& cluster, std::size_t node) {
    return cluster.ask(node, "fetches");
  }
  /// The fetch that ended last, or is under way; null before.
  static json fetch_of(const test_cluster& cluster, std::size_t node) {
    const json list = fetches(cluster, node).at("fetches");
    return list.empty() ? json{} : list.back();
  }
  static bool holds(const test_cluster& cluster, std::size_t node) {
    const std::filesystem::path log = cluster.folder() / (cluster.node(node).name + ".log");
    return std::filesystem::exists(log) && read_file(log).find("holds layers") != std::string::npos;
  }
  /// A request over the cluster's whole path has the transcript of one process.
  void expect_right_answers(const test_cluster& cluster, const std::filesystem::path& model) {
    const json alone = ovir_json(
        {"run", "-m", model.string(), "-p", "Once upon a time", "-n", "12", "--temp", "0"});
    const json data =
        cluster.ask(0, "run --max-tokens 12 --temp 0 Once upon a time", std::chrono::seconds{90});
    EXPECT_EQ(data.at("transcript"), alone.at("transcript"));
    EXPECT_EQ(data.at("text"), alone.at("text"));
  }

  temporary_folder folder_;
  std::filesystem::path path_;
  std::string name_;
};

TEST_F(weights_fetch, a_fresh_worker_gets_its_segment_from_two_members_and_serves_it) {
  OVIR_SHARED_FILE(path, "models/minimind2-small-q8_0.gguf");
  use(path);
  test_cluster cluster{{.nodes = {{"scheduler", {"scheduler"}, {{path.string()}}},
                                  {"front", {"worker"}, {{path.string(), "0-3"}}},
                                  {"fresh", {"worker"}, {{name_, "4-7"}}}},
                        .limits = "[fetch]\nwindow_mib = 4\nserve_mib_s = 20\n"}};
  cluster.start();
  ASSERT_TRUE(cluster.wait_until([&] { return holds(cluster, 2); })) << cluster.last_words();
  const json got = fetch_of(cluster, 2);
  EXPECT_EQ(got.at("state"), "done");
  EXPECT_EQ(whole(got, "verified_bytes"), whole(got, "bytes")) << got;
  EXPECT_EQ(whole(got, "asked_again_bytes"), 0U) << got;
  EXPECT_LE(whole(got, "in_flight_max_bytes"), 4 * mib) << got;
  ASSERT_EQ(got.at("sources").size(), 2U) << got;
  for (const json& source : got.at("sources")) {
    EXPECT_GT(whole(source, "bytes"), 2 * mib) << got;
  }
  EXPECT_EQ(whole(fetches(cluster, 0), "served_bytes") + whole(fetches(cluster, 1), "served_bytes"),
            whole(got, "bytes"));
  // A segment, not the model, and the file takes no more of the disk.
  EXPECT_LT(whole(got, "bytes"), std::filesystem::file_size(path) * 6 / 10);
  expect_right_answers(cluster, path);

  // Started again, it has everything and asks nobody.
  cluster.kill(2);
  std::filesystem::remove(cluster.folder() / "fresh.log");
  cluster.start(2);
  ASSERT_TRUE(cluster.wait_until([&] { return holds(cluster, 2); })) << cluster.last_words();
  const json again = fetch_of(cluster, 2);
  EXPECT_EQ(whole(again, "present_bytes"), whole(again, "bytes"));
  EXPECT_EQ(whole(again, "received_bytes"), 0U);
  cluster.wait_until_whole();
  expect_right_answers(cluster, path);
}

/// A fresh worker (2) that fetches a whole model from two sources (0 and 1), and is killed, or they
/// are, at moments drawn from a seed.
class killing {
public:
  static constexpr std::size_t worker = 2;

  killing(test_cluster& cluster, std::uint64_t seed) : cluster_(cluster), random_(seed) {}

  /// False when the fetch was over before the moment came.
  bool kill_once() {
    const auto seen = wait_for(random_() % (2 * mib) + mib / 4);
    if (!seen) {
      return false;
    }
    EXPECT_GE(whole(*seen, "verified_bytes") + whole(*seen, "present_bytes"), here_) << *seen;
    here_ = whole(*seen, "verified_bytes") + whole(*seen, "present_bytes");
    const std::size_t victim = kills_++ % 2 == 0 ? worker : random_() % 2;
    served_before_ += victim == worker ? 0 : served(victim);
    cluster_.kill(victim);
    cluster_.start(victim);
    json after;
    std::string not_up;
    const bool again = cluster_.wait_until([&] {
      try {
        after = victim == worker ? last_fetch() : json{{"bytes", 1 + served(victim)}};
      } catch (const std::runtime_error& e) {
        not_up = e.what();
        return false;
      }
      return !after.is_null() && whole(after, "bytes") > 0;
    });
    EXPECT_TRUE(again) << not_up << '\n' << after << '\n' << cluster_.last_words();
    if (again && victim == worker) {
      EXPECT_GE(whole(after, "present_bytes"), here_) << "fetched, and lost by a kill: " << after;
    }
    return true;
  }

  [[nodiscard]] std::size_t kills() const { return kills_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; } ///< of the segment
  /// What the sources said they served, in all their lives. What one served between its last answer
  /// and its kill is not in it: at every other kill, of the worker, the count is exact.
  [[nodiscard]] std::uint64_t all_served() const { return served_before_ + served(0) + served(1); }

private:
  [[nodiscard]] json last_fetch() const {
    const json list = cluster_.ask(worker, "fetches").at("fetches");
    return list.empty() ? json{} : list.back();
  }
  [[nodiscard]] std::uint64_t served(std::size_t node) const {
    return whole(cluster_.ask(node, "fetches"), "served_bytes");
  }
  /// Until so much more is on the worker's disk.
  std::optional<json> wait_for(std::uint64_t more) {
    json seen;
    const bool reached = cluster_.wait_until([&] {
      seen = last_fetch();
      return !seen.is_null() && whole(seen, "bytes") > 0 &&
             (seen.at("state") == "done" ||
              whole(seen, "verified_bytes") + whole(seen, "present_bytes") >= here_ + more);
    });
    EXPECT_TRUE(reached) << seen << cluster_.last_words();
    if (!reached || seen.at("state") == "done") {
      return std::nullopt;
    }
    bytes_ = whole(seen, "bytes");
    return seen;
  }

  test_cluster& cluster_;
  std::mt19937_64 random_;
  std::size_t kills_{0};
  std::uint64_t here_{0}; ///< on the worker's disk, at least
  std::uint64_t bytes_{0};
  std::uint64_t served_before_{0};
};

TEST_F(weights_fetch, killed_at_ten_moments_it_goes_on_and_fetches_nothing_twice_but_a_window) {
  OVIR_SHARED_FILE(path, "models/minimind2-small-q8_0.gguf");
  use(path);
  const std::uint64_t seed = base_seed();
  SCOPED_TRACE(testing::Message() << "OVIR_SEED=" << seed);
  test_cluster cluster{{.nodes = {{"scheduler", {"scheduler"}, {{path.string()}}},
                                  {"front", {"worker"}, {{path.string(), "0-3"}}},
                                  {"fresh", {"worker"}, {{name_, "0-7"}}}},
                        .limits = "[fetch]\nwindow_mib = 1\nserve_mib_s = 3\n"}};
  cluster.start();
  killing plan{cluster, seed};
  while (plan.kills() < 10 && plan.kill_once()) {
  }
  EXPECT_EQ(plan.kills(), 10U) << "it was done before it could be killed so often";
  ASSERT_TRUE(
      cluster.wait_until([&] { return holds(cluster, killing::worker); }, std::chrono::seconds{60}))
      << cluster.last_words();
  fmt::print("{} kills: {} bytes served of a segment of {}, window {}\n", plan.kills(),
             plan.all_served(), plan.bytes(), mib);
  EXPECT_LE(plan.all_served(), plan.bytes() + plan.kills() * mib);
  cluster.wait_until_whole();
  expect_right_answers(cluster, path);
}

TEST_F(weights_fetch, its_first_layers_serve_while_the_rest_is_fetched) {
  OVIR_SHARED_FILE(path, "models/minimind2-small-q8_0.gguf");
  use(path);
  // Nobody else holds layer 0; the source is slow.
  test_cluster cluster{{.nodes = {{"scheduler", {"scheduler"}, {{path.string()}}},
                                  {"back", {"worker"}, {{path.string(), "1-7"}}},
                                  {"fresh", {"worker"}, {{name_, "0-7"}}}},
                        .limits = "[fetch]\nwindow_mib = 1\nserve_mib_s = 1\n"}};
  cluster.start();
  ASSERT_TRUE(cluster.wait_until(
      [&] {
        const json models = cluster.ask(0, "models").at("models");
        return std::any_of(models.begin(), models.end(),
                           [](const json& model) { return model.at("complete") == true; });
      },
      std::chrono::seconds{60}))
      << cluster.last_words();
  EXPECT_EQ(fetch_of(cluster, 2).at("state"), "fetching");
  expect_right_answers(cluster, path);
  const json then = fetch_of(cluster, 2);
  EXPECT_EQ(then.at("state"), "fetching") << then;
  EXPECT_LT(whole(then, "verified_bytes"), whole(then, "bytes")) << then;
  EXPECT_FALSE(holds(cluster, 2));
  ASSERT_TRUE(cluster.wait_until([&] { return holds(cluster, 2); }, std::chrono::seconds{90}))
      << cluster.last_words();
  // The whole segment took the place of its first layers: alone it answers.
  cluster.kill(1);
  expect_right_answers(cluster, path);
}

TEST_F(weights_fetch, a_source_that_sends_wrong_bytes_is_named_and_dropped) {
  OVIR_SHARED_FILE(path, "models/minimind2-small-q8_0.gguf");
  use(path);
  const std::string liars_file = copy_of_model("damaged-later.gguf");
  test_cluster cluster{{.nodes = {{"scheduler", {"scheduler"}, {{path.string()}}},
                                  {"liar", {"worker"}, {{liars_file, "0-3"}}},
                                  {"fresh", {"worker"}, {{name_, "4-7"}}}},
                        .limits = "[fetch]\nwindow_mib = 4\nserve_mib_s = 20\n"}};
  cluster.start(0);
  cluster.start(1);
  cluster.wait_until_whole();
  // It loaded and named the right model; what it serves from now on is not it.
  for (std::uint32_t layer = 4; layer < 8; ++layer) {
    for (const char* const part : {"ffn_gate", "ffn_up", "ffn_down", "attn_q", "attn_output"}) {
      damage_tensor(liars_file, fmt::format("blk.{}.{}.weight", layer, part));
    }
  }
  cluster.start(2);
  ASSERT_TRUE(cluster.wait_until([&] { return holds(cluster, 2); })) << cluster.last_words();
  const json got = fetch_of(cluster, 2);
  const json nodes = cluster.ask(2, "nodes").at("nodes");
  const auto liar = std::find_if(nodes.begin(), nodes.end(),
                                 [](const json& node) { return node.at("name") == "liar"; });
  ASSERT_NE(liar, nodes.end());
  const std::string liars_key = liar->at("node").get<std::string>();
  std::size_t named = 0;
  for (const json& source : got.at("sources")) {
    if (source.at("node") == liars_key) {
      ++named;
      EXPECT_THAT(source.at("fault").get<std::string>(),
                  ::testing::HasSubstr("not those of its digest"));
      EXPECT_FALSE(source.at("joined").get<bool>());
    } else {
      EXPECT_TRUE(source.at("fault").is_null()) << got;
    }
  }
  EXPECT_EQ(named, 1U) << got;
  EXPECT_GT(whole(got, "wrong_bytes"), 0U);
  EXPECT_LE(whole(got, "wrong_bytes"), mib) << "it was asked again after its first lie";
  EXPECT_THAT(read_file(cluster.folder() / "fresh.log"),
              ::testing::HasSubstr("drops " + liars_key.substr(0, 8)));
  cluster.wait_until_whole();
  expect_right_answers(cluster, path);
}

TEST_F(weights_fetch, a_fine_tune_is_fetched_only_where_it_differs_and_loaded_by_a_shell) {
  OVIR_SHARED_FILE(path, "models/minimind2-small-q8_0.gguf");
  use(path);
  const std::string tuned = copy_of_model("tuned.gguf");
  damage_tensor(tuned, "blk.6.ffn_down.weight");
  const std::string tuned_name = name_of_file(tuned);
  ASSERT_NE(tuned_name, name_);
  test_cluster cluster{{.nodes = {{"scheduler", {"scheduler"}, {{tuned}}},
                                  {"front", {"worker"}, {{tuned, "0-3"}}},
                                  {"other", {"worker"}, {{path.string(), "0-0"}}}}}};
  cluster.start();
  const json loaded = cluster.ask(2, fmt::format("load {} --first 4 --last 7", tuned_name));
  EXPECT_EQ(loaded.at("first_layer"), 4);
  EXPECT_EQ(loaded.at("last_layer"), 7);
  const json got = fetch_of(cluster, 2);
  const std::uint64_t changed = 512 * 1'408 / 32 * 34; // ffn_down as Q8_0
  EXPECT_EQ(whole(got, "verified_bytes"), changed) << got;
  EXPECT_EQ(whole(got, "local_bytes") + changed, whole(got, "bytes")) << got;
  ASSERT_TRUE(cluster.wait_until([&] {
    const json models = cluster.ask(0, "models").at("models");
    return std::any_of(models.begin(), models.end(), [](const json& model) {
      return model.at("name") == "tuned.gguf" && model.at("complete") == true;
    });
  }));
  expect_right_answers(cluster, tuned);
}

TEST_F(weights_fetch, names_that_nobody_has_and_orders_that_make_no_sense_are_refused) {
  const std::filesystem::path tales = source_file("assets/tales-q4_k_m.gguf");
  use(tales);
  test_cluster cluster{{.nodes = {{"scheduler", {"scheduler"}, {{tales.string()}}},
                                  {"worker", {"worker"}, {{"embedded", "0-1"}}}}}};
  cluster.start();
  const auto refusal = [&](std::size_t node, const std::string& line) {
    return failure_text(cluster.shell({node}).call(line));
  };
  EXPECT_THAT(refusal(1, "load bafkr4inotaname"), ::testing::HasSubstr("no name by content"));
  EXPECT_THAT(refusal(0, "load " + name_), ::testing::HasSubstr("is no worker"));
  EXPECT_THAT(refusal(1, "load " + name_ + " --first 0 --last 99"),
              ::testing::HasSubstr("the model has 4"));
}

} // namespace
} // namespace ovir::test
