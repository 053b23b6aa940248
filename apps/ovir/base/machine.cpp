#include "apps/ovir/base/machine.hpp"

#include "compute/kernels/peak.hpp"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <span>
#include <thread>

namespace ovir::apps {

namespace {

constexpr std::size_t buffer_bytes = std::size_t{512} << 20U;
constexpr std::size_t passes = 5;
// Threads meet at these borders, so that none reads a cache line twice.
constexpr std::size_t read_grain = 4'096;
constexpr std::uint64_t proc_bytes_max = 4U << 20U;

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\n");
  const auto last = text.find_last_not_of(" \t\n");
  return first == std::string::npos ? std::string{} : text.substr(first, last - first + 1);
}

// The rest of the first line that starts with `key`, after its colon.
std::string field_of(const std::string& text, std::string_view key) {
  std::size_t line = 0;
  while (line < text.size()) {
    const std::size_t end = std::min(text.find('\n', line), text.size());
    if (text.compare(line, key.size(), key) == 0) {
      const std::size_t colon = text.find(':', line);
      return colon < end ? trimmed(text.substr(colon + 1, end - colon - 1)) : std::string{};
    }
    line = end + 1;
  }
  return {};
}

std::string text_of(storage::env& environment, const std::string& path) {
  const auto text = environment.read(path, proc_bytes_max);
  return text ? *text : std::string{};
}

// "[always] madvise never": the setting in brackets.
std::string bracketed(const std::string& text) {
  const auto open = text.find('[');
  const auto close = text.find(']');
  return open == std::string::npos || close == std::string::npos
             ? std::string{}
             : text.substr(open + 1, close - open - 1);
}

std::uint64_t limit_of(int resource) {
  struct rlimit limit {};
  const bool known = ::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0;
  return known && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur : 0;
}

std::uint64_t pages_in_bytes(int name) {
  const long pages = ::sysconf(name);
  const long size = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0
             ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(size)
             : 0;
}

} // namespace

machine this_machine(storage::env& environment) {
  machine found;
  found.processor = field_of(text_of(environment, "/proc/cpuinfo"), "model name");
  found.processors = std::max(1U, std::thread::hardware_concurrency());
  found.memory_bytes = pages_in_bytes(_SC_PHYS_PAGES);
  found.memory_available_bytes = pages_in_bytes(_SC_AVPHYS_PAGES);
  found.page_bytes = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PAGESIZE)));
  found.huge_pages = bracketed(text_of(environment, "/sys/kernel/mm/transparent_hugepage/enabled"));
  found.open_files_max = limit_of(RLIMIT_NOFILE);
  found.locked_bytes_max = limit_of(RLIMIT_MEMLOCK);
  struct utsname names {};
  if (::uname(&names) == 0) {
    found.system = std::string{names.sysname} + " " + names.release + " " + names.machine;
  }
  return found;
}

result<double> read_bandwidth(compute::isa id, compute::parallel_runner& runner,
                              storage::env& environment) {
  OVIR_ASSIGN(const auto memory, environment.allocate(buffer_bytes));
  const std::span<std::byte> buffer = memory->bytes();
  const std::size_t parts = runner.width();
  const auto part_of = [&](std::size_t i) {
    const compute::slice own = compute::slice_of(buffer.size(), read_grain, i, parts);
    return buffer.subspan(own.first, own.last - own.first);
  };
  // Each thread writes its own part first, so that its pages exist and lie near it.
  runner.run(parts, [&](std::size_t i) { std::ranges::fill(part_of(i), std::byte{1}); });
  const compute::peak_loops& loops = compute::peak_loops_of(id);
  std::array<double, passes> rates{};
  std::atomic<std::uint64_t> sum{0}; // kept, or the compiler would not read at all
  for (double& rate : rates) {
    const auto start = environment.now();
    runner.run(parts, [&](std::size_t i) {
      const std::span<std::byte> own = part_of(i);
      sum.fetch_add(loops.read(reinterpret_cast<const unsigned char*>(own.data()), own.size()),
                    std::memory_order_relaxed);
    });
    const std::chrono::duration<double> time = environment.now() - start;
    rate = static_cast<double>(buffer.size()) / std::max(time.count(), 1e-9);
  }
  std::ranges::sort(rates);
  return sum.load() != 0 ? rates[passes / 2] : 0;
}

std::uint64_t peak_rss_bytes(storage::env& environment) {
  // Not getrusage, which begins with what the process was before it became this program.
  const std::string text = field_of(text_of(environment, "/proc/self/status"), "VmHWM");
  std::uint64_t kibibytes = 0;
  std::from_chars(text.data(), text.data() + text.size(), kibibytes);
  return kibibytes * 1024;
}

} // namespace ovir::apps
