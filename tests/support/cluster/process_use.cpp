#include "tests/support/cluster/process_use.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

namespace ovir::test {

namespace {

namespace fs = std::filesystem;

fs::path folder_of(pid_t id) { return fs::path{"/proc"} / std::to_string(id); }

std::uint64_t number_after(const std::string& text, const std::string& key) {
  const std::size_t at = text.find(key);
  return at == std::string::npos ? 0 : std::stoull(text.substr(at + key.size()));
}

/// The inodes of connected sockets by local port. Lines of /proc/net/tcp:
/// "sl: local remote state queues timer retransmits uid timeout inode ..."; those that wait for
/// nobody's packets any more have inode 0.
std::map<std::uint16_t, std::uint64_t> connected_sockets() {
  std::map<std::uint16_t, std::uint64_t> found;
  std::ifstream table{"/proc/net/tcp"};
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    std::istringstream columns{line};
    std::string skipped;
    std::string local;
    std::string inode;
    columns >> skipped >> local;
    for (int column = 0; column < 8; ++column) {
      columns >> inode;
    }
    if (columns && inode != "0") {
      const auto port =
          static_cast<std::uint16_t>(std::stoul(local.substr(local.find(':') + 1), nullptr, 16));
      found.emplace(port, std::stoull(inode));
    }
  }
  return found;
}

bool can_bind(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const bool free = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return free;
}

} // namespace

std::optional<process_use> use_of_process(pid_t id) {
  std::ifstream file{folder_of(id) / "status"};
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  if (text.empty() || text.find("State:\tZ") != std::string::npos) {
    return std::nullopt;
  }
  process_use use;
  use.threads = number_after(text, "Threads:");
  use.resident_bytes = number_after(text, "VmRSS:") * 1024;
  use.peak_bytes = number_after(text, "VmHWM:") * 1024;
  std::error_code gone;
  for (fs::directory_iterator at{folder_of(id) / "fd", gone}; !gone && at != end(at);
       at.increment(gone)) {
    ++use.descriptors;
  }
  return gone ? std::nullopt : std::optional{use};
}

void forget_peak(pid_t id) {
  std::ofstream file{folder_of(id) / "clear_refs"};
  file << 5; // as proc(5) has it
}

std::vector<std::size_t> owners_of_ports(const std::vector<pid_t>& processes,
                                         const std::vector<std::uint16_t>& ports) {
  const auto sockets = connected_sockets();
  std::map<std::string, std::size_t> wanted; // link of a descriptor to the place in `ports`
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (const auto found = sockets.find(ports[i]); found != sockets.end()) {
      wanted.emplace("socket:[" + std::to_string(found->second) + "]", i);
    }
  }
  std::vector<std::size_t> owners(ports.size(), processes.size());
  for (std::size_t owner = 0; owner < processes.size(); ++owner) {
    std::error_code gone;
    for (fs::directory_iterator at{folder_of(processes[owner]) / "fd", gone};
         !gone && at != end(at); at.increment(gone)) {
      std::error_code closed;
      const auto found = wanted.find(fs::read_symlink(at->path(), closed).string());
      if (found != wanted.end()) {
        owners[found->second] = owner;
      }
    }
  }
  return owners;
}

std::uint16_t free_port() {
  constexpr std::uint32_t first = 10'000;
  std::ifstream file{"/proc/sys/net/ipv4/ip_local_port_range"};
  std::uint32_t outgoing = 0;
  file >> outgoing;
  const std::uint32_t count = outgoing > first + 2'000 ? outgoing - first : 20'000;
  // Processes that run side by side begin at different places.
  static std::atomic<std::uint32_t> next{static_cast<std::uint32_t>(::getpid()) * 61U};
  for (std::uint32_t tried = 0; tried < count; ++tried) {
    const auto port = static_cast<std::uint16_t>(first + next.fetch_add(1) % count);
    if (can_bind(port)) {
      return port;
    }
  }
  throw std::runtime_error("no port of 127.0.0.1 is free");
}

std::uint16_t free_ports(std::uint32_t count) {
  std::uint16_t first = free_port();
  for (std::uint32_t i = 1; i < count; ++i) {
    if (const std::uint16_t next = free_port(); next != first + i) {
      first = next;
      i = 0;
    }
  }
  return first;
}

} // namespace ovir::test
