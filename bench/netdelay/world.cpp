#include "bench/netdelay/world.hpp"

#include "bench/netdelay/limits.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace ovir::netdelay {

namespace {

constexpr std::array<unsigned char, 3> prefix{10, 77, 0};
constexpr const char* device_name = "ovir0";

void write_file(const char* path, const std::string& text) {
  const descriptor file = made(::open(path, O_WRONLY | O_CLOEXEC), std::string{"opening "} + path);
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    fail_with_errno(fmt::format("writing {} failed; run as root, or look at what restricts user "
                                "namespaces here",
                                path));
  }
}

/// The first network namespace: with root's rights, else in a user namespace that gives them.
void enter_network() {
  if (::unshare(CLONE_NEWNET) == 0) {
    return;
  }
  const uid_t user = ::getuid();
  const gid_t group = ::getgid();
  if (errno != EPERM || ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    fail_with_errno(
        "this system gives no network namespace; run as root, or allow user "
        "namespaces (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces)");
  }
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", fmt::format("0 {} 1", user));
  write_file("/proc/self/gid_map", fmt::format("0 {} 1", group));
}

ifreq request_for(const char* name) {
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  return request;
}

void configure(int fd, unsigned long what, ifreq& request, std::string_view wanted) {
  if (::ioctl(fd, what, &request) != 0) {
    fail_with_errno(fmt::format("setting {} of {} failed", wanted, request.ifr_name));
  }
}

void set_address(int socket, unsigned long what, const std::string& address,
                 std::string_view wanted) {
  ifreq request = request_for(device_name);
  sockaddr_in ip{};
  ip.sin_family = AF_INET;
  ::inet_pton(AF_INET, address.c_str(), &ip.sin_addr);
  std::memcpy(&request.ifr_addr, &ip, sizeof ip);
  configure(socket, what, request, wanted);
}

void bring_up(int socket, const char* name) {
  ifreq request = request_for(name);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  configure(socket, SIOCSIFFLAGS, request, "the state");
}

descriptor open_device() {
  const int fd = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO)) {
    throw std::runtime_error{"there is no /dev/net/tun; 'modprobe tun' as root adds it, in a "
                             "container its host must (--device /dev/net/tun)"};
  }
  if (fd < 0) {
    fail_with_errno("opening /dev/net/tun failed; run as root, or let your user read and write it");
  }
  descriptor device{fd};
  ifreq request = request_for(device_name);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (::ioctl(device.get(), TUNSETIFF, &request) != 0) {
    fail_with_errno("making a TUN device failed; run as root, or look at what restricts "
                    "user namespaces here");
  }
  return device;
}

/// In the network namespace of the machine.
machine make_machine(std::size_t node) {
  machine made_one;
  made_one.network = made(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC),
                          "opening /proc/thread-self/ns/net");
  made_one.device = open_device();
  const descriptor socket =
      made(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "a socket for settings failed");
  set_address(socket.get(), SIOCSIFADDR, address_of(node), "the address");
  set_address(socket.get(), SIOCSIFNETMASK, "255.255.255.0", "the netmask");
  ifreq request = request_for(device_name);
  request.ifr_mtu = packet_bytes_max;
  configure(socket.get(), SIOCSIFMTU, request, "the MTU");
  request = request_for(device_name);
  request.ifr_qlen = device_packets_max;
  if (::ioctl(socket.get(), SIOCSIFTXQLEN, &request) != 0 && errno != EPERM) {
    fail_with_errno("setting the queue of the device failed");
  } // root alone may; 500 packets are the kernel's choice
  bring_up(socket.get(), "lo");
  bring_up(socket.get(), device_name);
  made_one.counts = made(::open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC),
                         "opening /proc/thread-self/net/dev");
  return made_one;
}

} // namespace

std::vector<machine> make_world(std::size_t nodes) {
  std::vector<machine> machines;
  enter_network();
  for (std::size_t node = 1; node <= nodes; ++node) {
    if (node > 1 && ::unshare(CLONE_NEWNET) != 0) {
      fail_with_errno(fmt::format("network namespace {} of {} failed (sysctl "
                                  "user.max_net_namespaces)",
                                  node, nodes));
    }
    machines.push_back(make_machine(node));
  }
  return machines;
}

std::string address_of(std::size_t node) {
  return fmt::format("{}.{}.{}.{}", prefix[0], prefix[1], prefix[2], node);
}

std::size_t node_of(const unsigned char* address, std::size_t nodes) {
  const bool ours = std::memcmp(address, prefix.data(), prefix.size()) == 0;
  const std::size_t node = address[prefix.size()];
  return ours && node <= nodes ? node : 0;
}

// A line per device: its name, eight counts of what it received, then packets and so on of what it
// sent; the fourth of those are the dropped ones.
std::uint64_t dropped_by_device(const machine& from) {
  std::array<char, 4096> buffer{};
  const ssize_t size = ::pread(from.counts.get(), buffer.data(), buffer.size(), 0);
  std::istringstream lines{
      std::string(buffer.data(), size < 0 ? 0 : static_cast<std::size_t>(size))};
  std::string line;
  while (std::getline(lines, line)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || line.find(device_name) == std::string::npos) {
      continue;
    }
    std::istringstream numbers{line.substr(colon + 1)};
    std::array<std::uint64_t, 12> counts{};
    for (std::uint64_t& count : counts) {
      numbers >> count;
    }
    return counts[11];
  }
  return 0;
}

} // namespace ovir::netdelay
