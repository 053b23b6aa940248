// The rules of the house, applied to every file of the repository. Findings are printed one per
// line; rules_test.cpp shows that each rule can fail.
#include "tests/support/shared_files.hpp"
#include "tests/tidy/banned.hpp"
#include "tests/tidy/classes.hpp"
#include "tests/tidy/layering.hpp"
#include "tests/tidy/one_name.hpp"
#include "tests/tidy/orphans.hpp"
#include "tests/tidy/shape.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>

namespace ovir::tidy {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

/// Build outputs, Git's data and editors' caches are not part of the repository.
bool is_foreign(const fs::path& path) {
  static const std::set<std::string> names{"build", ".git", ".cache", "node_modules",
                                           "__pycache__"};
  return names.contains(path.filename().string());
}

/// Text files are judged; models, corpora, licence texts and the bundle of others' libraries only
/// count as link targets.
bool is_text(const std::string& path) {
  static const std::set<std::string> suffixes{".cpp",   ".hpp", ".md",  ".txt", ".cmake", ".json",
                                              ".capnp", ".py",  ".mjs", ".js",  ".sh",    ".bash"};
  const std::string suffix = fs::path{path}.extension().string();
  const bool script = suffix.empty() && (path.starts_with("scripts/") || path.starts_with(".ci/"));
  const bool corpus = path.starts_with("tests/fuzz/corpus/");
  const bool bundle = path == "gateway/console/page/noble.mjs";
  return !corpus && !bundle && (script || suffixes.contains(suffix));
}

struct repository {
  std::vector<source> files;         ///< texts
  std::vector<std::string> existing; ///< every path, folders too
};

const repository& the_repository() {
  static const repository loaded = [] {
    repository r;
    const fs::path root{OVIR_SOURCE_DIR};
    fs::recursive_directory_iterator at{root};
    for (; at != fs::recursive_directory_iterator{}; ++at) {
      if (at->is_directory() && is_foreign(at->path())) {
        at.disable_recursion_pending();
        continue;
      }
      std::string path = at->path().lexically_relative(root).generic_string();
      if (at->is_regular_file() && is_text(path)) {
        r.files.push_back({path, read(at->path())});
      }
      r.existing.push_back(std::move(path));
    }
    std::sort(r.files.begin(), r.files.end(),
              [](const source& a, const source& b) { return a.path < b.path; });
    return r;
  }();
  return loaded;
}

std::string listed(const std::vector<finding>& findings) {
  std::string text = "\n";
  for (const finding& f : findings) {
    text += to_string(f) + "\n";
  }
  return text;
}

/// Applies a rule for one file to each C++ file.
template <class Rule>
std::vector<finding> over_code(Rule rule) {
  std::vector<finding> found;
  for (const source& file : the_repository().files) {
    if (is_cpp(file.path)) {
      const std::vector<finding> more = rule(file);
      found.insert(found.end(), more.begin(), more.end());
    }
  }
  return found;
}

#define EXPECT_TIDY(findings)                                                                      \
  do {                                                                                             \
    const std::vector<finding>& all = (findings);                                                  \
    EXPECT_TRUE(all.empty()) << listed(all);                                                       \
  } while (false)

/// Folders of the picture in docs/ARCHITECTURE.md.
const std::vector<std::string> folders{"messages", "compute", "learning", "verify",  "templates",
                                       "storage",  "ledger",  "gateway",  "actors",  "supervision",
                                       "node",     "apps",    "bindings", "include", "config",
                                       "tests",    "bench"};
/// Those whose C++ stands in rooms, each with its own README.
const std::vector<std::string> houses{"messages",    "compute", "learning", "verify",
                                      "storage",     "ledger",  "gateway",  "actors",
                                      "supervision", "node",    "apps",     "bindings"};

std::vector<std::string> houses_and_templates() {
  std::vector<std::string> all = houses;
  all.emplace_back("templates");
  return all;
}

/// The nearest folder at or above a file's that says what it may include; empty: none.
std::string governing_folder(const std::string& path) {
  for (std::size_t end = path.rfind('/'); end != std::string::npos;
       end = path.rfind('/', end - 1)) {
    std::string folder = path.substr(0, end);
    if (fs::exists(fs::path{OVIR_SOURCE_DIR} / folder / "README.md") || end == 0) {
      return folder;
    }
  }
  return {};
}

TEST(repository, is_found_where_the_build_says) {
  EXPECT_TRUE(fs::exists(fs::path{OVIR_SOURCE_DIR} / "CMakePresets.json"));
  EXPECT_GT(the_repository().files.size(), 50U);
}

TEST(repository, every_folder_says_what_it_may_include) {
  std::set<std::string> named{folders.begin(), folders.end()};
  std::set<std::string> asked = named;
  for (const source& file : the_repository().files) {
    const std::string top{folder_of(file.path)};
    if (is_cpp(file.path) && std::find(houses.begin(), houses.end(), top) != houses.end()) {
      asked.insert(file.path.substr(0, file.path.rfind('/')));
      named.insert(room_of(file.path));
    }
  }
  asked.erase("apps/ovir"); // one file, which apps/README.md speaks of
  named.insert(asked.begin(), asked.end());
  for (const std::string& folder : asked) {
    const fs::path path = fs::path{OVIR_SOURCE_DIR} / folder / "README.md";
    ASSERT_TRUE(fs::exists(path)) << path;
    EXPECT_TIDY(check_names({folder + "/README.md", read(path)}, {named.begin(), named.end()}));
  }
}

TEST(repository, includes_follow_the_arrows) {
  std::map<std::string, std::vector<allowance>, std::less<>> allowed;
  EXPECT_TIDY(over_code([&](const source& file) {
    const std::string folder = governing_folder(file.path);
    if (folder.empty()) {
      return std::vector<finding>{{file.path, 0, "C++ outside the folders of the picture"}};
    }
    auto found = allowed.find(folder);
    if (found == allowed.end()) {
      const auto parsed = parse_may_include(read(fs::path{OVIR_SOURCE_DIR} / folder / "README.md"));
      found = allowed.emplace(folder, parsed.value_or(std::vector<allowance>{})).first;
    }
    return check_layering(file, folder, found->second);
  }));
}

TEST(repository, rooms_include_each_other_in_no_circle) {
  EXPECT_TIDY(check_circles(the_repository().files, houses));
}

TEST(repository, keeps_actors_apart_from_cores) { EXPECT_TIDY(over_code(check_actors_apart)); }

TEST(repository, folders_hold_at_most_60_sources) {
  EXPECT_TIDY(check_folder_sizes(the_repository().files));
}

TEST(repository, types_have_at_most_25_members) {
  EXPECT_TIDY(
      check_members(the_repository().files,
                    {{"node_options", "an option of the configuration each, read in one place"},
                     {"model_config", "a hyperparameter of a model file each"},
                     {"whole_node", "the parts of a node, each made once and dropped in order"},
                     {"node_parts", "the actors of a node, one for each row of its tree"}}));
}

TEST(repository, classes_are_defined_in_one_source) {
  EXPECT_TIDY(check_one_source(the_repository().files, houses_and_templates()));
}

TEST(repository, cores_have_tests_of_their_name) {
  EXPECT_TIDY(check_core_tests(the_repository().files));
}

TEST(repository, lines_fit_in_100_columns) { EXPECT_TIDY(over_code(check_columns)); }

TEST(repository, functions_fit_in_70_lines) { EXPECT_TIDY(over_code(check_function_lengths)); }

TEST(repository, files_fit_in_600_lines) { EXPECT_TIDY(over_code(check_file_length)); }

TEST(repository, file_names_are_plain) { EXPECT_TIDY(over_code(check_file_name)); }

TEST(repository, headers_are_guarded_and_own_headers_come_first) {
  EXPECT_TIDY(over_code([](const source& file) {
    const std::string header = file.path.substr(0, file.path.size() - 4) + ".hpp";
    return check_form(file, fs::exists(fs::path{OVIR_SOURCE_DIR} / header));
  }));
}

TEST(repository, nobody_calls_what_is_banned) { EXPECT_TIDY(over_code(check_banned_calls)); }

TEST(repository, names_each_type_once) { EXPECT_TIDY(check_one_name(the_repository().files)); }

TEST(repository, holds_no_unfinished_notes_and_no_machine_of_its_own) {
  std::vector<finding> found;
  for (const source& file : the_repository().files) {
    const std::vector<finding> more = check_words(file);
    found.insert(found.end(), more.begin(), more.end());
  }
  EXPECT_TIDY(found);
}

TEST(repository, pages_say_who_does_what) {
  std::vector<finding> found;
  for (const source& file : the_repository().files) {
    if (file.path.ends_with(".md")) {
      const std::vector<finding> more = check_plain_english(file);
      found.insert(found.end(), more.begin(), more.end());
    }
  }
  EXPECT_TIDY(found);
}

TEST(repository, every_header_is_included) {
  EXPECT_TIDY(check_orphan_headers(the_repository().files));
}

TEST(repository, every_page_is_linked) { EXPECT_TIDY(check_orphan_pages(the_repository().files)); }

TEST(repository, every_script_is_in_a_manual) {
  EXPECT_TIDY(check_orphan_scripts(the_repository().files));
}

TEST(repository, links_between_pages_lead_somewhere) {
  EXPECT_TIDY(check_links(the_repository().files, the_repository().existing));
}

TEST(repository, comments_name_pages_that_exist) {
  EXPECT_TIDY(check_mentions(the_repository().files, the_repository().existing));
}

TEST(auditor, is_not_linked_with_caf) {
  const fs::path program = fs::path{OVIR_BINARY_DIR} / "ovir-verify";
  ASSERT_TRUE(fs::exists(program)) << program << " is not built";
  const std::string command = "readelf --dynamic --wide '" + program.string() + "'";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe{::popen(command.c_str(), "r"), &::pclose};
  ASSERT_NE(pipe, nullptr);
  std::string output;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) {
    output.append(buffer.data(), n);
  }
  ASSERT_NE(output.find("NEEDED"), std::string::npos) << "readelf printed no dependencies";
  EXPECT_TIDY(check_auditor_links(output));
}

} // namespace
} // namespace ovir::tidy
