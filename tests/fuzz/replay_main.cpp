// Runs every input of a corpus through a fuzz target, each in a process of its own, so that one
// crash neither hides the inputs after it nor goes by unnamed. Fails when an input crashes, hangs,
// or takes more memory than its bound, and when there is no input at all.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;

/// A decoder may take this much beyond the size of its input. Sanitizers change what a process
/// takes, so it is not measured under them.
constexpr long memory_beyond_input_kib_max = 64 * 1024;
#if defined(__SANITIZE_ADDRESS__)
constexpr bool memory_measured = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool memory_measured = false;
#else
constexpr bool memory_measured = true;
#endif
#else
constexpr bool memory_measured = true;
#endif

/// Far above the second that scripts/fuzz allows: replay runs beside other tests on busy machines,
/// and only a real hang may fail it.
constexpr unsigned hang_seconds = 60;

struct outcome {
  int status{0};
  long peak_kib{0};
};

outcome run_in_child(const std::vector<std::uint8_t>& input) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(hang_seconds);
    LLVMFuzzerTestOneInput(input.data(), input.size());
    ::_exit(0);
  }
  outcome result;
  rusage usage{};
  if (child < 0 || ::wait4(child, &result.status, 0, &usage) != child) {
    std::perror("cannot run an input in a process of its own");
    std::exit(2);
  }
  result.peak_kib = usage.ru_maxrss;
  return result;
}

/// Empty when the input passed.
std::string complaint(const outcome& seen, const outcome& baseline, std::size_t input_bytes) {
  if (WIFSIGNALED(seen.status)) {
    const int signal = WTERMSIG(seen.status);
    return signal == SIGALRM ? "ran for more than a minute"
                             : "ended by signal " + std::to_string(signal);
  }
  if (WEXITSTATUS(seen.status) != 0) {
    return "ended with exit code " + std::to_string(WEXITSTATUS(seen.status));
  }
  const long beyond = seen.peak_kib - baseline.peak_kib - static_cast<long>(input_bytes / 1024);
  if (memory_measured && beyond > memory_beyond_input_kib_max) {
    return "took " + std::to_string(beyond) + " KiB beyond its own size";
  }
  return {};
}

std::vector<fs::path> inputs_of(const std::vector<std::string>& places) {
  std::vector<fs::path> inputs;
  for (const std::string& place : places) {
    if (fs::is_regular_file(place)) {
      inputs.emplace_back(place);
      continue;
    }
    std::error_code absent;
    for (const auto& entry : fs::directory_iterator{place, absent}) {
      if (entry.is_regular_file()) {
        inputs.push_back(entry.path());
      }
    }
  }
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

} // namespace

int main(int argc, char** argv) {
  const std::vector<fs::path> inputs = inputs_of({argv + 1, argv + argc});
  if (inputs.empty()) {
    std::fprintf(stderr, "no inputs: name a corpus folder with at least one file, or files\n");
    return 2;
  }
  const outcome baseline = run_in_child({});
  std::size_t failures = 0;
  for (const fs::path& path : inputs) {
    std::ifstream file{path, std::ios::binary};
    const std::vector<std::uint8_t> input{std::istreambuf_iterator<char>{file}, {}};
    const std::string trouble = complaint(run_in_child(input), baseline, input.size());
    if (!trouble.empty()) {
      std::fprintf(stderr, "%s: %s\n", path.c_str(), trouble.c_str());
      ++failures;
    }
  }
  std::printf("%zu inputs, %zu failed\n", inputs.size(), failures);
  return failures == 0 ? 0 : 1;
}
