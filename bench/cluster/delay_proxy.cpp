#include "tests/support/cluster/tcp_proxy.hpp"

#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <string_view>

// Usage: ovir_delay_proxy MILLISECONDS HOST:PORT...
// Opens a port of 127.0.0.1 that leads to each HOST:PORT and prints them, a line each; what passes
// arrives MILLISECONDS later, in either direction. Ends when standard input does.
int main(int argc, char** argv) {
  int milliseconds = -1;
  if (argc >= 3) {
    const std::string_view text{argv[1]};
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), milliseconds);
    if (wrong != std::errc{} || end != text.data() + text.size()) {
      milliseconds = -1;
    }
  }
  if (milliseconds < 0 || milliseconds > 10'000) {
    std::fputs("usage: ovir_delay_proxy MILLISECONDS HOST:PORT...\n", stderr);
    return 2;
  }
  try {
    ovir::test::tcp_proxy proxy;
    proxy.delay(std::chrono::milliseconds{milliseconds});
    for (int i = 2; i < argc; ++i) {
      std::printf("%s\n", proxy.address(proxy.add_route(argv[i])).c_str());
    }
    std::fflush(stdout);
    char byte = 0;
    while (::read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return 0;
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "ovir_delay_proxy: %s\n", problem.what());
    return 1;
  }
}
