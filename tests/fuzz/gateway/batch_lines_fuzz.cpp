#include "gateway/batches/batch_lines.hpp"
#include "messages/limits/batches.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

// Reads any bytes as an input of a batch, in steps and at once, and as an output of one.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir;
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  gateway::line_scan whole{"/v1/completions"};
  gateway::line_scan steps{"/v1/completions"};
  if (!whole.step(text, size + 1)) {
    std::abort();
  }
  while (!steps.step(text, 7)) {
  }
  if (whole.faults() != steps.faults() || whole.lines() != steps.lines()) {
    std::abort();
  }
  for (std::uint32_t i = 0; i < whole.lines() && whole.faults().empty(); ++i) {
    const auto read = gateway::batch_line_from(whole.line(text, i), "/v1/completions", i + 1);
    if (!std::holds_alternative<gateway::batch_line>(read)) {
      std::abort(); // it was looked at
    }
  }
  const auto written = gateway::written_lines_from(text, "batch_00112233445566778899aabbccddeeff");
  if (written ? written->bytes > size : written.error().message.empty()) {
    std::abort();
  }
  return 0;
}
