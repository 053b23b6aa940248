// The files of config/ as the programs read them, and that all.toml leaves out no key.
#include "apps/ovir/node/node_config.hpp"
#include "messages/evidence/attestation.hpp"
#include "messages/signing.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <regex>
#include <set>
#include <sstream>

namespace ovir::apps {
namespace {

namespace fs = std::filesystem;
using supervision::node_options;

std::vector<fs::path> node_files() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator{test::source_file("config")}) {
    const fs::path name = entry.path().filename(); // these two describe no node
    if (name.extension() == ".toml" && name != "cluster.toml" && name != "ledger.toml") {
      found.push_back(entry.path());
    }
  }
  return found;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in{text};
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  return lines;
}

/// What stands behind "#" alone becomes part of the file: prose has a space there.
std::string with_everything_set(const std::string& text) {
  const std::array<std::byte, secret_key::seed_size> seed{};
  const std::array<std::byte, 16> nonce{};
  const secret_key admin = secret_key::from_seed(seed);
  const join_token token = issue_token(admin, admin.id(), member_roles, 2'000'000'000, nonce);
  std::string set;
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with("#join_token")) {
      set += "join_token = \"" + to_text(token) + "\"\n"; // the example is cut short
    } else if (line.starts_with("#attestations")) {
      const attestation told = attest(admin, admin.id(), {"", "eu", ""}, 2'000'000'000);
      set += "attestations = [\"" + to_text(told) + "\"]\n"; // likewise
    } else {
      set += (line.size() > 1 && line[0] == '#' && line[1] != ' ' ? line.substr(1) : line) + "\n";
    }
  }
  return set;
}

/// Keys with their tables, whether set or behind "#".
std::multiset<std::string> keys_of(const std::string& text) {
  static const std::regex header{R"(^#?\[+([a-z_]+)\]+$)"};
  static const std::regex setting{R"(^#?([a-z_]+) = .*$)"};
  std::multiset<std::string> keys;
  std::string table;
  for (const std::string& line : lines_of(text)) {
    std::smatch match;
    if (std::regex_match(line, match, header)) {
      table = match[1].str() + ".";
    } else if (std::regex_match(line, match, setting)) {
      keys.insert(table + match[1].str());
    }
  }
  return keys;
}

TEST(config_files, are_read_without_complaint) {
  const std::vector<fs::path> files = node_files();
  EXPECT_GE(files.size(), 6U);
  for (const fs::path& path : files) {
    const auto options = parse_node_config(path.string(), test::read_file(path));
    EXPECT_TRUE(options) << options.error().message;
  }
}

TEST(config_files, may_have_every_example_taken) {
  for (const fs::path& path : node_files()) {
    const std::string text = with_everything_set(test::read_file(path));
    const auto options = parse_node_config(path.string(), text);
    EXPECT_TRUE(options) << options.error().message;
  }
}

TEST(config_files, have_every_key_in_all_toml) {
  const std::multiset<std::string> shown =
      keys_of(test::read_file(test::source_file("config/all.toml")));
  const std::vector<std::string> known = node_config_keys();
  for (const std::string& key : known) {
    EXPECT_TRUE(shown.contains(key)) << key << " is not in config/all.toml";
  }
  for (const std::string& key : shown) {
    EXPECT_NE(std::find(known.begin(), known.end(), key), known.end()) << key << " is no key";
  }
}

TEST(config_files, state_defaults_as_they_are) {
  const std::string text = test::read_file(test::source_file("config/all.toml"));
  const auto options = parse_node_config("all.toml", with_everything_set(text));
  ASSERT_TRUE(options) << options.error().message;
  const node_options defaults;
  EXPECT_EQ(options->memory_bytes, defaults.memory_bytes);
  EXPECT_EQ(options->threads, defaults.threads);
  EXPECT_EQ(options->context_max, defaults.context_max);
  EXPECT_EQ(options->prefill_chunk, defaults.prefill_chunk);
  EXPECT_EQ(options->probe_interval, defaults.probe_interval);
  EXPECT_EQ(options->probe_timeout, defaults.probe_timeout);
  EXPECT_EQ(options->suspect_timeout, defaults.suspect_timeout);
  EXPECT_EQ(options->drain_wait, defaults.drain_wait);
  EXPECT_EQ(options->log_level, defaults.log_level);
  EXPECT_EQ(options->log_bytes_max, defaults.log_bytes_max);
  EXPECT_EQ(options->log_files_max, defaults.log_files_max);
  EXPECT_EQ(options->chaos, defaults.chaos);
  EXPECT_EQ(options->reach, defaults.reach);
}

TEST(config_files, of_the_local_cluster_need_any_two_nodes) {
  constexpr std::size_t layers_of_the_embedded_model = 4;
  std::vector<std::set<layer_index>> held;
  std::set<std::string> addresses;
  for (const char* const name : {"one", "two", "three"}) {
    const fs::path path = test::source_file("config/local") / (std::string{name} + ".toml");
    const auto options = parse_node_config(path.string(), test::read_file(path));
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_EQ(fs::path{options->state}, test::source_file("build/cluster") / name);
    addresses.insert({options->listen, options->admin_listen});
    std::set<layer_index>& here = held.emplace_back();
    for (const auto& model : options->models) {
      EXPECT_EQ(model.path, embedded_model_path);
      ASSERT_TRUE(model.layers);
      for (layer_index layer = model.layers->first; layer < model.layers->last; ++layer) {
        here.insert(layer);
      }
    }
    EXPECT_LT(here.size(), layers_of_the_embedded_model) << name << " needs nobody";
    EXPECT_LT(*here.rbegin(), layers_of_the_embedded_model);
  }
  EXPECT_EQ(addresses.size(), 6U);
  for (std::size_t lost = 0; lost < held.size(); ++lost) {
    std::set<layer_index> left = held[(lost + 1) % 3];
    left.insert(held[(lost + 2) % 3].begin(), held[(lost + 2) % 3].end());
    EXPECT_EQ(left.size(), layers_of_the_embedded_model) << "without node " << lost + 1;
  }
}

} // namespace
} // namespace ovir::apps
