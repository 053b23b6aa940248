#include "tests/tidy/layering.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <regex>
#include <set>

namespace ovir::tidy {

namespace {

/// How a library is called in a README and how its includes begin.
struct library {
  std::string_view name;
  std::string_view prefix;
};

constexpr std::array libraries{
    library{"fmt", "fmt/"},
    library{"ovir", "ovir/"}, // as programs that use it include it
    library{"spdlog", "spdlog/"},
    library{"CAF", "caf/"},
    library{"Cap'n Proto", "capnp/"},
    library{"Cap'n Proto", "kj/"},
    library{"BLAKE3", "blake3.h"},
    library{"PCRE2", "pcre2.h"},
    library{"OpenBLAS", "cblas.h"},
    library{"LMDB", "lmdb.h"},
    library{"C-Raft", "raft.h"},
    library{"libsodium", "sodium"},
    library{"OpenSSL", "openssl/"},
    library{"libcurl", "curl/"},
    library{"Boost.Asio", "boost/"},
    library{"prometheus-cpp", "prometheus/"},
    library{"CLI11", "CLI/"},
    library{"toml++", "toml++/"},
    library{"nlohmann_json", "nlohmann/"},
    library{"GoogleTest", "gtest/"},
    library{"GoogleTest", "gmock/"},
    library{"Google Benchmark", "benchmark/"},
    library{"MPFR", "mpfr.h"},
    library{"intrinsics", "immintrin.h"},
    library{"intrinsics", "xmmintrin.h"},
    library{"intrinsics", "pmmintrin.h"},
    library{"intrinsics", "arm_neon.h"},
    library{"intrinsics", "cpuid.h"},
    library{"OpenCL", "CL/"},
    library{"libedit", "histedit.h"},
    library{"libseccomp", "seccomp.h"},
    library{"libsystemd", "systemd/"},
    library{"Avahi", "avahi-"},
    library{"libqrencode", "qrencode.h"},
    library{"ngtcp2", "ngtcp2/"},
    library{"GnuTLS", "gnutls/"},
    library{"libnatpmp", "natpmp.h"},
    library{"miniupnpc", "miniupnpc/"},
    library{"pybind11", "pybind11/"},
    library{"POSIX", "poll.h"},
    library{"POSIX", "unistd.h"},
    library{"POSIX", "fcntl.h"},
    library{"POSIX", "signal.h"},
    library{"POSIX", "pthread.h"},
    library{"POSIX", "sched.h"},
    library{"POSIX", "malloc.h"},
    library{"POSIX", "dlfcn.h"},
    library{"POSIX", "sys/"},
    library{"POSIX", "net/"},
    library{"POSIX", "netinet/"},
    library{"POSIX", "arpa/"},
    library{"Linux", "linux/"},
};

std::string trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n`*";
  const std::size_t first = text.find_first_not_of(space);
  if (first == std::string_view::npos) {
    return {};
  }
  return std::string{text.substr(first, text.find_last_not_of(space) - first + 1)};
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    if (std::string part = trimmed(text.substr(0, end)); !part.empty()) {
      parts.push_back(std::move(part));
    }
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

/// File patterns keep their stars, which are mark-up everywhere else in the line.
std::vector<std::string> split_patterns(std::string_view text) {
  std::vector<std::string> patterns;
  std::string current;
  for (const char c : text) {
    if (c == ',' || c == ' ' || c == '`') {
      if (!current.empty()) {
        patterns.push_back(std::move(current));
      }
      current.clear();
    } else {
      current += c;
    }
  }
  if (!current.empty()) {
    patterns.push_back(std::move(current));
  }
  return patterns;
}

/// Standard headers have neither folder nor suffix: <vector>, <cstdint>.
bool is_standard(const include& i) {
  return !i.quoted && i.target.find_first_of("./") == std::string::npos;
}

bool name_allows(std::string_view name, const include& i) {
  if (name == "everything") {
    return true;
  }
  if (name == "std") {
    return is_standard(i);
  }
  if (name == "Cap'n Proto" && i.target.ends_with(".capnp.h")) {
    return true; // generated into the build folder
  }
  if (std::any_of(libraries.begin(), libraries.end(), [&](const library& l) {
        return l.name == name && i.target.starts_with(l.prefix);
      })) {
    return true;
  }
  return i.quoted && i.target.starts_with(std::string{name} + "/");
}

bool clause_allows(const allowance& clause, std::string_view file, const include& i) {
  const bool concerns =
      clause.files.empty() ||
      std::any_of(clause.files.begin(), clause.files.end(),
                  [&](const std::string& pattern) { return matches(pattern, file); });
  return concerns && std::any_of(clause.names.begin(), clause.names.end(),
                                 [&](const std::string& name) { return name_allows(name, i); });
}

} // namespace

std::optional<std::vector<allowance>> parse_may_include(std::string_view readme) {
  constexpr std::string_view mark = "May include:";
  for (const std::string_view line : lines_of(readme)) {
    const std::size_t at = line.find(mark);
    if (at == std::string_view::npos) {
      continue;
    }
    std::string_view rest = line.substr(at + mark.size());
    std::vector<allowance> clauses;
    while (!rest.empty()) {
      const std::size_t end = rest.find(';');
      const std::string_view clause = rest.substr(0, end);
      const std::size_t in = clause.find(" in ");
      allowance parsed;
      parsed.names = split(clause.substr(0, in), ',');
      if (in != std::string_view::npos) {
        parsed.files = split_patterns(clause.substr(in + 4));
      }
      clauses.push_back(std::move(parsed));
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
    return clauses;
  }
  return std::nullopt;
}

std::vector<finding> check_names(const source& readme, const std::vector<std::string>& folders) {
  const auto clauses = parse_may_include(readme.text);
  if (!clauses) {
    return {{readme.path, 0, "has no line 'May include: ...', which says what the folder may use"}};
  }
  std::set<std::string, std::less<>> known{"std", "everything"};
  known.insert(folders.begin(), folders.end());
  for (const library& l : libraries) {
    known.emplace(l.name);
  }
  std::vector<finding> found;
  for (const allowance& clause : *clauses) {
    for (const std::string& name : clause.names) {
      if (!known.contains(name)) {
        found.push_back({readme.path, 0, "'" + name + "' is neither a folder nor a known library"});
      }
    }
  }
  return found;
}

std::vector<finding> check_layering(const source& file, std::string_view folder,
                                    const std::vector<allowance>& allowances) {
  const std::string own_prefix = std::string{folder} + "/";
  const std::string_view name = std::string_view{file.path}.substr(own_prefix.size());
  std::vector<finding> found;
  for (const include& i : includes_of(file.text)) {
    const bool own = i.quoted && i.target.starts_with(own_prefix);
    if (!own && std::none_of(allowances.begin(), allowances.end(), [&](const allowance& clause) {
          return clause_allows(clause, name, i);
        })) {
      found.push_back(
          {file.path, i.line,
           "includes " + i.target + ", which " + own_prefix + "README.md does not allow"});
    }
  }
  return found;
}

std::string room_of(std::string_view path) {
  const std::size_t top = path.find('/');
  const std::size_t room = top == std::string_view::npos ? top : path.find('/', top + 1);
  return std::string{path.substr(0, room == std::string_view::npos ? top : room)};
}

namespace {

using arrows = std::map<std::string, std::map<std::string, finding>>;

/// Follows arrows from `room`; the first that leads back into `path` is told.
void follow(const std::string& room, const arrows& from, std::vector<std::string>& path,
            std::set<std::string>& done, std::vector<finding>& found) {
  path.push_back(room);
  const auto out = from.find(room);
  for (const auto& [target, why] : out == from.end() ? arrows::mapped_type{} : out->second) {
    const auto back = std::find(path.begin(), path.end(), target);
    if (back != path.end()) {
      std::string circle;
      for (auto at = back; at != path.end(); ++at) {
        circle += *at + " -> ";
      }
      found.push_back({why.path, why.line, why.what + " closes the circle " + circle + target});
    } else if (!done.contains(target)) {
      follow(target, from, path, done, found);
    }
  }
  path.pop_back();
  done.insert(room);
}

} // namespace

std::vector<finding> check_circles(const std::vector<source>& files,
                                   const std::vector<std::string>& folders) {
  arrows from;
  for (const source& file : files) {
    const std::string top{folder_of(file.path)};
    if (!is_cpp(file.path) || std::find(folders.begin(), folders.end(), top) == folders.end()) {
      continue;
    }
    const std::string room = room_of(file.path);
    for (const include& i : includes_of(file.text)) {
      const std::string target = room_of(i.target);
      if (i.quoted && i.target.starts_with(top + "/") && target != room) {
        from[room].emplace(target, finding{file.path, i.line, "includes " + i.target + ", which"});
      }
    }
  }
  std::vector<finding> found;
  std::set<std::string> done;
  for (const auto& [room, unused] : from) {
    std::vector<std::string> path;
    if (!done.contains(room)) {
      follow(room, from, path, done, found);
    }
  }
  return found;
}

std::vector<finding> check_actors_apart(const source& file) {
  const std::string_view path = file.path;
  const bool tests = path.starts_with("tests/") || path.starts_with("bench/");
  const bool apart = path.substr(0, path.rfind('.')).ends_with("_actor") ||
                     path.starts_with("messages/caf/") || path.starts_with("supervision/");
  if (tests || apart) {
    return {};
  }
  std::vector<finding> found;
  for (const include& i : includes_of(file.text)) {
    if (!i.quoted && i.target.starts_with("caf/")) {
      found.push_back({file.path, i.line,
                       "includes " + i.target +
                           "; only *_actor.*, messages/caf and supervision "
                           "may"});
    } else if (path.starts_with("actors/") && i.target.ends_with("_actor.hpp")) {
      found.push_back({file.path, i.line, "includes " + i.target + ", an actor; a core may not"});
    }
  }
  return found;
}

std::vector<finding> check_folder_sizes(const std::vector<source>& files) {
  std::map<std::string, std::size_t> sizes;
  for (const source& file : files) {
    sizes[file.path.substr(0, file.path.rfind('/') + 1)] += is_cpp(file.path) ? 1 : 0;
  }
  std::vector<finding> found;
  for (const auto& [folder, size] : sizes) {
    if (size > files_per_folder_max) {
      found.push_back({folder, 0, "has " + std::to_string(size) + " sources; divide it by nouns"});
    }
  }
  return found;
}

std::vector<finding> check_auditor_links(std::string_view readelf_output) {
  static const std::regex forbidden{
      R"(\[(lib(caf|ovir_actors|ovir_supervision|ovir_node)[^\]]*)\])"};
  std::vector<finding> found;
  std::size_t number = 0;
  for (const std::string_view line : lines_of(readelf_output)) {
    ++number;
    std::match_results<std::string_view::const_iterator> match;
    if (std::regex_search(line.begin(), line.end(), match, forbidden)) {
      found.push_back({"ovir-verify", number, "is linked with " + match[1].str()});
    }
  }
  return found;
}

} // namespace ovir::tidy
