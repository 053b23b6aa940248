#include "bench/netdelay/inside.hpp"

#include "bench/netdelay/limits.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace ovir::netdelay {

void set_environment(std::span<const machine> machines, pid_t holder) {
  std::string networks;
  for (const machine& m : machines) {
    networks +=
        fmt::format("{}/proc/{}/fd/{}", networks.empty() ? "" : " ", holder, m.network.get());
  }
  const std::string program = own_program();
  ::setenv("OVIR_NETDELAY_NODES", std::to_string(machines.size()).c_str(), 1);
  ::setenv("OVIR_NETDELAY_NODE", "1", 1);
  ::setenv("OVIR_NETDELAY_NETWORKS", networks.c_str(), 1);
  ::setenv("OVIR_NETDELAY_BIN", program.c_str(), 1);
  ::setenv("OVIR_NETDELAY_ON", (program + " on").c_str(), 1);
}

descriptor network_of(std::size_t node) {
  const char* networks = std::getenv("OVIR_NETDELAY_NETWORKS");
  if (networks == nullptr) {
    throw std::runtime_error{"this process is in no world of netdelay; start one with "
                             "scripts/netdelay --nodes N -- COMMAND..."};
  }
  std::istringstream words{networks};
  std::vector<std::string> paths;
  for (std::string path; words >> path;) {
    paths.push_back(std::move(path));
  }
  if (node < 1 || node > paths.size()) {
    throw std::invalid_argument{
        fmt::format("there is no machine {}; this world has 1 to {}", node, paths.size())};
  }
  return made(::open(paths[node - 1].c_str(), O_RDONLY | O_CLOEXEC),
              fmt::format("opening the network of machine {} ({}) failed; its world has ended, or "
                          "belongs to another user",
                          node, paths[node - 1]));
}

void enter(const descriptor& network, std::size_t node) {
  if (::setns(network.get(), CLONE_NEWNET) != 0) {
    fail_with_errno(fmt::format("entering the network of machine {} failed", node));
  }
  ::setenv("OVIR_NETDELAY_NODE", std::to_string(node).c_str(), 1);
}

int execute(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& word : command) {
    arguments.push_back(const_cast<char*>(word.c_str())); // execvp does not write to them
  }
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  const int code = errno == ENOENT ? 127 : 126;
  std::fputs(fmt::format("netdelay: cannot run '{}': {}\n", command[0],
                         std::generic_category().message(errno))
                 .c_str(),
             stderr);
  return code;
}

std::string own_program() {
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  if (size <= 0) {
    fail_with_errno("reading /proc/self/exe");
  }
  return {path.data(), static_cast<std::size_t>(size)};
}

} // namespace ovir::netdelay
