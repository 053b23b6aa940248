#include "apps/ovir/base/command.hpp"

#include "apps/ovir/base/embedded_model.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <thread>

namespace ovir::apps {

void add_threads(CLI::App& command, compute_options& options) {
  options.threads =
      std::clamp<std::uint32_t>(std::thread::hardware_concurrency(), 1, limits::threads_max);
  command.add_option("-t,--threads", options.threads, "Compute threads")
      ->check(CLI::Range(std::uint32_t{1}, limits::threads_max))
      ->capture_default_str();
}

void add_prefill_chunk(CLI::App& command, compute_options& options) {
  command.add_option("--prefill-chunk", options.prefill_chunk, "Positions of the prompt per step")
      ->check(CLI::Range(std::uint32_t{1}, limits::prefill_chunk_max))
      ->capture_default_str();
}

void add_isa(CLI::App& command, compute_options& options) {
  command
      .add_option("--isa", options.isa,
                  "Kernels to compute with: reference, avx2 or avx512 (default: the best here)")
      ->envname("OVIR_ISA");
}

void add_json(CLI::App& command, bool& as_json) {
  command.add_flag("--json", as_json, "Print one JSON document on standard output");
}

CLI::Option* add_seed(CLI::App& command, const std::string& name, std::uint64_t& seed,
                      const std::string& help) {
  return command.add_option(name, seed, help)->transform([](std::string text) {
    std::uint64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [last, wrong] = std::from_chars(text.data(), end, value);
    if (wrong != std::errc{} || last != end) {
      throw CLI::ValidationError(fmt::format("{} is not a whole number from 0 to {}", text,
                                             std::numeric_limits<std::uint64_t>::max()));
    }
    return fmt::format("{}", value);
  });
}

result<ready_model> load_model(surroundings& around, const std::string& path) {
  if (path.empty()) {
    return prepare_model(std::string{embedded_model_name}, embedded_model());
  }
  OVIR_ASSIGN(ready_model model, ready_model_at(around.environment, path));
  const std::uint64_t memory = around.environment.memory_bytes();
  if (const std::uint64_t bytes = bytes_of(model.source); memory > 0 && bytes > memory) {
    write_note(fmt::format(
        "note: {} has {}, this machine {} of memory: what does not fit is read from the disk again "
        "for every token, which takes seconds each, or minutes; a smaller quantisation, or layers "
        "on several nodes (ovir plan), will be faster\n",
        path, bytes_text(bytes), bytes_text(memory)));
  }
  return model;
}

} // namespace ovir::apps
