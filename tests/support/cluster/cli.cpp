#include "tests/support/cluster/cli.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace ovir::test {

nlohmann::json document_of(const child_result& child) {
  nlohmann::json document = nlohmann::json::parse(child.out, nullptr, false);
  EXPECT_FALSE(document.is_discarded()) << "standard output is not one JSON document:\n"
                                        << child.out << "\nstandard error:\n"
                                        << child.err;
  return document.is_discarded() ? nlohmann::json{} : document;
}

nlohmann::json ovir_json(std::vector<std::string> arguments, const child_options& options) {
  arguments.emplace_back("--json");
  const child_result child = run_ovir(arguments, options);
  EXPECT_EQ(child.exit_code, 0) << child.err;
  return document_of(child);
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream file{path, std::ios::binary};
  file << content;
  EXPECT_TRUE(file.flush()) << path;
}

void write_file(const std::filesystem::path& path, const std::vector<std::byte>& content) {
  write_file(path, std::string{reinterpret_cast<const char*>(content.data()), content.size()});
}

std::string read_file(const std::filesystem::path& path) {
  std::ostringstream text;
  std::ifstream file{path, std::ios::binary};
  EXPECT_TRUE(file) << path;
  text << file.rdbuf();
  return text.str();
}

bool is_one_line(const std::string& text) {
  return !text.empty() && text.find('\n') == text.size() - 1;
}

} // namespace ovir::test
