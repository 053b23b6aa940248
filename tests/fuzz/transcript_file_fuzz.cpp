#include "apps/transcript_file.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

// Reads any bytes as a transcript file and checks what is accepted against itself. What is accepted
// must survive being written and read again, with the same verdict: a file that two readers
// understand differently would be a place to hide.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto file = ovir::apps::parse_transcript_file(text);
  if (!file) {
    if (file.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  const std::string written = to_text(*file);
  const auto again = ovir::apps::parse_transcript_file(written);
  if (!again || to_text(*again) != written) {
    std::abort();
  }
  const auto failures = check_root(*file);
  const auto failures_again = check_root(*again);
  if (failures.size() != failures_again.size() || failures.size() > 1) {
    std::abort();
  }
  if (!failures.empty() && failures.front().what != failures_again.front().what) {
    std::abort();
  }
  return 0;
}
