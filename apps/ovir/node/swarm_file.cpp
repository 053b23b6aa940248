#include "apps/ovir/node/swarm_file.hpp"

#include "apps/ovir/base/node_address.hpp"
#include "apps/state_folder.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <filesystem>
#include <span>

namespace ovir::apps {

namespace {

constexpr std::size_t kept_line_bytes_max = 2 * limits::seeds_max * limits::address_bytes_max;

std::string line_path_in(const std::string& folder) {
  return (std::filesystem::path{folder} / "swarm").string();
}

} // namespace

result<std::string> up_folder(const std::string& given) {
  std::filesystem::path folder{given};
  if (given.empty()) {
    OVIR_ASSIGN(const std::string state, state_folder());
    folder = std::filesystem::path{state} / "up";
  }
  return std::filesystem::absolute(folder).lexically_normal().string();
}

std::string up_config_in(const std::string& folder) {
  return (std::filesystem::path{folder} / "node.toml").string();
}

result<void> keep_line(storage::env& environment, const std::string& folder,
                       const swarm_line& line) {
  const std::string secret = to_text(line) + "\n";
  const std::string path = line_path_in(folder);
  OVIR_ASSIGN(const bool first,
              environment.make_secret_file(path, std::as_bytes(std::span{secret})));
  return first ? result<void>{}
               : fail(errc::invalid_argument,
                      "{} is there already, without a configuration beside it; remove it, or name "
                      "another folder by --folder",
                      path);
}

result<swarm_line> kept_line(storage::env& environment, const std::string& folder,
                             const std::string& address) {
  std::string text(kept_line_bytes_max, '\0');
  OVIR_ASSIGN(
      const std::size_t size,
      environment.read_secret_file(line_path_in(folder), std::as_writable_bytes(std::span{text})));
  text.resize(size);
  while (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  OVIR_ASSIGN(swarm_line line, swarm_line_from(text));
  std::erase_if(line.members, [&](const std::string& member) {
    return member == address || has_any_port(member);
  });
  line.members.insert(line.members.begin(), address);
  line.members.resize(std::min(line.members.size(), limits::seeds_max));
  return line;
}

} // namespace ovir::apps
