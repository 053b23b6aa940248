// Runs every command block of docs/guide, page by page, as somebody would type them: one shell, a
// folder and a home of its own, nodes in the background. Only ports are others, so that nothing
// that runs here is in the way.
#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <regex>

namespace ovir::test {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 2> run_elsewhere{
    "<!-- executed by tests/package/install -->\n", "<!-- executed by tests/package/library -->\n"};

std::vector<fs::path> pages() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator{source_file("docs/guide")}) {
    if (entry.path().extension() == ".md") {
      found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// The page's executed blocks, whole, so that loops and continued lines stay what they are.
std::string script_of(const std::string& page) {
  static const std::regex block{"<!-- executed -->\n```sh\n([^`]*)```\n"};
  std::string script;
  for (std::sregex_iterator at{page.begin(), page.end(), block}, end; at != end; ++at) {
    script += (*at)[1].str();
  }
  return script;
}

/// Each port of this machine becomes a free one, the same one wherever the page says it.
std::string with_free_ports(const std::string& script) {
  static const std::regex place{R"(127\.0\.0\.1:(7\d\d\d))"};
  std::map<std::string, std::uint16_t> ports;
  std::string out;
  auto rest = script.cbegin();
  for (std::sregex_iterator at{script.begin(), script.end(), place}, end; at != end; ++at) {
    const auto [port, fresh] = ports.try_emplace((*at)[1].str(), std::uint16_t{0});
    port->second = fresh ? free_port() : port->second;
    out.append(rest, (*at)[0].first);
    out += "127.0.0.1:" + std::to_string(port->second);
    rest = (*at)[0].second;
  }
  return out.append(rest, script.cend());
}

/// What `ovir init` writes without options names ports of its own.
std::string frame(const std::string& script, const fs::path& home) {
  return "set -eu\n"
         "export PATH='" OVIR_BINARY_DIR "':$PATH HOME='" +
         home.string() + "' OVIR_ASSETS='" + source_file("assets").string() +
         "'\nunset OVIR_HOME XDG_STATE_HOME OVIR_OPERATOR XDG_CONFIG_HOME\ncd '" + home.string() +
         "'\ntrap 'for job in $(jobs -p); do kill -9 \"$job\" 2>/dev/null || true; done' EXIT\n" +
         script;
}

class guide : public ::testing::TestWithParam<std::string> {};

TEST_P(guide, says_commands_that_work) {
  const temporary_folder home;
  const std::string page = read_file(source_file("docs/guide/" + GetParam()));
  std::string script = script_of(page);
  const bool plain_init = script.find("ovir init\n") != std::string::npos;
  if (plain_init) {
    script.replace(
        script.find("ovir init\n"), 10,
        fmt::format("ovir init --http 127.0.0.1:{} --shells 127.0.0.1:{}\n", 7380, 7310));
  }
  child_options options;
  options.deadline = std::chrono::seconds{240};
  const child_result seen =
      run_child({"/bin/bash", "-c", frame(with_free_ports(script), home.path())}, options);
  std::string logs;
  for (const auto& entry : fs::recursive_directory_iterator{home.path()}) {
    if (entry.path().extension() == ".log") {
      logs += read_file(entry.path());
    }
  }
  EXPECT_EQ(seen.exit_code, 0) << script << "\n" << seen.out << seen.err << "\n" << logs;
}

INSTANTIATE_TEST_SUITE_P(pages, guide, ::testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const fs::path& page : pages()) {
                             if (!script_of(read_file(page)).empty()) {
                               names.push_back(page.filename().string());
                             }
                           }
                           return names;
                         }()),
                         [](const auto& page) {
                           std::string name = page.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return c == '-' || c == '.'; }, '_');
                           return name;
                         });

TEST(guides, have_no_command_block_that_nobody_runs) {
  static const std::regex block{"```(sh|bash|console|shell)\n"};
  std::size_t found = 0;
  for (const fs::path& page : pages()) {
    const std::string text = read_file(page);
    for (std::sregex_iterator at{text.begin(), text.end(), block}, end; at != end; ++at, ++found) {
      const std::string before = text.substr(0, static_cast<std::size_t>(at->position()));
      EXPECT_TRUE(before.ends_with("<!-- executed -->\n") ||
                  std::any_of(run_elsewhere.begin(), run_elsewhere.end(),
                              [&](std::string_view mark) { return before.ends_with(mark); }))
          << page << ": a block of commands at " << at->position() << " is not executed";
    }
  }
  EXPECT_GE(found, 15U);
}

TEST(guides, keep_a_port_the_same_through_a_page) {
  const std::string out =
      with_free_ports(fmt::format("a 127.0.0.1:{0} b 127.0.0.1:{1} c 127.0.0.1:{0}", 7301, 7302));
  const std::regex form{R"(a 127\.0\.0\.1:(\d+) b 127\.0\.0\.1:(\d+) c 127\.0\.0\.1:(\d+))"};
  std::smatch ports;
  ASSERT_TRUE(std::regex_match(out, ports, form)) << out;
  EXPECT_EQ(ports[1], ports[3]);
  EXPECT_NE(ports[1], ports[2]);
}

} // namespace
} // namespace ovir::test
